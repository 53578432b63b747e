"""BalDRO-DV: the worst case at the price of KL, a soft maximum of the losses (arXiv 2601.09172, Eq. 12)."""

from typing import Annotated, Literal

import torch
from torch import Tensor

from baldro.methods.variants import variant
from baldro.methods.variants.online import exponents


@variant(label="BalDRO-DV", also=("dv_level",), online=True)
def weights(
    losses_B: Tensor,
    *,
    dv_beta: Annotated[float, "> 0"] = 2.0,
    dv_direction: Literal["hard", "easy"] = "hard",
) -> Tensor:
    """The weights softmax(l / dv_beta) are exactly the gradient of L = dv_beta log mean exp(l / dv_beta).

    dv_beta -> 0 puts all weight on the hardest sample, dv_beta -> infinity gives the plain mean. `easy`, softmax(-l / dv_beta), is the
    gradient of the released code's L = -dv_beta log mean exp(-l / dv_beta).

    Args:
        dv_beta: BalDRO-DV's temperature, in units of the forget loss: small = the hardest sample alone, large = the plain mean.
        dv_direction: which losses weigh more; hard: the high ones (paper, Eq. 12), easy: the low ones, the released code's opposite
            sign, a soft minimum.
    """
    return torch.softmax(exponents(losses_B, dv_beta, dv_direction), 0)
