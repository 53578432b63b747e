"""The update against a textbook: all logits of the batch, the true objective of each variant, autograd; float64.

The textbook (`value`) shares no line with the code: losses from their formulas, `b log mean exp(l / b)` itself instead of weights.
"""

import math
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import baldro.models
from baldro.combine import Sample, Step
from baldro.data.batches import collate
from baldro.data.encode import Tokens
from baldro.errors import BaldroError
from baldro.grid import Run
from baldro.models import token_logp

CLOSE = 5e-6
"""Relative distance of gradients; log-probabilities are float32, all else here is float64."""
FIELDS = {
    "gradascent": dict(dv_beta=0.7),
    "graddiff": dict(dv_beta=0.7),
    "npo": dict(npo_beta=0.1, dv_beta=6),
    "simnpo": dict(simnpo_beta=1.5, simnpo_delta=5, dv_beta=0.5),
    "satimp": dict(satimp_beta1=0.6, satimp_beta2=1, dv_beta=0.03, forget_weight=3, retain_weight=0.2),
}
VARIANTS = {
    "base": dict(variant="base"),
    "g": dict(variant="baldro-g"),
    "dv": dict(variant="baldro-dv"),
    "g by likelihood": dict(variant="baldro-g", g_rank="likelihood"),
    "g, retain cut": dict(variant="baldro-g", g_retain="cut"),
    "dv, easy": dict(variant="baldro-dv", dv_direction="easy"),
    "dv of tokens": dict(variant="baldro-dv", dv_level="token"),
}


def point(objective, **values):
    weights = dict(forget_weight=0.7, retain_weight=1.3)
    fields = {**weights, **FIELDS[objective], **values}
    return Run.of(benchmark="fictional", model="tiny", split="forget10", objective=objective, **fields)


def draw(count, seed, longest=9):
    """Sequences of unequal lengths; one in a few has a single answer token."""
    random = np.random.default_rng(seed)
    shapes = [(int(random.integers(1, 6)), int(random.integers(1, longest))) for _ in range(count)]
    return [Tokens(ids=tuple(random.integers(0, 64, before + n).tolist()), start=before) for before, n in shapes]


def forget_batch(count, seed=1):
    """Forget samples whose references lie on both sides of the policy."""
    random = np.random.default_rng(seed)
    return [Sample(tokens=t, reference=float(-6 * t.answer + 12 * random.normal())) for t in draw(count, seed)]


# The textbook --------------------------------------------------------------------------------------------------------


def answer_logps(model, sequences):
    """log p of every answer token, a vector for each sequence, from the logits of whole sequences."""
    length = max(len(s.ids) for s in sequences)
    ids = torch.tensor([[*s.ids, *[63] * (length - len(s.ids))] for s in sequences])
    logp = model(ids).logits.log_softmax(-1)
    return [
        torch.stack([logp[b, t - 1, s.ids[t]] for t in range(s.start, len(s.ids))]) for b, s in enumerate(sequences)
    ]


def token_losses(run, logp):
    if run.objective != "satimp":
        return logp
    p = logp.detach().exp()
    return -(p**run.satimp_beta1) * (1 - p) ** run.satimp_beta2 * -logp


def sample_loss(run, logp, reference):
    if run.objective == "npo":
        return -2 / run.npo_beta * torch.log(torch.sigmoid(-run.npo_beta * (logp.sum() - reference)))
    if run.objective == "simnpo":
        return -2 / run.simnpo_beta * torch.log(torch.sigmoid(run.simnpo_beta * (-logp.mean() - run.simnpo_delta)))
    return token_losses(run, logp).mean()


def robust_value(run, logps, losses):
    """Of a batch: mean, mean of the hardest half, or log-sum-exp; and which samples count."""
    everyone = list(range(len(losses)))
    if run.variant == "base":
        return torch.stack(losses).mean(), everyone
    if run.variant == "baldro-g":
        rank = torch.stack([logp.mean() for logp in logps] if run.g_rank == "likelihood" else losses).tolist()
        kept = sorted(everyone, key=lambda i: -rank[i])[: max(1, len(losses) // 2)]
        return torch.stack([losses[i] for i in kept]).mean(), kept
    units = torch.cat([token_losses(run, x) for x in logps]) if run.dv_level == "token" else torch.stack(losses)
    b = run.dv_beta if run.dv_direction == "hard" else -run.dv_beta
    return b * torch.log(torch.exp(units / b).mean()), everyone


def retain_value(run, logps):
    return {
        "token-mean": -torch.cat(logps).mean(),
        "sample-mean": -torch.stack([x.mean() for x in logps]).mean(),
        "token-sum": -torch.stack([x.sum() for x in logps]).mean(),
    }[run.retain_normalisation]


def value(model, run, forget, retain):
    """The number whose gradient is the update; per-sample losses beside it."""
    logps = answer_logps(model, [s.tokens for s in forget])
    losses = [sample_loss(run, logp, s.reference) for logp, s in zip(logps, forget, strict=True)]
    size = run.micro_batch_size or len(forget)
    chunks = range(0, len(forget), size)
    parts = [robust_value(run, logps[at : at + size], losses[at : at + size]) for at in chunks]
    total = torch.stack([part for part, _ in parts]).mean() * (run.forget_weight or 1)
    if run.g_retain == "cut":
        retain = retain[: sum(len(kept) for _, kept in parts)]
    if retain:
        total = total + run.retain_weight * retain_value(run, answer_logps(model, retain))
    return total, torch.stack(losses)


# Both sides ----------------------------------------------------------------------------------------------------------


def ours(model, run, forget, retain, *, micro_batch=64):
    model.zero_grad(set_to_none=True)
    seen = Step(model, run, micro_batch=micro_batch).accumulate(forget, retain)
    return {name: p.grad.clone() for name, p in model.named_parameters()}, seen


def textbook(model, run, forget, retain):
    names, parameters = zip(*model.named_parameters(), strict=True)
    return dict(zip(names, torch.autograd.grad(value(model, run, forget, retain)[0], parameters), strict=True))


def distance(gradients, expected):
    """Largest relative distance of a parameter's gradient."""
    assert gradients.keys() == expected.keys()
    return max(float((gradients[name] - expected[name]).norm() / expected[name].norm()) for name in expected)


@pytest.mark.parametrize("variant", ["base", "baldro-g", "baldro-dv"])
@pytest.mark.parametrize("objective", FIELDS)
def test_update_of_every_method_is_the_gradient_of_its_objective(tiny_model, objective, variant):
    forget, retain = forget_batch(7), draw(6, seed=2) if objective != "gradascent" else []
    for normalisation in ("token-mean", "sample-mean", "token-sum") if retain else ("token-mean",):
        run = point(objective, variant=variant, retain_normalisation=normalisation)
        expected = textbook(tiny_model, run, forget, retain)
        assert distance(ours(tiny_model, run, forget, retain)[0], expected) < CLOSE
        assert distance(ours(tiny_model, run, forget, retain, micro_batch=3)[0], expected) < CLOSE
        if variant != "base":
            base = textbook(tiny_model, point(objective, retain_normalisation=normalisation), forget, retain)
            assert distance(base, expected) > 0.02, "this batch cannot tell the variants apart"


@pytest.mark.parametrize("micro_batch", [64, 2])
def test_update_of_dv_against_finite_differences(tiny_model, micro_batch):
    run, forget, retain = point("npo", variant="baldro-dv"), forget_batch(6), draw(5, seed=2)
    gradient = ours(tiny_model, run, forget, retain, micro_batch=micro_batch)[0]
    name, h = "model.layers.0.self_attn.q_proj.weight", 1e-5
    weight = tiny_model.get_parameter(name)
    for at in gradient[name].abs().flatten().topk(4).indices.tolist():
        place = np.unravel_index(at, weight.shape)
        values = []
        with torch.no_grad():
            for step in (h, -2 * h):
                weight[place] += step
                values.append(float(value(tiny_model, run, forget, retain)[0]))
            weight[place] += h
        assert float(gradient[name][place]) == pytest.approx((values[0] - values[1]) / (2 * h), rel=1e-4)


@pytest.mark.parametrize("objective, variant", [*[("npo", v) for v in list(VARIANTS)[:-1]], ("satimp", "dv of tokens")])
def test_update_does_not_depend_on_the_micro_batch(tiny_model, objective, variant):
    run, forget, retain = point(objective, **VARIANTS[variant]), forget_batch(32), draw(32, seed=2)
    expected = textbook(tiny_model, run, forget, retain)
    whole, logged = ours(tiny_model, run, forget, retain, micro_batch=64)
    assert distance(whole, expected) < CLOSE
    for micro_batch in (32, 8, 1):
        pieces, seen = ours(tiny_model, run, forget, retain, micro_batch=micro_batch)
        assert distance(pieces, whole) < CLOSE
        for name in ("loss_B", "weight_B", "nll_B"):
            assert getattr(seen, name).tolist() == pytest.approx(getattr(logged, name).tolist(), rel=1e-4, abs=1e-9)
        assert seen.retain == pytest.approx(logged.retain)


def test_what_a_step_saw(tiny_model):
    run, forget, retain = point("npo", variant="baldro-dv"), forget_batch(7), draw(6, seed=2)
    losses = value(tiny_model, run, forget, retain)[1].detach()
    logps = answer_logps(tiny_model, [s.tokens for s in forget])
    for micro_batch in (64, 2):
        _, seen = ours(tiny_model, run, forget, retain, micro_batch=micro_batch)
        assert seen.loss_B.tolist() == pytest.approx(losses.tolist(), rel=1e-5)
        assert seen.weight_B.tolist() == pytest.approx(torch.softmax(losses / 6, 0).tolist(), rel=1e-4)
        assert seen.nll_B.tolist() == pytest.approx([-x.mean().item() for x in logps], rel=1e-5)
        assert seen.retain == pytest.approx(retain_value(run, answer_logps(tiny_model, retain)).item(), rel=1e-5)


def test_npo_starts_at_13_86_and_needs_a_reference(tiny_model):
    tokens = [s.tokens for s in forget_batch(5)]
    start = [x.sum().item() for x in answer_logps(tiny_model, tokens)]
    forget = [Sample(tokens=t, reference=r) for t, r in zip(tokens, start, strict=True)]
    _, seen = ours(tiny_model, point("npo"), forget, [])
    assert seen.loss_B.tolist() == pytest.approx([20 * math.log(2)] * 5, rel=1e-5)
    with pytest.raises(BaldroError, match="reference"):
        ours(tiny_model, point("npo"), [Sample(tokens=t) for t in tokens], [])


# Passes over the model -----------------------------------------------------------------------------------------------


def passes(model, run, forget, retain, micro_batch):
    """(rows, with gradients) of every forward pass."""
    calls = []
    hook = model.base_model.register_forward_pre_hook(
        lambda _, args, given: calls.append((len(given["input_ids"]), torch.is_grad_enabled())), with_kwargs=True
    )
    ours(model, run, forget, retain, micro_batch=micro_batch)
    hook.remove()
    assert max(rows for rows, _ in calls) <= micro_batch
    return calls


@pytest.mark.parametrize("variant", ["base", "dv", "dv, easy"])
def test_one_pass_when_all_fits(tiny_model, variant):
    run = point("npo", **VARIANTS[variant])
    assert passes(tiny_model, run, forget_batch(9), draw(8, seed=2), 17) == [(17, True)]


@pytest.mark.parametrize("variant", ["base", "dv"])
@pytest.mark.parametrize("micro_batch, rows", [(4, [4, 4, 1, 4, 4]), (9, [9, 8]), (16, [9, 8])])
def test_every_sample_goes_forward_once(tiny_model, variant, micro_batch, rows):
    calls = passes(tiny_model, point("npo", **VARIANTS[variant]), forget_batch(9), draw(8, seed=2), micro_batch)
    assert calls == [(n, True) for n in rows]


@pytest.mark.parametrize("variant, retained", [("g", 8), ("g by likelihood", 8), ("g, retain cut", 4)])
@pytest.mark.parametrize("micro_batch", [3, 7, 64])
def test_g_ranks_without_gradients_and_goes_on_with_half(tiny_model, variant, retained, micro_batch):
    calls = passes(tiny_model, point("npo", **VARIANTS[variant]), forget_batch(9), draw(8, seed=2), micro_batch)
    assert sum(rows for rows, gradients in calls if not gradients) == 9
    assert sum(rows for rows, gradients in calls if gradients) == 4 + retained


@pytest.mark.parametrize("count", [1, 2, 3])
def test_g_keeps_one_of_the_smallest_batches(tiny_model, count):
    run, forget, retain = point("npo", variant="baldro-g"), forget_batch(count), draw(2, seed=2)
    gradients, seen = ours(tiny_model, run, forget, retain)
    assert distance(gradients, textbook(tiny_model, run, forget, retain)) < CLOSE
    assert sorted(seen.weight_B.tolist()) == [0.0] * (count - 1) + [1.0]


# Released forms, each by itself --------------------------------------------------------------------------------------


RELEASED = {
    "direction": ("npo", dict(variant="baldro-dv"), dict(dv_direction="easy")),
    "scope of dv": ("npo", dict(variant="baldro-dv"), dict(robust_scope="micro-batch", micro_batch_size=4)),
    "scope of g": ("npo", dict(variant="baldro-g"), dict(robust_scope="micro-batch", micro_batch_size=4)),
    "normalisation": ("npo", dict(variant="baldro-dv"), dict(retain_normalisation="token-sum")),
    "level": ("satimp", dict(variant="baldro-dv"), dict(dv_level="token")),
    "level of graddiff": ("graddiff", dict(variant="baldro-dv"), dict(dv_level="token")),
    "scope and level": ("satimp", dict(variant="baldro-dv", dv_level="token"), dict(robust_scope="micro-batch")),
    "rank": ("npo", dict(variant="baldro-g"), dict(g_rank="likelihood")),
    "cut": ("npo", dict(variant="baldro-g"), dict(g_retain="cut")),
    "scope and cut": ("npo", dict(variant="baldro-g", g_retain="cut"), dict(robust_scope="micro-batch")),
}


@pytest.mark.parametrize("name", RELEASED)
def test_a_released_form_changes_what_it_should(tiny_model, name):
    objective, fields, switch = RELEASED[name]
    forget, retain = forget_batch(10), draw(10, seed=2)
    ordinary, released = point(objective, **fields), point(objective, **fields, **switch)
    expected = textbook(tiny_model, released, forget, retain)
    for micro_batch in (64, 3):
        assert distance(ours(tiny_model, released, forget, retain, micro_batch=micro_batch)[0], expected) < CLOSE
    assert distance(textbook(tiny_model, ordinary, forget, retain), expected) > 0.01


@pytest.mark.parametrize("variant", ["g", "dv", "dv, easy"])
def test_alone_in_its_micro_batch_a_sample_is_weighted_as_in_base(tiny_model, variant):
    forget, retain = forget_batch(5), draw(5, seed=2)
    alone = point("npo", **VARIANTS[variant], robust_scope="micro-batch", micro_batch_size=1)
    base = ours(tiny_model, point("npo"), forget, retain)[0]
    gradients, seen = ours(tiny_model, alone, forget, retain)
    assert distance(gradients, base) < CLOSE
    assert seen.weight_B.tolist() == pytest.approx([0.2] * 5)


# Devices -------------------------------------------------------------------------------------------------------------

DEVICE = """
import sys, torch
from accelerate import Accelerator
from baldro.combine import Step
from baldro.train import _peers

model, cases = torch.load(sys.argv[1], weights_only=False)
peers, results = _peers(Accelerator(cpu=True)), []
assert peers.size == 2
for run, forget, retain, micro_batch in cases:
    model.zero_grad(set_to_none=True)
    seen = Step(model, run, micro_batch=micro_batch, peers=peers).accumulate(forget, retain)
    gradients = {name: p.grad for name, p in model.named_parameters()}
    results.append((gradients, seen.loss_B, seen.weight_B, seen.nll_B, seen.retain))
torch.save(results, f"{sys.argv[1]}.{peers.rank}")
"""


def on_two_devices(model, cases, folder):
    """What each of two processes has in the end, for every case."""
    torch.save((model, cases), folder / "cases")
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = str(server.getsockname()[1])
    common = dict(WORLD_SIZE="2", MASTER_ADDR="127.0.0.1", MASTER_PORT=port, OMP_NUM_THREADS="1")
    common["PYTHONPATH"] = str(Path(__file__).resolve().parents[1])
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", DEVICE, str(folder / "cases")],
            env={**os.environ, **common, "RANK": rank, "LOCAL_RANK": rank},
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in "01"
    ]
    try:
        for process in processes:
            error = process.communicate(timeout=300)[1]
            assert process.returncode == 0, error
    finally:
        for process in processes:
            process.kill()
    return [torch.load(folder / f"cases.{rank}", weights_only=False) for rank in "01"]


def test_two_devices_take_the_step_of_one(tiny_model, tmp_path):
    many, one = (forget_batch(7), draw(6, seed=2)), (forget_batch(1), draw(1, seed=2))
    runs = [point("npo", **v) for v in list(VARIANTS.values())[:-1]] + [point("satimp", **VARIANTS["dv of tokens"])]
    scoped = dict(robust_scope="micro-batch", micro_batch_size=2)
    runs += [point("npo", **VARIANTS[name], **scoped) for name in ("g", "dv", "g, retain cut")]
    cases = [(run, *many, 2) for run in runs]
    cases += [(runs[0], *many, 64), (runs[1], *many, 64), (runs[2], *many, 64), *[(run, *one, 64) for run in runs[:3]]]
    for case, *devices in zip(cases, *on_two_devices(tiny_model, cases, tmp_path), strict=True):
        gradients, seen = ours(tiny_model, *case[:3])
        for theirs, loss_B, weight_B, nll_B, retain in devices:
            assert distance(theirs, gradients) < CLOSE
            assert loss_B.tolist() == pytest.approx(seen.loss_B.tolist(), rel=1e-5)
            assert weight_B.tolist() == pytest.approx(seen.weight_B.tolist(), rel=1e-4)
            assert nll_B.tolist() == pytest.approx(seen.nll_B.tolist(), rel=1e-5)
            assert retain == pytest.approx(seen.retain, rel=1e-5)


# The forward pass that all share -------------------------------------------------------------------------------------


@pytest.mark.parametrize("rows", [None, 3, 1])
def test_token_logp_of_a_padded_batch_is_that_of_each_sequence_alone(tiny_model, monkeypatch, rows):
    """Also when the head is taken a few rows at a time and computed again in the backward pass."""
    sequences, widths = draw(6, seed=3), []
    alone = [answer_logps(tiny_model, [s])[0] for s in sequences]
    scale = [torch.linspace(0.5, 2, len(x), dtype=torch.float64) for x in alone]
    total = sum((x * s).sum() for x, s in zip(alone, scale, strict=True))
    expected = torch.autograd.grad(total, list(tiny_model.parameters()))
    if rows:
        monkeypatch.setattr(baldro.models, "HEAD_ELEMENTS", rows * 64)
    hook = tiny_model.lm_head.register_forward_hook(lambda _, args, logits: widths.append(len(logits)))
    logp_BT, mask_BT = token_logp(tiny_model, collate(sequences))
    hook.remove()
    assert sum(widths) == sum(s.answer for s in sequences), "only answer tokens go through the head"
    assert max(widths) == (rows or sum(widths))
    assert mask_BT.sum(1).tolist() == [s.answer for s in sequences]
    assert (logp_BT[~mask_BT] == 0).all()
    assert logp_BT[mask_BT].tolist() == pytest.approx(torch.cat(alone).tolist(), rel=1e-6, abs=1e-6)
    (logp_BT[mask_BT] * torch.cat(scale)).sum().backward()
    for p, g in zip(tiny_model.parameters(), expected, strict=True):
        assert float((p.grad - g).norm() / g.norm()) < CLOSE
