"""Checkpoints: when one is written, and what is made of one that is broken, of something else, or cannot be written."""

import random
import re
import resource
import time

import pandas as pd
import pytest
import torch

from baldro.durable.lease import Lease, Superseded
from baldro.errors import BaldroError
from baldro.runs import Run
from baldro.training.journal import Log
from baldro.training.update import Seen, Step

DUAL = Run.of(benchmark="b", model="m", split="forget10", objective="graddiff", combiner="dual")
"""A run whose update has a state of its own: the multiplier."""


def log_of(folder, *, identity="same", steps=None, minutes=None, width=40, lease=None, main=True):
    torch.manual_seed(0)
    model = torch.nn.Linear(width, width)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)
    scheduler = torch.optim.lr_scheduler.ConstantLR(optimizer)
    update = Step(model, DUAL, micro_batch=1)
    return Log(
        folder, identity, model, optimizer, scheduler, update, every_steps=steps, every_minutes=minutes, main=main,
        lease=lease or Lease(),
    )  # fmt: skip


def work(log, steps=1):
    """Real optimiser steps, so that there is a state to lose."""
    for _ in range(steps):
        log.optimizer.zero_grad()
        log.model(torch.rand(3, log.model.in_features)).square().sum().backward()
        log.optimizer.step()
        log.scheduler.step()
        log.update.lam *= 0.9
        seen = Seen(2)
        seen.loss_B[:] = torch.rand(2)
        log.add([0, 1], seen, epoch=log.step / 4, lr=0.1, loss=1.0, norm=2.0, tokens=7, seconds=0.5)


def state(log):
    return (
        torch.cat([p.detach().flatten() for p in log.model.parameters()]),
        log.rows,
        log.dynamics,
        log.step,
        log.update.lam,
    )


def same(a, b):
    return torch.equal(a[0], b[0]) and repr(a[1:]) == repr(b[1:])  # repr: retain losses are NaN


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_checkpoint_carries_everything(tmp_path):
    log = log_of(tmp_path)
    work(log, 3)
    log.keep(now=True)
    other = log_of(tmp_path)
    other.resume()
    assert same(state(other), state(log)) and other.seconds == 1.5
    torch.manual_seed(7)
    work(log)
    torch.manual_seed(7)
    work(other)
    assert same(state(other), state(log)), "the optimiser's moments are the same too"


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
    log, began, found = log_of(tmp_path, **options), time.monotonic(), []
    log.keep(now=False)
    for step in range(1, 6):
        work(log)
        monkeypatch.setattr(time, "monotonic", lambda step=step: began + 60 * minutes * step + 1)
        log.keep(now=False)
        found += [step] if log.kept == step else []
    assert found == written and (tmp_path / "state.pt").exists() == bool(written)


def test_what_is_kept_is_not_written_again(tmp_path):
    log = log_of(tmp_path)
    log.keep(now=True)
    assert names(tmp_path) == [], "no step, nothing to keep"
    work(log, 2)
    log.keep(now=True)
    before = (tmp_path / "state.pt").stat()
    log.keep(now=True)
    other = log_of(tmp_path, steps=2)
    other.resume()
    other.keep(now=True)
    assert (tmp_path / "state.pt").stat() == before
    work(other)
    other.keep(now=True)
    assert (tmp_path / "state.pt").stat() != before


def test_only_the_main_process_writes(tmp_path):
    log = log_of(tmp_path, main=False)
    work(log)
    log.keep(now=True)
    assert log.kept == 1 and names(tmp_path) == []


def test_a_checkpoint_of_something_else_is_left_until_it_is_replaced(tmp_path, capsys):
    log = log_of(tmp_path, identity="other")
    work(log)
    log.keep(now=True)
    fresh = log_of(tmp_path)
    fresh.resume()
    assert fresh.step == 0 and "is of other code, data or start: training begins anew" in capsys.readouterr().out
    work(fresh)
    fresh.keep(now=True)
    again = log_of(tmp_path)
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
    log = log_of(tmp_path)
    work(log, 3)
    log.keep(now=True)
    good = (tmp_path / "state.pt").read_bytes()
    put_aside, draw = 0, random.Random(3)
    for at in [0, *(draw.random() for _ in range(60))]:
        (tmp_path / "state.pt").write_bytes(broken(good, kind, at))
        fresh = log_of(tmp_path)
        fresh.resume()
        said = capsys.readouterr().out
        if "continues" in said:
            assert same(state(fresh), state(log)), at
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
    log = log_of(tmp_path)
    work(log)
    log.keep(now=True)

    def fail(*_, **__):
        raise error

    with monkeypatch.context() as patch, pytest.raises(type(error)):
        patch.setattr(torch, "load", fail)
        log_of(tmp_path).resume()
    again = log_of(tmp_path)
    again.resume()
    assert again.step == 1


def test_a_half_written_checkpoint_is_never_read(tmp_path, capsys):
    log = log_of(tmp_path)
    work(log)
    log.keep(now=True)
    (tmp_path / "state.pt").rename(tmp_path / "state.pt.0123abcd.part")
    fresh = log_of(tmp_path)
    fresh.resume()
    assert fresh.step == 0 and capsys.readouterr().out == ""
    work(fresh)
    fresh.lease = Lease.take(tmp_path)
    fresh.lease.taken += 10**9  # the leftover is older than that
    fresh.keep(now=True)
    assert names(tmp_path) == [".lease", "state.pt"]


def test_a_full_disk_is_one_line_and_the_checkpoint_before_it_stays(tmp_path):
    log = log_of(tmp_path, width=200)
    work(log)
    log.keep(now=True)
    before = (tmp_path / "state.pt").read_bytes()
    work(log)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))  # of the 480 kB that it takes
    try:
        with pytest.raises(BaldroError, match=r"state\.pt cannot be written \(.+\); is the disk full\?$"):
            log.keep(now=True)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert names(tmp_path) == ["state.pt"] and (tmp_path / "state.pt").read_bytes() == before


def test_an_older_process_writes_no_checkpoint(tmp_path):
    older = log_of(tmp_path / "checkpoint", lease=Lease.take(tmp_path))
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
    log = log_of(tmp_path)
    work(log, 3)
    log.save_rows(tmp_path)
    rows, dynamics = pd.read_csv(tmp_path / "train.csv"), pd.read_parquet(tmp_path / "dynamics.parquet")
    assert rows["seconds"].tolist() == [0.5, 1.0, 1.5] and rows["tokens_per_second"].tolist() == [14.0] * 3
    assert dynamics["step"].tolist() == [1, 1, 2, 2, 3, 3] and dynamics["index"].tolist() == [0, 1] * 3
