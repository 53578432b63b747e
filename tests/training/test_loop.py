"""The training loop: resume, plan, schedule, optimiser, precision.

Small random Llamas with attention dropout, so that random state matters.
"""

import math
import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pandas as pd
import pytest
import tiny
import torch
import transformers
from hypothesis import given
from hypothesis import strategies as st
from refusals import refused
from tiny import sequences

from baldro import models
from baldro.durable.lease import Lease, Stop
from baldro.durable.progress import Progress
from baldro.prompts.batches import draw
from baldro.runs import Run
from baldro.training.loop import Execution, Interrupted, Schedule, train
from baldro.training.order import FORGET
from baldro.training.update import Sample, Step

COLUMNS = ["step", "epoch", "lr", "forget_loss", "retain_loss", "grad_norm", "tokens_per_second", "seconds"]
TIMES = ["tokens_per_second", "seconds"]
LENGTHS = (9, 7, 12, 8, 11, 7, 10)
pytestmark = pytest.mark.usefixtures("one_cpu_thread")
llama = partial(tiny.llama, dropout=0.1)


METHODS = {
    "dv": dict(objective="npo", variant="baldro-dv"),
    "dual": dict(objective="npo", combiner="dual", dual_step=0.1, retain_weight=1),
    "kl": dict(objective="npo", retain_loss="kl"),
    "blur": dict(objective="npo", combiner="blur"),
}


def run_of(kind="finetune", **values):
    """7 samples in batches of 3: an epoch has 3 steps, the last of one sample."""
    settled = dict(lr=0.01, batch_size=3, epochs=3, warmup_epochs=1) | values
    method = METHODS.get(kind) or dict(objective=kind)
    return Run.of(benchmark="b", model="m", split="forget10", **method, **settled)


def fit(folder, run, *, model=None, identity="same", lease=None, **execution):
    model = llama() if model is None else model
    unlearns = run.objective != "finetune"
    forget = (
        [Sample(tokens=t, reference=(-30.0 / t.answer,) * t.answer) for t in sequences(1, LENGTHS)] if unlearns else []
    )
    retain = sequences(2, lengths=(8, 10, 6, 9, 12) if unlearns else LENGTHS)
    options = Execution(checkpoint_minutes=None, **execution)
    with Stop() as stop:
        done = train(
            model, run, forget=forget, retain=retain, output=folder, identity=identity, execution=options,
            lease=lease, stop=stop,
        )  # fmt: skip
    folder.mkdir(exist_ok=True)
    done.state.save_rows(folder)
    return model, done


def records(folder):
    rows = pd.read_csv(folder / "train.csv")
    return rows.drop(columns=TIMES), pd.read_parquet(folder / "dynamics.parquet")


def assert_same_weights(a, b, **tolerance):
    for (name, x), y in zip(a.state_dict().items(), b.state_dict().values(), strict=True):
        assert torch.allclose(x, y, **tolerance) if tolerance else torch.equal(x, y), name


def assert_same_run(folder, model, other_folder, other):
    assert_same_weights(model, other)
    for frame, expected in zip(records(folder), records(other_folder), strict=True):
        pd.testing.assert_frame_equal(frame, expected, check_exact=True)


def moved(a, b):
    return any(not torch.equal(x, y) for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True))


def stop_at(monkeypatch, step, act):
    """Let something happen when a step is done and its checkpoint, if due, is written."""
    advance = Progress.advance

    def patched(self, **options):
        advance(self, **options)
        if self.done == step:
            act()

    monkeypatch.setattr(Progress, "advance", patched)


class Killed(Exception):
    pass


def kill():
    raise Killed


# Resume --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "step"), [*((kind, 5) for kind in ("dv", "finetune", "dual", "kl", "undial", "blur")), ("dv", 9)]
)  # in the middle, and after the last step: only the files are missing
def test_a_resumed_run_is_the_undisturbed_one(tmp_path, kind, step):
    undisturbed, _ = fit(tmp_path / "a", run_of(kind))
    with pytest.MonkeyPatch.context() as patch, pytest.raises(Killed):
        stop_at(patch, step, kill)
        fit(tmp_path / "b", run_of(kind), checkpoint_steps=2 if step == 5 else 3)
    assert not (tmp_path / "b/train.csv").exists()
    start = llama(
        seed=0 if kind in ("kl", "undial") else 9
    )  # the weights come from the checkpoint, the reference from the start
    model, done = fit(tmp_path / "b", run_of(kind), model=start)
    assert_same_run(tmp_path / "b", model, tmp_path / "a", undisturbed)
    assert done.steps == 9
    assert pd.read_csv(tmp_path / "b/train.csv")["seconds"].is_monotonic_increasing


def child(folder, checkpoint_steps):
    """In a process of its own: a run that says each step and waits a little, to be hit in the middle."""
    torch.set_num_threads(1)
    advance = Progress.advance

    def slow(self, **options):
        advance(self, **options)
        print(self.done, flush=True)
        time.sleep(0.1)

    Progress.advance = slow
    try:
        fit(Path(folder), run_of("dv"), checkpoint_steps=checkpoint_steps)
    except Interrupted as error:
        print(error)
        sys.exit(7)


@pytest.mark.processes
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_process_that_is_stopped(tmp_path, number):
    code = "import runpy, sys; runpy.run_path(sys.argv[1])['child'](sys.argv[2], eval(sys.argv[3]))"
    asked = number != signal.SIGKILL
    steps = "None" if asked else "2"  # who is asked to stop writes a checkpoint
    command = [sys.executable, "-c", code, __file__, str(tmp_path / "b"), steps]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        for line in process.stdout:
            if line.strip() == "5":
                process.send_signal(number)
                break
        rest = process.stdout.read()
    assert process.returncode == (7 if asked else -signal.SIGKILL), rest
    at = torch.load(tmp_path / "b/checkpoint/state.pt", weights_only=True)["log"]["step"]
    assert at in ((5, 6, 7) if asked else (4, 6))
    if asked:
        assert f"interrupted by {number.name} after step {at}; the checkpoint in" in rest
    undisturbed, _ = fit(tmp_path / "a", run_of("dv"))
    model, _ = fit(tmp_path / "b", run_of("dv"), model=llama(seed=9))
    assert_same_run(tmp_path / "b", model, tmp_path / "a", undisturbed)


def test_a_run_that_another_process_has_taken_over_ends_within_a_second(tmp_path, monkeypatch):
    lease, steps = Lease.take(tmp_path), []

    def overtaken():
        Lease.take(tmp_path)
        lease.looked -= 1  # a second ago

    stop_at(monkeypatch, 4, overtaken)
    stop_at(monkeypatch, 5, lambda: steps.append(5))
    with refused("taken-over"):
        fit(tmp_path, run_of(), lease=lease)
    assert steps == [] and {path.name for path in tmp_path.iterdir()} == {".lease"}


# What is written -----------------------------------------------------------------------------------------------------


def test_rows_of_an_unlearning_run(tmp_path):
    fit(tmp_path, run_of("dv", dv_beta=5))
    rows, dynamics = pd.read_csv(tmp_path / "train.csv"), pd.read_parquet(tmp_path / "dynamics.parquet")
    assert list(rows) == COLUMNS and rows["step"].tolist() == list(range(1, 10))
    assert rows["epoch"].tolist() == pytest.approx([lap + i * 3 / 7 for lap in range(3) for i in range(3)])
    assert rows.notna().all(axis=None) and (rows["tokens_per_second"] > 0).all()
    assert list(dynamics) == ["step", "epoch", "index", "loss", "weight", "nll"]
    assert dynamics.dtypes.astype(str).tolist() == ["int64", "float64", "int64", "float64", "float64", "float64"]
    assert dynamics.groupby("step").size().tolist() == [3, 3, 1] * 3
    for lap in range(3):  # every forget sample once an epoch
        epoch = dynamics[dynamics["step"].between(3 * lap + 1, 3 * lap + 3)]
        assert sorted(epoch["index"]) == list(range(7))
    for step, batch in dynamics.groupby("step"):
        e = (batch["loss"] / 5 - batch["loss"].max() / 5).map(math.exp)
        assert batch["weight"].tolist() == pytest.approx((e / e.sum()).tolist(), rel=1e-5)
        assert rows["forget_loss"][step - 1] == pytest.approx((batch["weight"] * batch["loss"]).sum(), rel=1e-6)


def test_rows_of_a_finetuning_run(tmp_path):
    fit(tmp_path, run_of())
    rows, dynamics = pd.read_csv(tmp_path / "train.csv"), pd.read_parquet(tmp_path / "dynamics.parquet")
    assert rows["forget_loss"].isna().all() and rows["retain_loss"].notna().all()
    assert len(dynamics) == 0 and list(dynamics) == ["step", "epoch", "index", "loss", "weight", "nll"]


def test_what_is_logged_is_before_the_step(tmp_path):
    """Dynamics of step 1 are of the untouched model, one sample at a time, through transformers' own head."""
    model = llama(dropout=0.0)
    untouched, data = llama(dropout=0.0).double(), sequences(1, LENGTHS)
    fit(tmp_path, run_of("dv", warmup_epochs=0), model=model)
    for row in pd.read_parquet(tmp_path / "dynamics.parquet").query("step == 1").itertuples():
        nll = nll_sum(untouched, data[row.index]).item()
        assert row.nll == pytest.approx(nll / data[row.index].answer, rel=1e-5)
        assert row.loss == pytest.approx(20 * math.log1p(math.exp(0.1 * (-nll + 30))), rel=1e-5)


# Failure -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "what"), [("dv", "forget loss"), ("finetune", "retain loss")])
def test_nan_ends_the_run_and_names_the_step(tmp_path, monkeypatch, kind, what):
    model = llama()
    stop_at(monkeypatch, 3, lambda: torch.nn.init.constant_(model.lm_head.weight, math.nan))
    with refused("training-diverged", what, "NaN at step 4"):
        fit(tmp_path, run_of(kind), model=model)
    assert not (tmp_path / "train.csv").exists()


def test_an_infinite_gradient_ends_the_run_before_the_update(tmp_path, monkeypatch):
    model, accumulate = llama(), Step.accumulate

    def poisoned(self, *batch, **when):
        step_log = accumulate(self, *batch, **when)
        next(self.forward.model.parameters()).grad[0, 0] = math.inf
        return step_log

    monkeypatch.setattr(Step, "accumulate", poisoned)
    with refused("training-diverged", "gradient norm", "inf at step 1"):
        fit(tmp_path, run_of(warmup_epochs=0), model=model)
    assert not moved(model, llama())


# Schedule ------------------------------------------------------------------------------------------------------------


@given(n=st.integers(1, 40), batch_size=st.integers(1, 45), epochs=st.integers(1, 4), seed=st.integers(0, 99))
def test_every_sample_once_an_epoch(n, batch_size, epochs, seed):
    schedule = Schedule.of(run_of(batch_size=batch_size, epochs=epochs), n)
    per_epoch = -(-n // batch_size)
    assert schedule.total == epochs * per_epoch and schedule.drawn == epochs * n
    for lap in range(epochs):
        seen = []
        for step in range(lap * per_epoch, (lap + 1) * per_epoch):
            start, count = schedule.at(step)
            assert 1 <= count <= batch_size and start == lap * n + len(seen)
            seen += draw(n, start=start, count=count, seed=seed, stream=FORGET)
        assert sorted(seen) == list(range(n))


@pytest.mark.parametrize(
    ("values", "total", "warmup"),
    [
        (dict(epochs=5, batch_size=8), 25, 5),
        (dict(epochs=0.5, batch_size=8), 2, 1),  # never only warm-up
        (dict(epochs=0.01, batch_size=8), 1, 0),
        (dict(epochs=5, batch_size=100), 5, 1),
        (dict(epochs=5, batch_size=8, max_steps=7), 7, 5),
        (dict(epochs=1, batch_size=8, max_steps=70), 5, 4),
        (dict(epochs=4, batch_size=8, warmup_epochs=0.4), 20, 2),
        (dict(epochs=4, batch_size=8, warmup_epochs=0), 20, 0),
    ],
)
def test_steps_and_warm_up(values, total, warmup):
    schedule = Schedule.of(run_of(**values), 40)
    assert (schedule.total, schedule.warmup) == (total, warmup)


@pytest.mark.parametrize(
    ("schedule", "theirs"),
    [
        ("linear", lambda o: transformers.get_linear_schedule_with_warmup(o, 3, 9)),
        ("cosine", lambda o: transformers.get_cosine_schedule_with_warmup(o, 3, 9)),
        ("constant", lambda o: transformers.get_constant_schedule_with_warmup(o, 3)),
    ],
)
def test_learning_rates_are_those_of_transformers(tmp_path, schedule, theirs):
    fit(tmp_path, run_of(schedule=schedule))
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.01)
    scheduler, expected = theirs(optimizer), []
    for _ in range(9):
        expected.append(scheduler.get_last_lr()[0])
        optimizer.step()
        scheduler.step()
    assert pd.read_csv(tmp_path / "train.csv")["lr"].tolist() == pytest.approx(expected, abs=1e-15)


def test_max_steps_ends_early(tmp_path):
    _, done = fit(tmp_path, run_of("dv", max_steps=5))
    rows = pd.read_csv(tmp_path / "train.csv")
    assert (done.steps, len(rows)) == (5, 5)
    assert rows["lr"].tolist() == pytest.approx([0, 0.01 / 3, 0.02 / 3, 0.01, 0.005])
    batches = [Schedule.of(run_of(), 7).at(step) for step in range(5)]  # 13 draws: no whole number of laps
    forget = [
        len(sequences(1, LENGTHS)[i].ids) for s, c in batches for i in draw(7, start=s, count=c, seed=0, stream=0)
    ]
    retain = [(8, 10, 6, 9, 12)[i] for s, c in batches for i in draw(5, start=s, count=c, seed=0, stream=1)]
    assert done.tokens == sum(forget) + sum(retain)


# The update ----------------------------------------------------------------------------------------------------------


def nll_sum(model, tokens):
    ids = torch.tensor([tokens.ids])
    logp = torch.log_softmax(model(input_ids=ids).logits[0].double(), -1)
    return -sum(logp[t - 1, tokens.ids[t]] for t in range(tokens.start, len(tokens.ids)))


def textbook(steps, *, lr, decay, clip):
    """Loshchilov and Hutter (arXiv 1711.05101), Algorithm 2, in float64; decay on matrices only.

    Returns: the model, and its first gradients.
    """
    model, data = llama(dropout=0.0).double(), sequences(2, LENGTHS)
    state = {name: [0.0, 0.0] for name, _ in model.named_parameters()}
    first = None
    for t in range(1, steps + 1):
        model.zero_grad()
        (sum(nll_sum(model, x) for x in data) / sum(len(x.ids) - 3 for x in data)).backward()
        norm = math.sqrt(sum(float(p.grad.square().sum()) for p in model.parameters()))
        scale = min(1.0, clip / norm) if clip else 1.0
        first = first or {name: p.grad * scale for name, p in model.named_parameters()}
        for name, p in model.named_parameters():
            g, (m, v) = p.grad * scale, state[name]
            state[name] = m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
            step = (m / (1 - 0.9**t)) / ((v / (1 - 0.999**t)).sqrt() + 1e-8)
            with torch.no_grad():
                p -= lr * step + lr * (decay if p.ndim > 1 else 0) * p
    return model, first


@pytest.mark.parametrize(("steps", "clip"), [(1, 0), (3, 0), (3, 1e-6)])
def test_a_finetuning_step_is_a_textbook_step_of_adamw(tmp_path, steps, clip):
    values = dict(lr=0.01, weight_decay=0.5)
    run = run_of(batch_size=7, max_steps=steps, clip_norm=clip, warmup_epochs=0, schedule="constant", **values)
    model, _ = fit(tmp_path, run, model=llama(dropout=0.0))
    expected, first = textbook(steps, lr=0.01, decay=0.5, clip=clip)
    weights = dict(expected.named_parameters())
    for name, p in model.named_parameters():
        sure = first[name].abs() > (1e-4 if not clip else 1e-9)  # below, Adam's g / |g| is rounding
        assert sure.double().mean() > 0.3, name
        assert (p.double() - weights[name])[sure].abs().max() < 0.01 * 0.01, name


@pytest.mark.parametrize(("clip", "as_unclipped"), [(1e9, True), (1e-6, False)])
def test_clip_norm_0_is_off(tmp_path, clip, as_unclipped):
    model, _ = fit(tmp_path / "a", run_of(clip_norm=0))
    other, _ = fit(tmp_path / "b", run_of(clip_norm=clip))
    assert moved(model, other) != as_unclipped
    norms = pd.read_csv(tmp_path / "b/train.csv")["grad_norm"]
    assert (norms > 0.01).all()  # what is logged is the norm before clipping


def test_gradient_checkpointing_gives_the_same_update(tmp_path):
    run = run_of("dv", max_steps=3, warmup_epochs=0)
    model, _ = fit(tmp_path / "a", run, model=llama(dropout=0.0))
    other, _ = fit(tmp_path / "b", run, model=llama(dropout=0.0), gradient_checkpointing=True)
    on = [any(getattr(part, "gradient_checkpointing", False) for part in m.modules()) for m in (model, other)]
    assert on == [False, True]
    assert_same_weights(model, other, atol=1e-6, rtol=1e-5)


def test_the_seed_matters_and_repeats(tmp_path):
    (a, _), (b, _), (c, _) = (fit(tmp_path / f"{i}", run_of("dv", seed=s)) for i, s in enumerate((3, 3, 4)))
    assert_same_run(tmp_path / "0", a, tmp_path / "1", b)
    orders = [records(tmp_path / f"{i}")[1]["index"].tolist() for i in (0, 2)]
    assert orders[0] != orders[1] and moved(a, c)


# Precision -----------------------------------------------------------------------------------------------------------


def bits(model):
    """Weights of all matrices, in one row."""
    return torch.cat([p.detach().double().flatten() for p in model.parameters() if p.ndim > 1])


@pytest.mark.parametrize(
    ("precision", "dtype"), [("fp32", torch.float32), ("bf16", torch.float32), ("bf16-only", torch.bfloat16)]
)
def test_weights_keep_the_type_of_the_precision(tmp_path, precision, dtype):
    """At a small learning rate bf16 weights mostly stay where they are: that is why fp32 master weights are the default."""
    llama(dropout=0.0).to(torch.bfloat16).save_pretrained(tmp_path / "start")
    model = models.load(str(tmp_path / "start"), precision=precision)
    before = bits(model)
    fit(tmp_path, run_of(precision=precision, lr=1e-5, weight_decay=0, warmup_epochs=0, max_steps=3), model=model)
    assert {p.dtype for p in model.parameters()} == {dtype}
    stayed = float((bits(model) == before).double().mean())
    assert stayed > 0.9 if precision == "bf16-only" else stayed < 0.1


def test_bf16_computes_in_bf16(tmp_path):
    """One process may train in both: accelerate would keep the first one's precision."""
    losses = {}
    for precision in ("fp32", "bf16"):
        fit(tmp_path / precision, run_of(precision=precision, max_steps=1), model=llama(dropout=0.0))
        losses[precision] = pd.read_csv(tmp_path / precision / "train.csv")["retain_loss"][0]
    assert losses["fp32"] != losses["bf16"] and losses["fp32"] == pytest.approx(losses["bf16"], rel=0.02)
