"""UNDIAL: distillation of the model before unlearning, whose logit of the true token is lowered (Dong et al. 2024, arXiv 2402.10052)."""

from typing import Annotated

import torch.nn.functional as F
from torch import Tensor

from baldro.methods.objectives import TokenStats, objective


@objective(label="UNDIAL", needs=("reference_logits",))
def token_loss(stats: TokenStats, *, undial_beta: Annotated[float, ">= 0"] = 10.0) -> Tensor:
    """-sum_v q_v log p_v with q = softmax(reference logits - b onehot(y_t)), per token (B, T), at least 0.

    It descends to q and stays there: at lr 1e-4 as usual. Its paper has no retain loss (retain_weight: 0); here one is there by default,
    as with others.

    open-unlearning averages over all positions of the padded batch, prompts and padding too: there the label is -100, which takes b from
    the logit of the vocabulary's hundredth-last token. Here answer tokens alone count.

    Args:
        undial_beta: What UNDIAL takes from the true token's logit; 0 distils the reference as it is.

    Cost: the reference's output head a second time, without gradients, on hidden states that are taken once a run.
    """

    def distilled(logits_NV: Tensor, target_N: Tensor, reference_NV: Tensor) -> Tensor:
        column_N1 = target_N[:, None]
        lowered_NV = reference_NV.scatter(1, column_N1, reference_NV.gather(1, column_N1) - undial_beta)
        return F.cross_entropy(logits_NV, lowered_NV.softmax(1), reduction="none")

    return stats.of_logits(distilled, reference=True)
