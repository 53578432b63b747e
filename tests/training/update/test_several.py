"""A training on two or four devices, each with a share of the model, is that of one; whatever number of them goes on with it."""

import copy
from dataclasses import replace

import pytest
import torch
from devices import on_devices

from baldro.training.loop import Execution, train

from .conftest import FIELDS, VARIANTS

pytestmark = pytest.mark.processes
RELEASED_RMU = dict(rmu_positions="padded", rmu_weights="down-proj")

TRAINING = """
import copy, os, pathlib, signal, sys, torch
from baldro.durable.lease import Interrupted, Stop
from baldro.durable.progress import Progress
from baldro.training.loop import Execution, train

cases, output, shard, last = sys.argv[1], sys.argv[2], sys.argv[3] == "True", int(sys.argv[4])
model, cases = torch.load(cases, weights_only=False)
start, advance = {name: p.clone() for name, p in model.state_dict().items()}, Progress.advance

def and_stop(self, **options):
    advance(self, **options)
    if self.done == last and int(os.environ["RANK"]) == int(os.environ["WORLD_SIZE"]) - 1:
        os.kill(os.getpid(), signal.SIGTERM)  # one device is told, a step before all end

Progress.advance, results = and_stop, []
for i, (run, forget, retain) in enumerate(cases):
    own = copy.deepcopy(model)
    with Stop() as stop:
        try:
            done = train(own, run, forget=forget, retain=retain, output=pathlib.Path(output) / str(i), identity="same", stop=stop,
                         execution=Execution(micro_batch=3, shard=shard, checkpoint_minutes=None))
        except Interrupted:
            assert last
            continue
    results.append((own.state_dict(), done.state.rows, done.state.dynamics))
    assert not last
if os.environ["RANK"] == "0":
    torch.save(results, f"{output}/results")
"""


def alone(model, run, forget, retain, folder):
    """What one process makes of it."""
    own = copy.deepcopy(model)
    execution = Execution(micro_batch=3, checkpoint_minutes=None)
    done = train(own, run, forget=forget, retain=retain, output=folder, identity="same", execution=execution)
    return own.state_dict(), done.state.rows, done.state.dynamics


def assert_alike(found, expected, start):
    """Weights to 1e-6, where training moved some of them by a thousand times as much; rows and samples to rounding."""
    assert max(float((weight - start[name]).abs().max()) for name, weight in expected[0].items()) > 1e-3
    for name, weight in expected[0].items():
        assert float((found[0][name] - weight).abs().max()) < 1e-6, name
    for ours, theirs in ((found[1], expected[1]), (found[2], expected[2])):
        for a, b in zip(ours, theirs, strict=True):
            kept = {k: v for k, v in b.items() if k not in ("seconds", "tokens_per_second")}
            assert {k: a[k] for k in kept} == pytest.approx(kept, rel=1e-4, abs=1e-8, nan_ok=True)


@pytest.fixture
def given(book):
    """(objective, fields) -> a run of three steps, its forget samples and its retain samples."""

    def of(objective, *, steps=3, **fields):
        own = dict(max_steps=steps, batch_size=5, lr=1e-3, epochs=3, warmup_epochs=0, schedule="constant")
        run = book.point(objective, **own, **fields)
        forget = [replace(s, topic=i % 2 if objective == "rmu" else 0) for i, s in enumerate(book.forget_batch(7))]
        return run, book.given(run, forget), book.draw(6, seed=2)

    return of


def test_every_method_on_two_devices(book, given, tmp_path):
    model = copy.deepcopy(book.model)
    cases = [given(objective, **VARIANTS[name]) for objective in FIELDS for name in ("base", "g", "dv")]
    cases += [given("npo", variant="baldro-dv", combiner=name) for name in ("blur", "dual")]
    cases += [given("npo", retain_loss="kl"), given("npo", lora_rank=4), given("satimp", **VARIANTS["dv of tokens"])]
    torch.save((model, cases), tmp_path / "cases")
    on_devices(2, TRAINING, tmp_path / "cases", tmp_path, True, 0)
    found = torch.load(tmp_path / "results", weights_only=False)
    for i, (case, theirs) in enumerate(zip(cases, found, strict=True)):
        assert_alike(theirs, alone(model, *case, tmp_path / f"alone{i}"), model.state_dict())


def test_what_two_began_four_go_on_with_and_one_finishes(book, given, tmp_path):
    model = copy.deepcopy(book.model)
    cases = [given("npo", variant="baldro-dv", steps=8), given("npo", combiner="dual", steps=8)]
    cases += [given("npo", lora_rank=4, steps=8), given("rmu", **RELEASED_RMU, steps=8)]
    torch.save((model, cases), tmp_path / "cases")
    for count, shard, last in ((2, True, 1), (4, True, 3), (2, False, 5), (1, True, 0)):
        on_devices(count, TRAINING, tmp_path / "cases", tmp_path, shard, last)
    found = torch.load(tmp_path / "results", weights_only=False)
    for i, (case, theirs) in enumerate(zip(cases, found, strict=True)):
        assert_alike(theirs, alone(model, *case, tmp_path / f"alone{i}"), model.state_dict())
