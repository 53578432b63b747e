"""PDU's dual variable: the retain weight grows while the retain loss is above a bound (Entesari et al. 2025, arXiv 2506.05314).

Dual ascent for min L_forget subject to L_retain <= epsilon. Defaults are the released script's for TOFU, where lam starts at 100; for MUSE
it has lam 50, step 1, epsilon 1.5 (News) or 0.1 (Books), but for the warm-up, which is 5 epochs there (MUSE: 3): a run may be shorter.
Released code moves lam after every forward pass of each device; here it moves once a step, by the whole batch's retain loss. Its numbers
go with a forget loss that is a mean over all positions (see objective pdu).
"""

from typing import Annotated

from baldro.methods.combiners import combiner


@combiner(label="PDU dual", memory="nothing more", defaults={"retain_weight": 100.0})
def multiplier(
    lam: float,
    retain_loss: float,
    *,
    epoch: float,
    dual_epsilon: Annotated[float, ">= 0"] = 0.3,
    dual_step: Annotated[float, "> 0"] = 5.0,
    dual_warmup_epochs: Annotated[float, ">= 0"] = 0.0,
) -> float:
    """lam' = max(0, lam + dual_step (L_retain - dual_epsilon)) once dual_warmup_epochs are over; lam starts at retain_weight.

    Args:
        lam: this step's retain weight.
        retain_loss: this step's retain loss, before lam.
        epoch: passes over the forget split before this step.
        dual_epsilon: bound on the retain loss, in its own unit (nats per token by default).
        dual_step: how fast the retain weight moves with what the retain loss is above the bound.
        dual_warmup_epochs: epochs in which the retain weight stays as it is; 5 in the released script for TOFU, 3 for MUSE.

    Returns: the next step's retain weight, at least 0; NaN if the loss is and the weight moves.
    """
    if epoch < dual_warmup_epochs:
        return lam
    return max(lam + dual_step * (retain_loss - dual_epsilon), 0.0)  # in this order: max(0.0, NaN) is 0
