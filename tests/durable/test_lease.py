"""Who may write, and when to stop: leases of several holders, and real signals."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from refusals import refused

from baldro.durable.lease import Interrupted, Lease, Stop, Superseded
from baldro.errors import BaldroError


def holds(lease):
    try:
        lease.check()
    except Superseded:
        return False
    return True


# Leases --------------------------------------------------------------------------------------------------------------


def test_the_newer_one_wins(tmp_path):
    with Lease.take(tmp_path / "run") as older:
        older.check()
        with Lease.take(tmp_path / "run") as newer:
            assert not holds(older) and holds(newer)
        assert not holds(older), "not even after the newer one has gone"
    assert list((tmp_path / "run").iterdir()) == []


def test_the_older_one_takes_nothing_away(tmp_path):
    older, newer = Lease.take(tmp_path), Lease.take(tmp_path)
    older.release()
    newer.check()
    newer.release()
    assert list(tmp_path.iterdir()) == []
    newer.release()


@settings(max_examples=40)
@given(st.lists(st.tuples(st.sampled_from(["take", "release"]), st.integers(0, 3)), max_size=20))
def test_whoever_took_it_last_holds_it(tmp_path_factory, events):
    """Against a model: the holder is the last taker that has not given it back."""
    folder, leases, holder = tmp_path_factory.mktemp("run"), {}, None
    for what, who in events:
        if what == "take":
            leases[who], holder = Lease.take(folder), who
        elif who in leases:
            leases[who].release()
            holder = None if holder == who else holder
        assert {each for each, lease in leases.items() if holds(lease)} == ({holder} - {None})


def test_a_superseded_process_is_told_by_whom(tmp_path, monkeypatch):
    lease = Lease.take(tmp_path / "X")
    monkeypatch.setenv("SLURM_JOB_ID", "812")
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    monkeypatch.setattr("socket.gethostname", lambda: "n2.cluster.org")
    newer = Lease.take(tmp_path / "X")
    with refused("taken-over", tmp_path / "X", "job 812 on n2", f"pid {os.getpid()}"):
        lease.check()
    stored = json.loads((tmp_path / "X/.lease").read_text())
    assert stored.keys() == {"host", "pid", "job", "restart", "random"} and stored["restart"] == "1"
    newer.release()
    with refused("taken-over", "X/.lease is gone"):
        lease.check()
    monkeypatch.delenv("SLURM_JOB_ID")
    Lease.take(tmp_path / "X")
    with refused("taken-over", "another process on n2, pid"):
        lease.check()


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b"{}", b"null", b"\xff\xfe"])
def test_a_lease_that_is_none_belongs_to_another(tmp_path, text):
    lease = Lease.take(tmp_path)
    (tmp_path / ".lease").write_bytes(text)
    with refused("taken-over", tmp_path):
        lease.check()


def test_files_of_one_folder_have_leases_of_their_own(tmp_path):
    leases = [Lease.take(tmp_path), *(Lease.take(tmp_path, alone=f"{n}.parquet") for n in ("samples", "reference"))]
    assert all(holds(lease) for lease in leases)
    Lease.take(tmp_path, alone="samples.parquet")
    assert [holds(lease) for lease in leases] == [True, False, True]


def test_one_that_was_not_taken_guards_nothing(tmp_path):
    with Lease() as lease:
        lease.check()
        with lease.whole(tmp_path / "a") as beside:
            beside.write_text("a")
    assert (tmp_path / "a").read_text() == "a"


def test_looking_is_cheap(tmp_path, monkeypatch):
    lease = Lease.take(tmp_path)
    Lease.take(tmp_path)
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + 0.9)
    lease.look()
    monkeypatch.setattr(time, "monotonic", lambda: now + 1.1)
    with pytest.raises(Superseded):
        lease.look()


# Writing under a lease -----------------------------------------------------------------------------------------------


def test_an_older_process_writes_nothing(tmp_path):
    older = Lease.take(tmp_path)
    with pytest.raises(Superseded), older.whole(tmp_path / "a") as beside:
        beside.write_text("old")
        newer = Lease.take(tmp_path)  # while the older one is at it
    assert {path.name for path in tmp_path.iterdir()} == {".lease"}
    with newer.whole(tmp_path / "a") as theirs:
        theirs.write_text("new")
        with pytest.raises(Superseded), older.whole(tmp_path / "a") as beside:
            pytest.fail("nothing is begun")
        assert theirs.exists(), "nor is the newer one's work swept away"
    assert (tmp_path / "a").read_text() == "new"


def test_what_a_killed_process_left_is_swept(tmp_path):
    (tmp_path / "a.0123.part").write_text("half")
    (tmp_path / "b.0123.part").write_text("another's")
    time.sleep(0.02)  # a file system's clock ticks
    with Lease.take(tmp_path) as lease, lease.whole(tmp_path / "a") as beside:
        beside.write_text("all")
    assert {path.name for path in tmp_path.iterdir()} == {"a", "b.0123.part"}


def test_what_was_begun_after_the_lease_is_not_swept(tmp_path):
    """It would be a newer process's, where this one was stopped between looking and sweeping."""
    with Lease.take(tmp_path) as lease:
        time.sleep(0.02)
        (tmp_path / "a.0123.part").write_text("half")
        with lease.whole(tmp_path / "a") as beside:
            beside.write_text("all")
    assert {path.name for path in tmp_path.iterdir()} == {"a", "a.0123.part"}


# Signals -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGTERM])
def test_a_signal_is_noted_and_ends_nothing_by_itself(number):
    before = signal.getsignal(number)
    with Stop() as stop:
        stop.check("too early")
        os.kill(os.getpid(), number)
        with refused("stopped-by-signal", number.name, "after step 3"):
            stop.check("after step 3")
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop.asked == number.name, "the first one"
    assert signal.getsignal(number) is before and issubclass(Interrupted, BaldroError)


def test_handlers_are_restored_after_an_error_too():
    before = [signal.getsignal(number) for number in (signal.SIGUSR1, signal.SIGTERM)]
    with pytest.raises(RuntimeError), Stop():
        raise RuntimeError
    assert [signal.getsignal(number) for number in (signal.SIGUSR1, signal.SIGTERM)] == before


def test_what_the_parent_ignores_is_noted():
    code = (
        "import os, signal, sys; from baldro.durable.lease import Stop\n"
        "with Stop() as stop:\n    os.kill(os.getpid(), signal.SIGUSR1)\n"
        "print(stop.asked, signal.getsignal(signal.SIGUSR1).name, sorted({'torch', 'pandas'} & set(sys.modules)))"
    )
    command = ["env", "--ignore-signal=USR1", sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.stdout.split() == ["SIGUSR1", "SIG_IGN", "[]"], done.stderr


def test_a_library_that_reads_just_now_goes_on():
    """Without it C code that does not expect a signal would fail: interrupted system call."""
    code = (
        "import ctypes, os, signal, threading, time; from baldro.durable.lease import Stop\n"
        "libc = ctypes.CDLL(None, use_errno=True); r, w = os.pipe()\n"
        "def later():\n    time.sleep(.3); os.kill(os.getpid(), signal.SIGUSR1); time.sleep(.3); os.write(w, b'x')\n"
        "with Stop() as stop:\n    threading.Thread(target=later).start()\n"
        "    print(libc.read(r, ctypes.create_string_buffer(1), 1))\n"
        "print(stop.asked)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert done.stdout.split() == ["1", "SIGUSR1"], done.stderr
