"""Runs in bf16 on a CPU without instructions for it are told, by `check` and by `plan`, and nowhere else."""

from pathlib import Path

import pytest

from baldro.cli.main import main
from baldro.config import load
from baldro.plan import cpu, describe

ROOT = Path(__file__).resolve().parents[2]
CPUS = {
    "Haswell": ("flags\t\t: fpu sse4_2 avx avx2 fma", True),
    "Zen 3": ("flags\t\t: fpu avx2 fma vaes vpclmulqdq", True),
    "Skylake-X": ("flags\t\t: fpu avx2 avx512f avx512dq avx512bw avx512vl", False),  # torch's kernels widen to fp32
    "Sapphire Rapids": ("flags\t\t: avx512f avx512dq avx512bw avx512vl avx512_bf16 amx_bf16", False),
    "Knights Landing": ("flags\t\t: avx2 avx512f avx512cd avx512er", True),
    "Cortex-A72": ("Features\t: fp asimd aes", True),
    "Neoverse V1": ("Features\t: fp asimd sve bf16 i8mm", False),
    "unknown": ("", False),
}


@pytest.fixture(params=CPUS)
def slow(request, tmp_path, monkeypatch):
    text, slow = CPUS[request.param]
    (tmp_path / "cpuinfo").write_text(f"processor\t: 0\nmodel name\t: {request.param}\n{text}\n\nprocessor\t: 1\n")
    monkeypatch.setattr(cpu, "CPUINFO", tmp_path / "cpuinfo")
    return slow


def small(precision, model="tiny"):
    axes = {"split": "forget10", "objective": "npo", "precision": precision, "variant": ["base", "baldro-dv"]}
    benchmark = "fictional" if model == "tiny" else "tofu"
    return load({"name": "x", "grid": {"benchmark": benchmark, "model": model, **axes}})


def test_what_is_slow_is_told_where_it_is(slow):
    told = cpu.slow_bf16(small(["fp32", "bf16"]))
    assert (told is not None) == slow
    if slow:
        assert "6 to 9 times as long as fp32 on this CPU" in told and told.endswith(": 2 runs of tiny")
    assert ("WARNING: without a GPU" in describe(small("bf16-only"), gpu="a100-80")) == slow
    assert cpu.slow_bf16(small("fp32")) is None
    assert cpu.slow_bf16(small("bf16", model="llama-2-7b-chat")) is None, "it needs a GPU"


def test_a_machine_that_says_nothing_is_told_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(cpu, "CPUINFO", tmp_path / "nowhere")
    assert cpu.slow_bf16(small("bf16")) is None


def test_check_lists_the_runs_and_then_says_it(slow, capsys):
    assert main(["check", "--config", str(ROOT / "experiments/audit.yaml")]) == 0
    out, err = capsys.readouterr()
    assert "WARNING" not in out and err.count("WARNING") == int(slow)
    assert ("144 runs of tiny" in err) == slow
