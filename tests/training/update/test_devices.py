"""Two devices take the step of one."""

import copy
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from .conftest import CLOSE, VARIANTS

DEVICE = """
import sys, torch
from accelerate import Accelerator
from baldro.training.update import Step
from baldro.training.devices import device_group

model, cases = torch.load(sys.argv[1], weights_only=False)
devices, results = device_group(Accelerator(cpu=True)), []
assert devices.size == 2
for run, forget, retain, micro_batch, cache in cases:
    model.zero_grad(set_to_none=True)
    step_log = Step(model, run, micro_batch=micro_batch, devices=devices, cache=cache).accumulate(forget, retain)
    gradients = {name: p.grad for name, p in model.named_parameters()}
    results.append((gradients, step_log.loss_B, step_log.weight_B, step_log.nll_B, step_log.retain))
torch.save(results, f"{sys.argv[1]}.{devices.rank}")
"""


def on_two_devices(model, cases, folder):
    """What each of two processes has in the end, for every case."""
    torch.save((model, cases), folder / "cases")
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = str(server.getsockname()[1])
    common = dict(WORLD_SIZE="2", MASTER_ADDR="127.0.0.1", MASTER_PORT=port, OMP_NUM_THREADS="1")
    common["PYTHONPATH"] = str(Path(__file__).resolve().parents[3])
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
    runs += [book.point("undial"), book.point("npo", retain_loss="kl"), book.point("rmu")]
    runs.append(book.point("npo", retain_variant="baldro-dv", retain_dv_beta=1, retain_normalisation="token-sum"))
    cases = [(run, *many, 2) for run in runs]
    cases += [(runs[0], *many, 64), (runs[1], *many, 64), (runs[2], *many, 64), *[(run, *one, 64) for run in runs[:3]]]
    sent = [
        (run, book.given(run, forget), retain, size, book.cache(run, forget, retain))
        for run, forget, retain, size in cases
    ]
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
