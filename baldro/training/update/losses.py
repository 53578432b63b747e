"""The retain loss: the loss of an answer token, and how token losses are averaged.

Shape legend: B samples of a piece, T answer tokens, N answer tokens of all samples, H width, V vocabulary.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from baldro.methods.objectives import TokenStats
from baldro.prompts.encode import Tokens


def cross_entropy(stats: TokenStats) -> Tensor:
    """-log p(y_t), per token (B, T)."""
    return -stats.logp_BT


def kl(stats: TokenStats) -> Tensor:
    """KL(r || p) over the vocabulary, r the reference, per token (B, T) (TOFU, Maini et al. 2024, arXiv 2401.06121).

    Of answer tokens, as every retain loss here; open-unlearning and BalDRO's code average it over all positions of the padded batch,
    prompts and padding too.
    """
    return stats.of_logits(_kl, reference=True)


def activations(stats: TokenStats) -> Tensor:
    """Mean over H of (h - h_r)^2 behind the run's layer, per token (B, T) (RMU, Li et al. 2024, arXiv 2403.03218)."""
    dtype = torch.promote_types(stats.activation_BTH.dtype, torch.float32)
    return stats.at_answers(
        (stats.activation_BTH.to(dtype) - stats.reference_activation_BTH.to(dtype)).square().mean(-1)
    )


def _kl(logits_NV: Tensor, _target_N: Tensor, reference_NV: Tensor) -> Tensor:
    r_NV = torch.log_softmax(reference_NV, -1)
    return (r_NV.exp() * (r_NV - torch.log_softmax(logits_NV, -1))).sum(-1)


def _counts(values_B: Tensor, counts: Sequence[int]) -> Tensor:
    return torch.tensor(counts, dtype=values_B.dtype, device=values_B.device)


VALUES: dict[str, Callable[[TokenStats], Tensor]] = {
    "cross-entropy": cross_entropy,
    "kl": kl,
    "activations": activations,
}
"""retain_loss -> the loss of a token."""
SHARES: dict[str, Callable[[Tensor, Sequence[int], Sequence[Tokens]], Tensor]] = {
    "token-mean": lambda sums_B, _counts_B, whole: sums_B * (len(whole) / sum(tokens.answer for tokens in whole)),
    "sample-mean": lambda sums_B, counts_B, _whole: sums_B / _counts(sums_B, counts_B),
    "token-sum": lambda sums_B, _counts_B, _whole: sums_B,
}
"""retain_normalisation -> (sums over the tokens of some samples, their tokens, all samples) -> values whose mean over all is the loss."""
