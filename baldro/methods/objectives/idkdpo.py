"""IdkDPO: preference optimisation towards answers that say I do not know (Maini et al. 2024, arXiv 2401.06121;
DPO: Rafailov et al. 2023, arXiv 2305.18290, Eq. 7, times 2 / b; NPO is this without a winner)."""

from typing import Annotated

from torch import Tensor

from baldro.methods.objectives import TokenStats, objective
from baldro.methods.objectives._preference import preference


@objective(label="IdkDPO", needs=("reference", "idk"))
def loss(stats: TokenStats, *, dpo_beta: Annotated[float, "> 0"] = 0.1) -> Tensor:
    """-(2/b) log sigmoid(b (d(win) - d(y))), d(y) = log p(y) - log r(y) summed over the answer, win such an answer.

    Args:
        dpo_beta: DPO's inverse temperature.

    Returns: (B,), above 0; (2/b) log 2 where policy and reference agree, so 13.86 at the start for b = 0.1.

    Cost: one forward and one backward for each of two answers a sample, so twice the sequences.
    """
    return preference(stats, dpo_beta)
