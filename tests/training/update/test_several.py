"""A training on two or four devices, each with a share of the model, is that of one; whatever number of them goes on with it."""

import copy
from dataclasses import replace

import pytest
import torch
from devices import on_devices

from baldro.training.loop import Execution, train

from .conftest import CLOSE, FIELDS, VARIANTS

pytestmark = pytest.mark.processes
RELEASED_RMU = dict(rmu_positions="padded", rmu_weights="down-proj")
PAPERS = 1e-5
"""The paper's learning rate."""

TRAINING = """
import copy, os, pathlib, signal, sys, torch
from baldro.durable.lease import Interrupted, Stop
from baldro.durable.progress import Progress
from baldro.training import shards
from baldro.training.devices import WAIT
from baldro.training.loop import Execution, train

cases, output, shard, last = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
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
                         execution=Execution(micro_batch=3, shard=shard == "all" or shard == "every other" and i % 2 == 1,
                                             checkpoint_minutes=None))
        except Interrupted:
            assert last
            continue
    moments = shards.whole(done.state.optimizer.state_dict()["state"], keep=True)
    results.append((own.state_dict(), done.state.rows, done.state.dynamics, moments))
    assert not last
if group := torch.distributed.group.WORLD:  # which waits for as long as one process may write a model
    assert group._get_backend(torch.device("cpu")).options._timeout == WAIT
if os.environ["RANK"] == "0":
    torch.save(results, f"{output}/results")
"""


def alone(model, run, forget, retain, folder):
    """What one process makes of it."""
    own = copy.deepcopy(model)
    execution = Execution(micro_batch=3, checkpoint_minutes=None)
    done = train(own, run, forget=forget, retain=retain, output=folder, identity="same", execution=execution)
    return own.state_dict(), done.state.rows, done.state.dynamics, done.state.optimizer.state_dict()["state"]


def assert_alike(found, expected, start, *, moved=1e-3, rounding=1e-8):
    """Weights to 1e-6, where training `moved` some of them by far more; rows and samples to rounding, losses of which may be about 0."""
    assert max(float((weight - start[name]).abs().max()) for name, weight in expected[0].items()) > moved
    for name, weight in expected[0].items():
        assert float((found[0][name] - weight).abs().max()) < 1e-6, name
    for ours, theirs in ((found[1], expected[1]), (found[2], expected[2])):
        for a, b in zip(ours, theirs, strict=True):
            kept = {k: v for k, v in b.items() if k not in ("seconds", "tokens_per_second")}
            assert {k: a[k] for k in kept} == pytest.approx(kept, rel=1e-4, abs=rounding, nan_ok=True)


@pytest.fixture
def given(book):
    """(objective, fields) -> a run of three steps, its forget samples and its retain samples."""

    def of(objective, *, steps=3, lr=1e-3, **fields):
        own = dict(max_steps=steps, batch_size=5, lr=lr, epochs=3, warmup_epochs=0, schedule="constant")
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
    on_devices(2, TRAINING, tmp_path / "cases", tmp_path, "all", 0)
    found = torch.load(tmp_path / "results", weights_only=False)
    for i, (case, theirs) in enumerate(zip(cases, found, strict=True)):
        assert_alike(theirs, alone(model, *case, tmp_path / f"alone{i}"), model.state_dict())


def without_rounding(weights, exact, start):
    """Weights with those of the embeddings set to 0 that a first step in float64 leaves nearly where they were."""
    embeddings = ("model.embed_tokens.weight", "lm_head.weight")
    moved = {name: (exact[name] - start[name]).abs() > 0.9 * PAPERS for name in embeddings}
    assert 0 < moved[embeddings[0]].float().mean() < 1
    return {name: weight * moved[name] if name in embeddings else weight for name, weight in weights.items()}


def test_every_method_on_four_devices_in_float32(book, given, tmp_path):
    """At the paper's learning rate, every other model split: weights to 1e-6; and to CLOSE AdamW's first moments, which are the gradients
    of the three steps before it divides them.

    RMU's first step is an exception. The model still is its reference, so what the retain loss says of a token that no forget sample has
    is a gradient of 0, for which float32 has rounding errors, others for every order of a sum; and AdamW moves a weight by the whole
    learning rate however small its gradient is. One process with other micro-batches ends as far away. So weights whose first gradient is
    below 1e-7 in float64, where others are about 1, are left out; and RMU's moments are compared after one step, since its further
    gradients are those of other embeddings.
    """
    model, start = copy.deepcopy(book.model), book.model.state_dict()
    cases = [given(objective, lr=PAPERS, **VARIANTS[name]) for objective in FIELDS for name in ("base", "g", "dv")]
    first = [given("rmu", lr=PAPERS, steps=1, **VARIANTS[name]) for name in ("base", "g", "dv")]
    exact = {case[0].variant: alone(model, *case, tmp_path / f"exact-{case[0].variant}")[0] for case in first}
    model = model.float()
    torch.save((model, cases + first), tmp_path / "cases")
    on_devices(4, TRAINING, tmp_path / "cases", tmp_path, "every other", 0)
    found = torch.load(tmp_path / "results", weights_only=False)
    for i, (case, theirs) in enumerate(zip(cases + first, found, strict=True)):
        ours, run, before = alone(model, *case, tmp_path / f"alone{i}"), case[0], model.state_dict()
        if run.objective != "rmu" or run.max_steps == 1:
            for j, moment in ((j, state["exp_avg"]) for j, state in ours[3].items()):
                assert float((theirs[3][j]["exp_avg"] - moment).norm()) < CLOSE * float(moment.norm()), (run.id, j)
        if run.objective == "rmu":
            theirs, ours, (before,) = (
                (without_rounding(weights, exact[run.variant], start), *more)
                for weights, *more in (theirs, ours, (before,))
            )
        assert_alike(theirs, ours, before, moved=0.9 * PAPERS, rounding=1e-7)


def test_what_two_began_four_go_on_with_and_one_finishes(book, given, tmp_path):
    model = copy.deepcopy(book.model)
    cases = [given("npo", variant="baldro-dv", steps=8), given("npo", combiner="dual", steps=8)]
    cases += [given("npo", lora_rank=4, steps=8), given("rmu", **RELEASED_RMU, steps=8)]
    torch.save((model, cases), tmp_path / "cases")
    for count, shard, last in ((2, "all", 1), (4, "all", 3), (2, "none", 5), (1, "all", 0)):
        on_devices(count, TRAINING, tmp_path / "cases", tmp_path, shard, last)
    found = torch.load(tmp_path / "results", weights_only=False)
    for i, (case, theirs) in enumerate(zip(cases, found, strict=True)):
        assert_alike(theirs, alone(model, *case, tmp_path / f"alone{i}"), model.state_dict())
