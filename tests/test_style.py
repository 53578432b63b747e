"""The linters and formatters agree: the code's and the workflow's."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
WORKFLOW = ["Snakefile", *sorted(str(p.relative_to(ROOT)) for p in (ROOT / "workflow").rglob("*.smk"))]
COMMANDS = {
    "ruff check": ["ruff", "check", "."],
    "ruff format": ["ruff", "format", "--check", "."],
    "snakefmt": ["snakefmt", "--check", *WORKFLOW],
}


def run(*command: str) -> subprocess.CompletedProcess:
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600)


@pytest.mark.parametrize("name", COMMANDS)
def test_style(name):
    tool, *options = COMMANDS[name]
    process = run(str(Path(sys.executable).parent / tool), *options)
    assert process.returncode == 0, process.stdout + process.stderr


def test_snakemake_lint():
    """But for two of its wishes: one image holds every rule's environment, and that a job stays offline makes it no other job."""
    said = run(sys.executable, "-m", "snakemake", "--lint").stderr
    wishes = re.findall(r"^    \* (.+):$", said, re.MULTILINE)
    known = ("Specify a conda environment or container", "Shell command directly uses variable OFFLINE")
    assert wishes and not [wish for wish in wishes if not wish.startswith(known)], said
