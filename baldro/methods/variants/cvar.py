"""CVaR: the mean of the hardest share of the batch (conditional value at risk; Rockafellar & Uryasev 2000, J. Risk 2(3))."""

from typing import Annotated

import torch
from torch import Tensor

from baldro.errors import BaldroError
from baldro.methods.variants import variant


@variant(label="CVaR", ranks=True)
def weights(losses_B: Tensor, *, cvar_alpha: Annotated[float, "> 0, <= 1"] = 0.5) -> Tensor:
    """argmax_q q.l subject to q_i <= 1/(alpha n): 1/(alpha n) on the hardest, what is left on the sample at the boundary, then 0.

    BalDRO-G with the same share is the special case in which alpha n is whole, as with 0.5 and an even batch; elsewhere G rounds it down.
    Below 1/n, the hardest sample alone. The earlier one wins a tie, as in G.

    Args:
        cvar_alpha: share of the batch, the hardest samples, whose mean is taken; the sample at the boundary counts in part.

    Cost: a forward pass without gradients over the batch; forward and backward over the samples with a weight alone.
    """
    if not 0 < cvar_alpha <= 1:
        raise BaldroError("value-not-allowed", f"cvar_alpha is {cvar_alpha}; allowed: above 0, at most 1")
    n = len(losses_B)
    # A product such as 0.29 * 100 must not leave a sample with a weight of 1e-16, which would cost a forward and backward pass.
    whole = round(cvar_alpha * n)
    size = max(1.0, whole if abs(cvar_alpha * n - whole) < 1e-9 else cvar_alpha * n)
    order_B = torch.argsort(losses_B.detach(), descending=True, stable=True)
    shares_B = (size - torch.arange(n, dtype=torch.float64, device=losses_B.device)).clamp(0, 1) / size
    return torch.empty_like(shares_B).index_copy(0, order_B, shares_B)
