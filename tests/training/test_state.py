"""Checkpoints: when one is written, and what is made of one that is broken, of something else, or cannot be written."""

import random
import re
import resource
import time

import pandas as pd
import pytest
import torch
from refusals import refused

from baldro.durable.lease import Lease, Superseded
from baldro.runs import Run
from baldro.training.state import TrainingState
from baldro.training.update import Step, StepLog

DUAL = Run.of(benchmark="b", model="m", split="forget10", objective="graddiff", combiner="dual")
"""A run whose update has a state of its own: the multiplier."""


def state_of(folder, *, identity="same", steps=None, minutes=None, width=40, lease=None, main=True):
    torch.manual_seed(0)
    model = torch.nn.Linear(width, width)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)
    scheduler = torch.optim.lr_scheduler.ConstantLR(optimizer)
    update = Step(model, DUAL, micro_batch=1)
    return TrainingState(
        folder, identity, model, optimizer, scheduler, update, every_steps=steps, every_minutes=minutes, main=main,
        lease=lease or Lease(),
    )  # fmt: skip


def work(state, steps=1):
    """Real optimiser steps, so that there is a state to lose."""
    for _ in range(steps):
        state.optimizer.zero_grad()
        state.model(torch.rand(3, state.model.in_features)).square().sum().backward()
        state.optimizer.step()
        state.scheduler.step()
        state.update.lam *= 0.9
        step_log = StepLog(2)
        step_log.loss_B[:] = torch.rand(2)
        state.add([0, 1], step_log, epoch=state.step / 4, lr=0.1, loss=1.0, norm=2.0, tokens=7, seconds=0.5)


def contents(state):
    return (
        torch.cat([p.detach().flatten() for p in state.model.parameters()]),
        state.rows,
        state.dynamics,
        state.step,
        state.update.lam,
    )


def same(a, b):
    return torch.equal(a[0], b[0]) and repr(a[1:]) == repr(b[1:])  # repr: retain losses are NaN


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_checkpoint_carries_everything(tmp_path):
    state = state_of(tmp_path)
    work(state, 3)
    state.keep(now=True)
    other = state_of(tmp_path)
    other.resume()
    assert same(contents(other), contents(state)) and other.seconds == 1.5
    torch.manual_seed(7)
    work(state)
    torch.manual_seed(7)
    work(other)
    assert same(contents(other), contents(state)), "the optimiser's moments are the same too"


@pytest.mark.parametrize(
    ("options", "minutes", "written"),
    [
        (dict(steps=2), 0, [2, 4]),
        (dict(minutes=10), 6, [2, 4]),  # a step takes six minutes
        (dict(steps=3, minutes=10), 6, [2, 3, 5]),
        (dict(), 60, []),
    ],
)
def test_when_a_checkpoint_is_due(tmp_path, monkeypatch, options, minutes, written):
    state, began, found = state_of(tmp_path, **options), time.monotonic(), []
    state.keep(now=False)
    for step in range(1, 6):
        work(state)
        monkeypatch.setattr(time, "monotonic", lambda step=step: began + 60 * minutes * step + 1)
        state.keep(now=False)
        found += [step] if state.kept == step else []
    assert found == written and (tmp_path / "state.pt").exists() == bool(written)


def test_what_is_kept_is_not_written_again(tmp_path):
    state = state_of(tmp_path)
    state.keep(now=True)
    assert names(tmp_path) == [], "no step, nothing to keep"
    work(state, 2)
    state.keep(now=True)
    before = (tmp_path / "state.pt").stat().st_mtime_ns
    state.keep(now=True)
    other = state_of(tmp_path, steps=2)
    other.resume()
    other.keep(now=True)
    assert (tmp_path / "state.pt").stat().st_mtime_ns == before
    work(other)
    other.keep(now=True)
    assert (tmp_path / "state.pt").stat().st_mtime_ns != before


def test_only_the_main_process_writes(tmp_path):
    state = state_of(tmp_path, main=False)
    work(state)
    state.keep(now=True)
    assert state.kept == 1 and names(tmp_path) == []


def test_a_checkpoint_of_something_else_is_left_until_it_is_replaced(tmp_path, capsys):
    state = state_of(tmp_path, identity="other")
    work(state)
    state.keep(now=True)
    fresh = state_of(tmp_path)
    fresh.resume()
    assert fresh.step == 0 and "is of other code, data or start: training begins anew" in capsys.readouterr().out
    work(fresh)
    fresh.keep(now=True)
    again = state_of(tmp_path)
    again.resume()
    assert again.step == 1


def broken(bytes_, kind, at):
    """Cut, a byte changed, or a stretch lost, as after a crash of the machine."""
    changed = bytearray(bytes_)
    if kind == "cut":
        return bytes(changed[: int(at * len(changed))])
    start = int(at * len(changed))
    if kind == "flip":
        changed[start] ^= 0x40
    else:
        changed[start : start + 512] = bytes(len(changed[start : start + 512]))
    return bytes(changed)


@pytest.mark.parametrize("kind", ["cut", "flip", "lost"])
def test_a_broken_checkpoint_is_put_aside_and_said(tmp_path, capsys, kind):
    """Anywhere in the file. A few bytes mean nothing (dates, padding): then what is read must be right."""
    state = state_of(tmp_path)
    work(state, 3)
    state.keep(now=True)
    good = (tmp_path / "state.pt").read_bytes()
    put_aside, draw = 0, random.Random(3)
    for at in [0, *(draw.random() for _ in range(60))]:
        (tmp_path / "state.pt").write_bytes(broken(good, kind, at))
        fresh = state_of(tmp_path)
        fresh.resume()
        said = capsys.readouterr().out
        if "continues" in said:
            assert same(contents(fresh), contents(state)), at
            continue
        put_aside += 1
        pattern = r"^\S*/state\.pt is broken \(.+\): put aside as state\.broken, training begins anew\n$"
        assert re.search(pattern, said) and len(said.splitlines()) == 1
        assert fresh.step == 0 and names(tmp_path) == ["state.broken"]
    assert put_aside >= 30
    work(fresh, 1)
    fresh.keep(now=True)  # and goes on as if there had been none
    assert names(tmp_path) == ["state.broken", "state.pt"]


@pytest.mark.parametrize(
    "error", [MemoryError(), OSError(116, "Stale file handle"), RuntimeError("can't allocate memory: you tried")]
)
def test_what_may_pass_is_not_the_fault_of_the_file(tmp_path, monkeypatch, error):
    state = state_of(tmp_path)
    work(state)
    state.keep(now=True)

    def fail(*_, **__):
        raise error

    with monkeypatch.context() as patch, pytest.raises(type(error)):
        patch.setattr(torch, "load", fail)
        state_of(tmp_path).resume()
    again = state_of(tmp_path)
    again.resume()
    assert again.step == 1


def test_a_half_written_checkpoint_is_never_read(tmp_path, capsys):
    state = state_of(tmp_path)
    work(state)
    state.keep(now=True)
    (tmp_path / "state.pt").rename(tmp_path / "state.pt.0123abcd.part")
    fresh = state_of(tmp_path)
    fresh.resume()
    assert fresh.step == 0 and capsys.readouterr().out == ""
    work(fresh)
    fresh.lease = Lease.take(tmp_path)
    fresh.lease.taken += 10**9  # the leftover is older than that
    fresh.keep(now=True)
    assert names(tmp_path) == [".lease", "state.pt"]


def test_a_full_disk_is_one_line_and_the_checkpoint_before_it_stays(tmp_path):
    state = state_of(tmp_path, width=200)
    work(state)
    state.keep(now=True)
    before = (tmp_path / "state.pt").read_bytes()
    work(state)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))  # of the 480 kB that it takes
    try:
        with refused("not-writable", tmp_path / "state.pt"):
            state.keep(now=True)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert names(tmp_path) == ["state.pt"] and (tmp_path / "state.pt").read_bytes() == before


def test_an_older_process_writes_no_checkpoint(tmp_path):
    older = state_of(tmp_path / "checkpoint", lease=Lease.take(tmp_path))
    work(older)
    Lease.take(tmp_path)
    with pytest.raises(Superseded):
        older.keep(now=True)
    assert not (tmp_path / "checkpoint").exists()
    (tmp_path / "checkpoint").mkdir()
    (tmp_path / "checkpoint/state.pt").write_bytes(b"broken")
    with pytest.raises(Superseded):
        older.resume()
    assert names(tmp_path / "checkpoint") == ["state.pt"], "nor puts one aside"


def test_rows_in_files(tmp_path):
    state = state_of(tmp_path)
    work(state, 3)
    state.save_rows(tmp_path)
    rows, dynamics = pd.read_csv(tmp_path / "train.csv"), pd.read_parquet(tmp_path / "dynamics.parquet")
    assert rows["seconds"].tolist() == [0.5, 1.0, 1.5] and rows["tokens_per_second"].tolist() == [14.0] * 3
    assert dynamics["step"].tolist() == [1, 1, 2, 2, 3, 3] and dynamics["index"].tolist() == [0, 1] * 3
