"""FILA, the start of LoRA adapters by Fisher information (LoKU, Cha et al. 2024, arXiv 2408.06621), after the authors' released code.

Our readings: the gradient is of each sample by itself (released: of a batch's mean loss); the quotient's denominator is kept from zero by a
share of its mean over the matrix (released: by 1e-5 as such, which in a large model can be far above the values themselves, and then the
retain set does not count); the decomposition is exact (released: randomised).

Shape legend: O outputs and I inputs of a linear layer, R rank, K = min(O, I).
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch
from torch import Tensor, nn

from baldro.errors import BaldroError
from baldro.models import token_logp
from baldro.prompts.batches import collate, draw
from baldro.prompts.encode import Tokens

STREAM = 9
"""Stream of the draw of retain samples."""
FLOOR = 1e-5
"""Added to the retain Fisher, in units of its mean over the matrix; else a weight that no retain sample moves would dominate its row."""

Autocast = Callable[[], AbstractContextManager]


def drawn(retain: Sequence[Tokens], count: int, seed: int) -> list[Tokens]:
    """Draw `count` retain samples, or all of them if there are fewer."""
    return [retain[i] for i in draw(len(retain), start=0, count=min(count, len(retain)), seed=seed, stream=STREAM)]


def row_weights(
    model: nn.Module,
    weights: Mapping[str, nn.Parameter],
    forget: Sequence[Tokens],
    retain: Sequence[Tokens],
    *,
    autocast: Autocast = nullcontext,
    check: Callable[[], None] = lambda: None,
) -> dict[str, Tensor]:
    """w_O of each weight (O, I): w_o^2 = sum_i F_forget,oi / (F_retain,oi + floor), both per answer token.

    F is the diagonal empirical Fisher information, sum_n T_n g_n^2 / sum_n T_n, with g_n the gradient of the mean cross-entropy of
    sample n's T_n gold answer tokens. Retain comes first, so that of the forget side only sums of rows are kept.

    Raises:
        BaldroError: a weight that no retain sample, or no forget sample, moves.
    """
    fisher: dict[str, Tensor] = {}
    rows = {name: torch.zeros(len(weight), dtype=torch.float64) for name, weight in weights.items()}

    def of_retain(name: str, gradient_OI: Tensor, share: float) -> None:
        square_OI = share * gradient_OI.float().square()
        fisher[name] = fisher[name].add_(square_OI) if name in fisher else square_OI

    def of_forget(name: str, gradient_OI: Tensor, share: float) -> None:
        rows[name] += (share * gradient_OI.float().square() / fisher[name]).sum(1).double().cpu()

    _each_gradient(model, weights, retain, of_retain, autocast, check)
    for name in weights:
        if name not in fisher or not float(fisher[name].mean()) > 0:
            raise _unmoved(name, "retain")
        fisher[name] += FLOOR * fisher[name].mean()
    _each_gradient(model, weights, forget, of_forget, autocast, check)
    for name, sums_O in rows.items():
        if not 0 < float(sums_O.sum()) < float("inf"):
            raise _unmoved(name, "forget")
    return {name: sums_O.sqrt() for name, sums_O in rows.items()}


def weighted_factors(weight_OI: Tensor, w_O: Tensor, *, rank: int, scale: float, what: str) -> tuple[Tensor, Tensor]:
    """A (R, I) and B (O, R) in float32 of min || diag(w) (W - s B A) ||_F, from diag(w) W = U S V'.

    A = (S / s)^(1/2) V' and B = diag(1 / w) U (S / s)^(1/2), which is W V (s S)^(-1/2) and so needs no quotient by a small w; the largest R
    singular values. They are taken from the smaller Gram matrix in float64, good to 1e-8 of the largest and several times faster than
    from diag(w) W itself.

    Raises:
        BaldroError: diag(w) W has a rank below R, to one millionth of its largest singular value.
    """
    weight_OI = weight_OI.double()
    scaled_OI = w_O.to(weight_OI)[:, None] * weight_OI
    wide = len(scaled_OI) < scaled_OI.shape[1]
    square_K, vector_KK = torch.linalg.eigh(scaled_OI @ scaled_OI.T if wide else scaled_OI.T @ scaled_OI)  # ascending
    s_K = square_K.flip(0).clamp(min=0).sqrt()
    found = int((s_K > 1e-6 * s_K[0]).sum())
    if found < rank:
        raise BaldroError(
            "rank-too-high", f"lora_rank is {rank}; allowed with lora_start fila: at most {found}, the rank of {what}"
        )
    s_R, v_KR = s_K[:rank], vector_KK.flip(1)[:, :rank]
    v_IR = scaled_OI.T @ v_KR / s_R if wide else v_KR
    a_RI, b_OR = (v_IR * (s_R / scale).sqrt()).T, weight_OI @ v_IR / (scale * s_R).sqrt()
    return a_RI.float(), b_OR.float()


def _each_gradient(
    model: nn.Module,
    weights: Mapping[str, nn.Parameter],
    samples: Sequence[Tokens],
    note: Callable[[str, Tensor, float], None],
    autocast: Autocast,
    check: Callable[[], None],
) -> None:
    """Call `note` with each weight's name, its gradient by each sample, and that sample's share of the answer tokens."""
    total, share = sum(tokens.answer for tokens in samples), 0.0
    device = next(model.parameters()).device
    with _only_these_move(model, weights, lambda name, gradient_OI: note(name, gradient_OI, share)):
        for tokens in samples:
            check()
            share = tokens.answer / total
            with autocast():
                logp_BT, _ = token_logp(model, collate([tokens], device))
            (-logp_BT.sum() / tokens.answer).backward()


@contextmanager
def _only_these_move(
    model: nn.Module, weights: Mapping[str, nn.Parameter], note: Callable[[str, Tensor], None]
) -> Iterator[None]:
    """Within this block only `weights` get gradients, each of which is passed to `note` and freed at once; dropout is off."""
    training, before = model.training, {p: p.requires_grad for p in model.parameters()}

    def noting(name: str) -> Callable[[Tensor], None]:
        def hook(weight: Tensor) -> None:
            note(name, weight.grad)
            weight.grad = None

        return hook

    model.eval().requires_grad_(False)
    hooks = [w.requires_grad_(True).register_post_accumulate_grad_hook(noting(name)) for name, w in weights.items()]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
        for p, moves in before.items():
            p.requires_grad_(moves)
        model.train(training)


def _unmoved(name: str, which: str) -> BaldroError:
    return BaldroError(
        "no-fisher-information",
        f"lora_start fila: the Fisher information of {name} by the {which} samples is 0 or not finite; allowed: samples that move it",
    )
