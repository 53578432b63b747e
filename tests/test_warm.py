"""Verbs in forks of a warm process: each ends as it would by itself, and what does not fit starts in the ordinary way."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from importlib import import_module
from types import SimpleNamespace

import pytest

from baldro import warm
from baldro.benchmarks import KINDS, module_of
from baldro.runs import source
from baldro.warm.server import Server

fingerprint = import_module("baldro.runs.fingerprint")  # the package has a function of that name

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="no warm process on this machine")


@pytest.fixture(scope="module")
def server():
    """It ends with its standard input, and so does its folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")
        patch.setenv("PYTHONUNBUFFERED", "1")
        for name in [name for name in os.environ if name.startswith("PYTEST_")]:
            patch.delenv(name)
        process = warm.start({})
        patch.setenv(warm.VARIABLE, os.environ[warm.VARIABLE])
        yield process
        folder = os.path.dirname(os.environ[warm.VARIABLE])
        process.stdin.close()
        assert process.wait(60) == 0
        assert not os.path.exists(folder)
    os.environ.pop(warm.VARIABLE, None)


def environment() -> dict[str, str]:
    """Without the variable in which pytest names the test: each would have another environment."""
    return {key: value for key, value in os.environ.items() if not key.startswith("PYTEST_")}


def baldro(*arguments: object, **options) -> subprocess.Popen:
    command = [sys.executable, "-m", "baldro.cli", *map(str, arguments)]
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, env=environment(), **streams, **options)


def forks(server: subprocess.Popen) -> list[int]:
    """Ids of the processes that run verbs."""
    with open(f"/proc/{server.pid}/task/{server.pid}/children") as file:
        return [int(pid) for pid in file.read().split()]


def faults_of_forks(server: subprocess.Popen) -> int:
    """Page faults of the forks that have ended: more when another one has."""
    with open(f"/proc/{server.pid}/stat") as file:
        return int(file.read().rpartition(")")[2].split()[8])


def test_a_mistake_is_one_line_and_its_exit_code(server, tmp_path):
    before = faults_of_forks(server)
    process = baldro("metrics", "--samples", "none.parquet", "--alone", cwd=tmp_path)
    out, err = process.communicate(timeout=300)
    assert (process.returncode, out) == (2, ""), err
    assert err.startswith("baldro metrics: none.parquet") and len(err.splitlines()) == 1
    assert faults_of_forks(server) > before  # it was a fork that said so


def test_help_goes_to_the_standard_output(server):
    process = baldro("score", "--help")
    out, err = process.communicate(timeout=300)
    assert (process.returncode, err) == (0, "") and out.startswith("usage: baldro score")


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGKILL])
def test_a_signal_ends_the_fork_and_what_waits_for_it(server, tmp_path, sent):
    os.mkfifo(tmp_path / "never.json")  # to be opened by a writer that does not come
    with baldro("metrics", "--samples", tmp_path / "never.json", "--alone") as process:
        end_by(sent, process, server)


def end_by(sent: signal.Signals, process: subprocess.Popen, server: subprocess.Popen) -> None:
    deadline = time.monotonic() + 300
    while not (running := forks(server)):
        assert time.monotonic() < deadline and process.poll() is None, process.communicate()
        time.sleep(0.05)
    process.send_signal(sent)
    assert process.wait(60) == -sent
    while any(os.path.exists(f"/proc/{pid}") for pid in running):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_what_is_killed_before_it_is_heard_takes_nothing_with_it(server):
    request = {"arguments": ["metrics", "--help"], "folder": "/", "environment": environment()}
    request = json.dumps({**request, "python": sys.prefix, "ignored": []}).encode()
    for said in (b"", len(request).to_bytes(8, "big"), len(request).to_bytes(8, "big") + request):
        with socket.socket(socket.AF_UNIX) as line:
            line.connect(os.environ[warm.VARIABLE])
            line.sendall(said)
    before = faults_of_forks(server)
    with baldro("score", "--help") as process:
        process.communicate(timeout=300)
    assert process.returncode == 0
    assert server.poll() is None and faults_of_forks(server) > before


def test_another_environment_starts_in_the_ordinary_way(server, monkeypatch):
    monkeypatch.setenv("HF_HOME", "elsewhere")
    assert warm.run(["metrics", "--help"]) is None
    monkeypatch.setenv(warm.VARIABLE, "/nowhere/socket")
    assert warm.run(["metrics", "--help"]) is None
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_a_verb_keeps_to_itself_what_it_was_started_to_ignore(server, tmp_path):
    """As a SLURM job's script starts it: the warning before the time limit ends only what asked for it."""
    os.mkfifo(tmp_path / "late.json")
    before = signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    try:
        process = baldro("metrics", "--samples", tmp_path / "late.json", "--alone")
    finally:
        signal.signal(signal.SIGUSR1, before)
    with process:
        deadline = time.monotonic() + 300
        while not forks(server):
            assert time.monotonic() < deadline and process.poll() is None, process.communicate()
            time.sleep(0.05)
        process.send_signal(signal.SIGUSR1)
        (tmp_path / "late.json").write_text("not a log")
        assert process.wait(60) == 2


CANNOT = """
import sys, torch
torch.cuda._is_in_bad_fork = lambda: True
from baldro.warm.__main__ import Server, listener
Server(listener(sys.argv[1])).serve()
"""


def command(pid: int) -> str:
    with open(f"/proc/{pid}/cmdline") as file:
        return file.read()


def test_a_fork_that_cannot_use_the_gpu_starts_the_verb_anew(tmp_path, monkeypatch):
    place = tmp_path / "socket"
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    with subprocess.Popen([sys.executable, "-c", CANNOT, str(place)], stdin=subprocess.PIPE) as cannot:
        deadline = time.monotonic() + 300
        while not place.exists():
            assert time.monotonic() < deadline and cannot.poll() is None
            time.sleep(0.05)
        monkeypatch.setenv(warm.VARIABLE, str(place))
        os.mkfifo(tmp_path / "late.json")
        with baldro("metrics", "--samples", tmp_path / "late.json", "--alone") as process:
            while not any("baldro.cli" in command(pid) for pid in forks(cannot)):
                assert time.monotonic() < deadline and process.poll() is None, process.communicate()
                time.sleep(0.05)
            (tmp_path / "late.json").write_text("not a log")
            assert process.wait(300) == 2
        cannot.stdin.close()
        assert cannot.wait(60) == 0


def test_another_python_starts_in_the_ordinary_way(server, monkeypatch):
    monkeypatch.setattr(sys, "prefix", "/another")
    assert warm.run(["metrics", "--help"]) is None


def test_the_code_of_an_evaluation_is_read_before_the_first_fork(monkeypatch):
    monkeypatch.setattr("baldro.warm.server.LOADED", ())
    monkeypatch.setattr(os, "environ", dict(os.environ))
    fingerprint._fingerprint.cache_clear()
    source._of_code.cache_clear()
    Server.load(SimpleNamespace(environment=None), os.environ)
    read = source._of_code.cache_info().misses
    assert all(fingerprint.fingerprint("score", own=(module_of(kind),)) for kind in KINDS)
    assert source._of_code.cache_info().misses == read > 0
