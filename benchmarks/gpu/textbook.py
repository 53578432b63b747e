"""One unlearning update as a textbook writes it: whole logits, the objective's own formula, autograd; float64 on the CPU.

It shares no line with the code. Where a variant is a worst case over weights, these are found here by bisection in float64, and the number
whose gradient is the update is q.l with q held fast (envelope theorem); BalDRO-DV is b log mean exp(l / b) itself.
"""

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from baldro.prompts.encode import Tokens
from baldro.runs import Run


def double(model: nn.Module) -> nn.Module:
    """A copy in float64 on the CPU; Llama's own norm would go through float32."""
    made = copy.deepcopy(model).cpu().double().eval()
    for parent in list(made.modules()):
        for name, norm in list(parent.named_children()):
            if type(norm).__name__.endswith("RMSNorm"):
                plain = nn.RMSNorm(len(norm.weight), eps=norm.variance_epsilon, dtype=torch.float64)
                plain.load_state_dict(norm.state_dict())
                setattr(parent, name, plain)
    return made


def logits(model: nn.Module, sequences: Sequence[Tokens]) -> list[tuple[Tensor, Tensor]]:
    """What predicts each answer token, (T, V), and its id, (T,), of each sequence."""
    longest = max(len(s.ids) for s in sequences)
    whole_BLV = model(
        torch.tensor([[*s.ids, *[0] * (longest - len(s.ids))] for s in sequences]), use_cache=False
    ).logits
    return [
        (z_LV[s.start - 1 : len(s.ids) - 1], torch.tensor(s.ids[s.start :]))
        for z_LV, s in zip(whole_BLV, sequences, strict=True)
    ]


def logp(model: nn.Module, sequences: Sequence[Tokens]) -> list[Tensor]:
    """log p of each answer token, (T,), of each sequence."""
    return [z.log_softmax(-1)[torch.arange(len(y)), y] for z, y in logits(model, sequences)]


def sample_loss(run: Run, p_T: Tensor, r_T: Tensor) -> Tensor:
    """The objective of one sample from log p and log r of its answer tokens."""
    match run.objective:
        case "npo":
            return 2 / run.npo_beta * torch.log1p((p_T.sum() - r_T.sum()).mul(run.npo_beta).exp())
        case "simnpo":
            b = run.simnpo_beta
            return 2 / b * torch.log1p((b * (p_T.mean() + run.simnpo_delta)).exp())
        case "satimp":
            p = p_T.detach().exp()
            return (p**run.satimp_beta1 * (1 - p) ** run.satimp_beta2 * p_T).mean()
        case "graddiff":
            return p_T.mean()
    raise ValueError(f"{run.objective} is not in this textbook")


# Variants ------------------------------------------------------------------------------------------------------------


def halved(rises: Callable[[float], float], low: float, high: float) -> float:
    """Where a function that rises crosses 0."""
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if rises(middle) < 0 else (low, middle)
    return high


def soft_maximum(losses_B: Tensor, b: float) -> Tensor:
    """b log mean exp(l / b)."""
    return b * (torch.logsumexp(losses_B / b, 0) - math.log(len(losses_B)))


def learned_beta(losses_B: Tensor, rho: float, least: float) -> float:
    """argmin of b log mean exp(l / b) + b rho over b >= least, by golden section: it is convex in b."""
    low, high, share = least, 1e3, (5**0.5 - 1) / 2
    for _ in range(200):
        a, c = high - share * (high - low), low + share * (high - low)
        if soft_maximum(losses_B, a) + a * rho < soft_maximum(losses_B, c) + c * rho:
            high = c
        else:
            low = a
    return (low + high) / 2


def worst_weights(run: Run, losses_B: Tensor) -> Tensor:
    """q of a variant that is a worst case over weights, (B,)."""
    n, order = len(losses_B), losses_B.argsort(descending=True)
    q_B = torch.zeros_like(losses_B)
    match run.variant:
        case "base":
            return q_B + 1 / n
        case "baldro-g":
            k = max(1, int(run.g_fraction * n))
            q_B[order[:k]] = 1 / k
        case "cvar":
            left = 1.0
            for i in order.tolist():
                q_B[i] = min(left, 1 / (run.cvar_alpha * n))
                left -= float(q_B[i])
        case "chi2":

            def shares(eta: float) -> Tensor:
                above_B = (losses_B - eta).clamp(min=0)
                return above_B / above_B.sum()

            top, wide = float(losses_B.max()), float(losses_B.max() - losses_B.min())
            edge = halved(
                lambda eta: float(n * shares(eta).square().sum()) - 1 - run.chi2_rho,
                top - 1e4 * wide,
                top - 1e-9 * wide,
            )
            return shares(edge)
        case "topk":
            k, t = run.topk_fraction * n, run.topk_temperature
            top = float(losses_B.abs().max()) + 100 * t
            nu = halved(lambda nu: k - float(torch.sigmoid((losses_B - nu) / t).sum()), -top, top)
            return torch.sigmoid((losses_B - nu) / t) / k
        case _:
            raise ValueError(f"{run.variant} is not in this textbook")
    return q_B


def robust_value(run: Run, losses_B: Tensor) -> Tensor:
    """The number that a variant makes of the losses of a batch."""
    if run.variant == "baldro-dv":
        sign = 1 if run.dv_direction == "hard" else -1
        return soft_maximum(losses_B, sign * run.dv_beta)
    if run.variant == "baldro-dv-learned":
        return soft_maximum(losses_B, learned_beta(losses_B.detach(), run.dv_rho, run.dv_beta_min))
    return (worst_weights(run, losses_B.detach()) * losses_B).sum()


# The update ----------------------------------------------------------------------------------------------------------


@dataclass
class Textbook:
    """A model in float64, the one that it is compared with, and a batch.

    The losses of an objective are computed once, and a retain gradient too: of each variant only the backward pass is its own.
    """

    model: Any
    compared: Any
    forget: Sequence[Tokens]
    retain: Sequence[Tokens]

    def __post_init__(self) -> None:
        self.names, self.parameters = zip(*self.model.named_parameters(), strict=True)
        self.kept: dict[Any, Any] = {}
        with torch.no_grad():
            self.reference = [row.tolist() for row in logp(self.compared, self.forget)]
            """log r of each answer token."""

    def once(self, key: Any, make: Callable[[], Any]) -> Any:
        if key not in self.kept:
            self.kept[key] = make()
        return self.kept[key]

    def forget_losses(self, run: Run) -> Tensor:
        """(B,)."""

        def make() -> Tensor:
            rows = zip(self.once("logp", lambda: logp(self.model, self.forget)), self.reference, strict=True)
            return torch.stack([sample_loss(run, p_T, torch.tensor(r, dtype=torch.float64)) for p_T, r in rows])

        own = [f"{name}={value}" for name, value in run.hyperparameters().items() if name.startswith(run.objective)]
        return self.once((run.objective, *own), make)

    def retain_gradient(self, run: Run) -> tuple[Tensor, ...]:
        """Of the mean over all answer tokens of the batch: -log p, or KL(r || p)."""

        def make() -> tuple[Tensor, ...]:
            if run.retain_loss != "kl":
                loss = -torch.cat(logp(self.model, self.retain)).mean()
                return torch.autograd.grad(loss, self.parameters)
            with torch.no_grad():
                before = logits(self.compared, self.retain)
            pairs = zip(before, logits(self.model, self.retain), strict=True)
            kl = [(r.softmax(-1) * (r.log_softmax(-1) - p.log_softmax(-1))).sum(-1) for (r, _), (p, _) in pairs]
            return torch.autograd.grad(torch.cat(kl).mean(), self.parameters)

        return self.once(run.retain_loss, make)

    def update(self, run: Run) -> dict[str, Tensor]:
        """The gradient that one step leaves, by parameter."""
        value = robust_value(run, self.forget_losses(run))
        first = torch.autograd.grad(value, self.parameters, retain_graph=True)
        second, gamma, lam = self.retain_gradient(run), run.forget_weight, run.retain_weight
        if run.combiner == "blur":  # what of the retain gradient is along the forget gradient goes
            dots = [sum(float((a * b).sum()) for a, b in zip(x, first, strict=True)) for x in (second, first)]
            gamma -= lam * dots[0] / dots[1]
        return {name: gamma * f + lam * r for name, f, r in zip(self.names, first, second, strict=True)}
