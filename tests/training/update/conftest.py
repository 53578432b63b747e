"""The textbook: all logits of the batch, the true objective of each variant, autograd; float64.

It shares no line with the code: losses from their formulas on whole logits, `b log mean exp(l / b)` itself instead of weights, a second
model as the reference. Released trainers see one micro-batch at a time; its loss, of both halves, is divided by the micro-batches' number.
"""

import copy
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from baldro.prompts.encode import Tokens
from baldro.runs import OBJECTIVES, Run
from baldro.training.update import Sample, Step, cache_reference

CLOSE = 5e-6
"""Relative distance of gradients; log-probabilities are float32, all else here is float64."""
VARIANTS = {
    "base": dict(variant="base"),
    "g": dict(variant="baldro-g"),
    "dv": dict(variant="baldro-dv"),
    "g by likelihood": dict(variant="baldro-g", g_rank="likelihood"),
    "g, retain cut": dict(variant="baldro-g", g_retain="cut"),
    "dv, easy": dict(variant="baldro-dv", dv_direction="easy"),
    "dv of tokens": dict(variant="baldro-dv", dv_level="token"),
}
FIELDS = {
    "altpo": dict(dpo_beta=0.1, dv_beta=6),
    "ceu": dict(dv_beta=0.05),
    "gradascent": dict(dv_beta=0.7),
    "graddiff": dict(dv_beta=0.7),
    "idkdpo": dict(dpo_beta=0.2, dv_beta=3),
    "ihl": dict(dv_beta=0.05),
    "npo": dict(npo_beta=0.1, dv_beta=6),
    "pdu": dict(dv_beta=3, combiner="sum"),
    "rmu": dict(rmu_layer=0, rmu_steering=3, dv_beta=0.1),
    "simnpo": dict(simnpo_beta=1.5, simnpo_delta=5, dv_beta=0.5),
    "satimp": dict(satimp_beta1=0.6, satimp_beta2=1, dv_beta=0.03, forget_weight=3, retain_weight=0.2),
    "tnpo": dict(tnpo_beta=0.5, dv_beta=0.4),
    "undial": dict(undial_beta=3, dv_beta=0.5),
    "wga": dict(wga_beta=0.5, dv_beta=0.1),
}


def point(objective: str, **values: Any) -> Run:
    """A run whose hyperparameters tell its variants apart on the batches here."""
    weights = dict(forget_weight=0.7, retain_weight=1.3)
    fields = {**weights, **FIELDS[objective], **values}
    return Run.of(benchmark="fictional", model="tiny", split="forget10", objective=objective, **fields)


def draw(count: int, seed: int, longest: int = 9) -> list[Tokens]:
    """Sequences of unequal lengths; one in a few has a single answer token."""
    random = np.random.default_rng(seed)
    shapes = [(int(random.integers(1, 6)), int(random.integers(1, longest))) for _ in range(count)]
    return [Tokens(ids=tuple(random.integers(0, 64, before + n).tolist()), start=before) for before, n in shapes]


@dataclass
class Textbook:
    """A model, its reference, and the number whose gradient is the update."""

    model: Any
    reference: Any
    frozen: dict | None = None
    """Detached weights, kept from the first time they are asked for: with it the number's slope is the update."""

    # What the losses look at -----------------------------------------------------------------------------------------

    def logits(self, model, sequences):
        """What predicts each answer token, (T, V) for each sequence, and the hidden states at them behind every layer."""
        length = max(len(s.ids) for s in sequences)
        ids = torch.tensor([[*s.ids, *[63] * (length - len(s.ids))] for s in sequences])
        out = model(ids, output_hidden_states=True)
        for b, s in enumerate(sequences):
            yield SimpleNamespace(
                z=out.logits[b, s.start - 1 : len(s.ids) - 1],
                y=torch.tensor(s.ids[s.start :]),
                h=[layer[b, s.start : len(s.ids)] for layer in out.hidden_states[1:]],
            )

    def seen(self, sequences):
        """Policy and reference on each sequence; logp, reference logp, logits, hidden states."""
        with torch.no_grad():
            before = list(self.logits(self.reference, sequences))
        for now, then in zip(self.logits(self.model, sequences), before, strict=True):
            rows = torch.arange(len(now.y))
            now.logp, then.logp = (side.z.log_softmax(-1)[rows, now.y] for side in (now, then))
            yield now, then

    def forget_batch(self, count, seed=1):
        """Forget samples with what the reference says of them and of another answer."""
        tokens, others = draw(count, seed), draw(count, seed + 100)
        with torch.no_grad():
            logps = [[then.logp.tolist() for _, then in self.seen(some)] for some in (tokens, others)]
        rows = zip(tokens, others, *logps, strict=True)
        return [Sample(tokens=t, alternate=o, reference=r, alternate_reference=q) for t, o, r, q in rows]

    # Formulas --------------------------------------------------------------------------------------------------------

    def detached(self, now, value):
        value = value.detach()
        return value if self.frozen is None else self.frozen.setdefault(tuple(now.y.tolist()), value)

    def token_losses(self, run, now, then):
        ce = -now.logp
        p = None if run.objective == "ceu" else self.detached(now, now.logp.exp())
        probs, rows = now.z.softmax(-1), torch.arange(len(now.y))
        hot = torch.nn.functional.one_hot(now.y, now.z.shape[-1])
        match run.objective:
            case "gradascent" | "graddiff":
                return -ce
            case "satimp":
                return -(p**run.satimp_beta1) * (1 - p) ** run.satimp_beta2 * ce
            case "wga":
                return -(p**run.wga_beta) * ce
            case "tnpo":
                q = now.logp.exp() if run.tnpo_weight == "differentiated" else p
                share = q**run.tnpo_beta / (q**run.tnpo_beta + then.logp.exp() ** run.tnpo_beta)
                return -2 * share * ce
            case "undial":
                target = (then.z - run.undial_beta * hot).softmax(-1)
                return -(target * now.z.log_softmax(-1)).sum(-1)
            case "ceu":
                left = probs * (1 - hot)
                target = self.detached(now, left / left.sum(-1, keepdim=True))
                return -(target * now.z.log_softmax(-1)).sum(-1)
            case "pdu":
                return (now.z.max(-1).values - now.z.mean(-1)) ** 2
            case "ihl":
                return (1 + probs[rows, now.y] - (probs - 2 * hot).max(-1).values).clamp(min=0)
            case "rmu":
                h = now.h[run.rmu_layer]
                u = torch.rand(h.shape[-1], generator=torch.Generator().manual_seed(run.seed))
                return ((h - run.rmu_steering * (u / u.norm()).double()) ** 2).mean(-1)

    def sample_loss(self, run, now, then, other=None):
        b = run.npo_beta or run.simnpo_beta or run.dpo_beta
        match run.objective:
            case "npo":
                return -2 / b * torch.log(torch.sigmoid(-b * (now.logp.sum() - then.logp.sum())))
            case "simnpo":
                return -2 / b * torch.log(torch.sigmoid(b * (-now.logp.mean() - run.simnpo_delta)))
            case "idkdpo" | "altpo":
                gain = (other[0].logp.sum() - other[1].logp.sum()) - (now.logp.sum() - then.logp.sum())
                return -2 / b * torch.log(torch.sigmoid(b * gain))
        return self.token_losses(run, now, then).mean()

    def robust_value(self, run, seen, losses):
        """Of a batch: mean, mean of the hardest share, or log-sum-exp; and which samples count."""
        everyone = list(range(len(losses)))

        def mean(kept):
            if run.forget_normalisation == "token-mean":
                return torch.cat([self.token_losses(run, *seen[i]) for i in kept]).mean()
            return torch.stack([losses[i] for i in kept]).mean()

        if run.variant == "base":
            return mean(everyone), everyone
        if run.variant == "baldro-g":
            rank = torch.stack([now.logp.mean() for now, _ in seen] if run.g_rank == "likelihood" else losses).tolist()
            kept = sorted(everyone, key=lambda i: -rank[i])[: max(1, int(len(losses) * run.g_fraction))]
            return mean(kept), kept
        by_token = run.dv_level == "token"
        units = torch.cat([self.token_losses(run, *one) for one in seen]) if by_token else torch.stack(losses)
        b = run.dv_beta if run.dv_direction == "hard" else -run.dv_beta
        return b * torch.log(torch.exp(units / b).mean()), everyone

    def retain_value(self, run, seen):
        def cost(now, then):
            if run.retain_loss == "kl":
                r = then.z.softmax(-1)
                return (r * (r.log() - now.z.log_softmax(-1))).sum(-1)
            if run.retain_loss == "activations":
                return ((now.h[run.rmu_layer] - then.h[run.rmu_layer]) ** 2).mean(-1)
            return -now.logp

        costs = [cost(*one) for one in seen]
        if run.retain_normalisation == "token-mean":
            return torch.cat(costs).mean()
        losses = torch.stack([x.mean() if run.retain_normalisation == "sample-mean" else x.sum() for x in costs])
        if run.retain_variant == "baldro-dv":
            return run.retain_dv_beta * torch.log(torch.exp(losses / run.retain_dv_beta).mean())
        if run.retain_variant == "baldro-g":
            return losses.topk(max(1, int(len(losses) * run.retain_g_fraction))).values.mean()
        return losses.mean()

    def forget_value(self, run, forget):
        """Of a batch or a micro-batch: the forget half's number, per-sample losses, and how many samples count."""
        seen = list(self.seen([s.tokens for s in forget]))
        others = list(self.seen([s.alternate for s in forget]))
        losses = [self.sample_loss(run, *one, other) for one, other in zip(seen, others, strict=True)]
        if run.forget_normalisation == "token-mean":
            sums = [self.token_losses(run, *one).sum() for one in seen]
            losses = [x * len(forget) / sum(len(now.y) for now, _ in seen) for x in sums]
        value, kept = self.robust_value(run, seen, losses)
        return value, torch.stack(losses), len(kept)

    def value(self, run, forget, retain):
        """The number whose gradient is the update; per-sample losses beside it."""
        size = run.micro_batch_size or max(len(forget), len(retain))
        starts = [range(0, len(half), size) for half in (forget, retain)]
        found = {at: self.forget_value(run, forget[at : at + size]) for at in starts[0]}
        total = (run.forget_weight or 1) * sum(value for value, _, _ in found.values()) / len(found)
        for at in starts[1]:
            kept = found[at][2] if run.g_retain == "cut" else size
            part = self.retain_value(run, list(self.seen(retain[at : at + size][:kept])))
            total = total + run.retain_weight * part / len(starts[1])
        return total, torch.cat([losses for _, losses, _ in found.values()])

    # Both sides ------------------------------------------------------------------------------------------------------

    def gradient(self, value) -> dict[str, torch.Tensor]:
        names, parameters = zip(*self.model.named_parameters(), strict=True)
        grads = torch.autograd.grad(value, parameters, materialize_grads=True)
        return dict(zip(names, grads, strict=True))

    def update(self, run, forget, retain):
        return self.gradient(self.value(run, forget, retain)[0])

    def cache(self, run, forget, retain):
        padded = [max(len(t.ids) for t in retain)] * len(retain) if run.rmu_positions == "padded" else None
        given = dict(forget=[s.tokens for s in forget], retain=retain, widths=padded)
        return cache_reference(self.reference, run, tokens=60, **given)

    def given(self, run, forget):
        """Forget samples with only what the run's objective needs."""
        needs, other = OBJECTIVES[run.objective].needs, OBJECTIVES[run.objective].answers
        return [
            Sample(
                tokens=s.tokens,
                topic=s.topic,
                reference=s.reference if "reference" in needs else None,
                alternate=s.alternate if other else None,
                alternate_reference=s.alternate_reference if other else None,
            )
            for s in forget
        ]

    def ours(self, run, forget, retain, *, micro_batch=64):
        """What the code leaves in .grad, and what it saw."""
        self.model.zero_grad(set_to_none=True)
        step = Step(self.model, run, micro_batch=micro_batch, cache=self.cache(run, forget, retain))
        step_log = step.accumulate(self.given(run, forget), retain)
        none = {name: torch.zeros_like(p) for name, p in self.model.named_parameters()}
        return none | {
            name: p.grad.clone() for name, p in self.model.named_parameters() if p.grad is not None
        }, step_log

    @staticmethod
    def distance(gradients, expected) -> float:
        """Largest relative distance of a parameter's gradient; of one that should have none, its size beside the others'."""
        assert gradients.keys() == expected.keys()
        least = 1e-9 * max(float(g.norm()) for g in expected.values())
        return max(float((gradients[k] - expected[k]).norm() / max(least, float(expected[k].norm()))) for k in expected)

    point = staticmethod(point)
    draw = staticmethod(draw)


@pytest.fixture
def book(tiny_model) -> Textbook:
    """The textbook on a tiny model in float64, with a reference that differs from it a little."""
    reference = copy.deepcopy(tiny_model)
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in reference.parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))
    return Textbook(tiny_model, reference)
