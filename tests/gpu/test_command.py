"""`python -m benchmarks.gpu`, all of it in small on a CPU, from a checkout that is not installed: it must work when a GPU is at hand."""

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.processes
def test_everything_in_small(tmp_path):
    command = [
        sys.executable,
        "-m",
        "benchmarks.gpu",
        "--device",
        "cpu",
        "--quick",
        "--scale",
        "5",
        "--output",
        tmp_path,
    ]
    done = subprocess.run(
        command, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found = {section["title"]: section for section in json.loads((tmp_path / "gpu.json").read_text())["sections"]}
    assert list(found) == ["Right", "Fast", "A real result"] and not any(s["failed"] for s in found.values())
    assert not [
        note
        for s in found.values()
        for note in s["notes"]
        if note.startswith(("not run", "cut off", "stopped", "ended"))
    ]
    constants = [
        row["constant of baldro/plan/cost.py"] for row in found["Fast"]["rows"] if len(row) == 5 and "plan" in row
    ]
    assert constants == ["TRAIN_SHARE", "SCORE_SHARE", "LAUNCH", "BANDWIDTH_SHARE"]
    steps = [row for row in found["Fast"]["rows"] if "step" in row]
    precisions = {"bf16-only", "bf16", "fp32", "bf16, LoRA 32"}
    precisions |= {"bf16-stochastic, adamw-8bit", "bf16, LoRA 32, nf4"} if find_spec("bitsandbytes") else set()
    assert {row["precision"] for row in steps} == precisions and all(row["s"] for row in steps)
    batched = [row for row in found["Fast"]["rows"] if row.get("scoring", "").startswith("generate_batch")]
    assert [row["type"] for row in batched] == ["float32", "bfloat16"] and batched[0]["note"].startswith("0 of 12 ")
    [table] = found["A real result"]["notes"]
    assert "NPO + BalDRO-DV" in table and "SimNPO" in table
    assert "NPO + BalDRO-DV" in (tmp_path / "gpu.md").read_text()


def test_a_section_that_fails_or_lasts_leaves_the_others(tmp_path, monkeypatch):
    import time

    import torch

    from benchmarks.gpu import record

    monkeypatch.setattr(record, "GRACE", 0.2)
    made = record.Record(tmp_path, device=torch.device("cpu"), quick=True)

    def fails(_context):
        yield {"a": 1.0}
        raise ValueError("no\nnumber")

    def lasts(context):
        yield {"a": context.left() > 0}
        time.sleep(60)

    def lacks():
        import a_package_that_is_not_there  # noqa: F401

    made.take("fails", 5, lambda: fails)
    made.take("lasts", 0.3, lambda: lasts)
    made.take("lacks", 5, lacks)
    made.take("does", 5, lambda: lambda _context: iter([{"a": 2.0, "failed": False}, "a note"]))
    told = json.loads((tmp_path / "gpu.json").read_text())["sections"]
    assert [s["failed"] for s in told] == [True, False, True, False] and made.failed
    assert [s["rows"] for s in told] == [[{"a": 1.0}], [{"a": True}], [], [{"a": 2.0}]]
    assert told[0]["notes"] == ["ended by ValueError: no"] and told[1]["notes"][0].startswith("cut off")
    assert "pip install a_package_that_is_not_there" in told[2]["notes"][0] and told[3]["notes"] == ["a note"]


@pytest.mark.parametrize(
    ("came", "said"),
    [(2, "1 of 3 texts are lost"), (3, "1 of 3 texts are lost: a kernel"), (0, "MemoryError: no room")],
)
def test_what_generate_batch_fails_of_is_a_line_of_the_table(came, said):
    import torch
    from transformers.generation.continuous_batching.requests import GenerationOutput

    from benchmarks.gpu import generating, work

    class Model:
        def generate_batch(self, _inputs, **_options):
            if not came:
                raise MemoryError("no room")
            made = [GenerationOutput(request_id=str(i), generated_tokens=[5, 1, 5]) for i in range(came)]
            made[-1].error = "a kernel\nfailed" if came == 3 else None
            return {one.request_id: one for one in made}

    given = dict(prompts=[(2,)] * 3, mine=[[5]] * 3, one=work.Timed(1.0, None), plan=1.0, eos=1, limit=2)
    row = generating._continuous(Model(), work.QUICK[0], torch.float32, torch.device("cpu"), **given)
    assert row["note"].endswith(said) and row["s"] is None and not row["failed"]
