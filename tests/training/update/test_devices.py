"""Two devices take the step of one, each with the whole model or with a share of it."""

import copy

import pytest
import torch
from devices import on_devices

from .conftest import CLOSE, VARIANTS

DEVICE = """
import sys, torch
from accelerate import Accelerator
from baldro.training import shards
from baldro.training.update import Step
from baldro.training.devices import device_group

model, cases = torch.load(sys.argv[1], weights_only=False)
accelerator, results = Accelerator(cpu=True), []
for split in (False, True):
    if split:
        shards.shard(model, device=accelerator.device, size=2)
    devices = device_group(accelerator, split=split)
    assert devices.size == 2
    for run, forget, retain, micro_batch, cache in cases:
        if split and run.combiner == "uno":
            continue
        model.zero_grad(set_to_none=True)
        step_log = Step(model, run, micro_batch=micro_batch, devices=devices, cache=cache).accumulate(forget, retain)
        gradients = {n: p.grad if p.grad is None else shards.full_tensor(p.grad) for n, p in model.named_parameters()}
        results.append((gradients, step_log.loss_B, step_log.weight_B, step_log.nll_B, step_log.retain))
torch.save(results, f"{sys.argv[1]}.{devices.rank}")
"""


def on_two_devices(model, cases, folder):
    """What each of two processes has in the end, for every case."""
    torch.save((model, cases), folder / "cases")
    on_devices(2, DEVICE, folder / "cases")
    return [torch.load(folder / f"cases.{rank}", weights_only=False) for rank in "01"]


@pytest.mark.processes
def test_two_devices_take_the_step_of_one(book, tmp_path):
    model = copy.deepcopy(book.model)  # the textbook leaves hooks that cannot be stored
    many, one = (book.forget_batch(7), book.draw(6, seed=2)), (book.forget_batch(1), book.draw(1, seed=2))
    runs = [book.point("npo", **v) for v in list(VARIANTS.values())[:-1]]
    runs.append(book.point("satimp", **VARIANTS["dv of tokens"]))
    scoped = dict(robust_scope="micro-batch", micro_batch_size=2)
    runs += [book.point("npo", **VARIANTS[name], **scoped) for name in ("base", "g", "dv", "g, retain cut")]
    worst = dict(retain_variant="baldro-dv", retain_dv_beta=1, retain_normalisation="sample-mean")
    runs += [book.point("npo", **scoped, **worst), book.point("npo", **scoped, combiner="blur")]
    token_mean = dict(forget_normalisation="token-mean")
    runs += [book.point("wga", **VARIANTS[name], **token_mean) for name in ("base", "g", "dv")]
    runs += [book.point("satimp", **VARIANTS[name], **token_mean, **scoped) for name in ("base", "g, retain cut")]
    runs += [book.point("npo", variant=name) for name in ("chi2", "cvar", "topk", "baldro-dv-learned")]
    runs += [book.point("npo", variant="baldro-dv", combiner=name) for name in ("blur", "uno", "dual")]
    runs += [book.point("undial"), book.point("npo", retain_loss="kl")]
    runs += [book.point("rmu", rmu_positions=at) for at in ("answer", "padded")]
    runs.append(book.point("npo", retain_variant="baldro-dv", retain_dv_beta=1, retain_normalisation="token-sum"))
    cases = [(run, *many, 2) for run in runs]
    cases += [(runs[0], *many, 64), (runs[1], *many, 64), (runs[2], *many, 64), *[(run, *one, 64) for run in runs[:3]]]
    sent = [
        (run, book.given(run, forget), retain, size, book.cache(run, forget, retain))
        for run, forget, retain, size in cases
    ]
    cases += [case for case in cases if case[0].combiner != "uno"]  # the same of a split model
    for case, *devices in zip(cases, *on_two_devices(model, sent, tmp_path), strict=True):
        gradients, step_log = book.ours(*case[:3])
        untouched = {name for name, p in book.model.named_parameters() if p.grad is None}
        for theirs, loss_B, weight_B, nll_B, retain in devices:
            assert {name for name, g in theirs.items() if g is None} == untouched
            none = {name: torch.zeros_like(g) for name, g in gradients.items()}
            assert book.distance({k: none[k] if g is None else g for k, g in theirs.items()}, gradients) < CLOSE
            assert loss_B.tolist() == pytest.approx(step_log.loss_B.tolist(), rel=1e-5)
            assert weight_B.tolist() == pytest.approx(step_log.weight_B.tolist(), rel=1e-4, abs=1e-9)
            assert nll_B.tolist() == pytest.approx(step_log.nll_B.tolist(), rel=1e-5)
            assert retain == pytest.approx(step_log.retain, rel=1e-5)
