"""A copy of the checkout in which the real Snakemake runs an experiment of seconds."""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml
from filelock import FileLock

ROOT = Path(__file__).resolve().parents[2]


def python_path(folder: Path) -> str:
    """PYTHONPATH by which a checkout's own code and plugins run, whatever is installed."""
    return os.pathsep.join(map(str, [folder, *sorted((folder / "plugins").iterdir())]))


COPIED = (
    *("Snakefile", "workflow", "profiles", "config.yaml", "models.yaml", "benchmarks.yaml", "README.md"),
    *("baldro", "plugins"),
)
SMALL = r"""
name: small
benchmarks:
  few:
    {kind: fictional, authors: 10, questions: 4, known_authors: 4, background_authors: 2, world_facts: 4,
     forget: {forget10: retain90}, max_new_tokens: 8}
models:
  nano:
    build: {vocab_size: 400, hidden_size: 16, num_hidden_layers: 1, num_attention_heads: 2, intermediate_size: 32}
    prompt: "{question}\n"
    pretrain: {lr: 2e-3, epochs: 1}
    finetune: {lr: 2e-3, epochs: 2}
grid:
  benchmark: few
  model: nano
  split: forget10
  objective: npo
  variant: [base, baldro-dv]
  lr: 1e-3
  epochs: 2
  batch_size: 2
"""


@dataclass(frozen=True)
class Checkout:
    """A folder with the code, configs and results."""

    folder: Path

    def environment(self) -> dict[str, str]:
        """The copy is what runs: `baldro` on PATH and in Python are the copy's."""
        path = f"{self.folder / 'bin'}{os.pathsep}{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        more = {"PATH": path, "PYTHONPATH": python_path(self.folder), "OMP_NUM_THREADS": "1", "NO_COLOR": "1"}
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("SNAKEMAKE_", "PYTEST_", "BALDRO_"))}
        return kept | more | {"PYTHONDONTWRITEBYTECODE": "1"}

    def run(self, *command: str, code: int = 0, seconds: float = 300) -> subprocess.CompletedProcess:
        """A command in the folder; its exit code must be `code`."""
        process = subprocess.run(
            command, cwd=self.folder, env=self.environment(), capture_output=True, text=True, timeout=seconds
        )
        assert process.returncode == code, process.stdout + process.stderr
        return process

    def snakemake(self, config: str | None, *options: str, code: int = 0, seconds: float = 300) -> Any:
        """Snakemake as a user calls it, with the default profile."""
        named = ["--configfile", config] if config else []
        return self.run(sys.executable, "-m", "snakemake", *named, *options, code=code, seconds=seconds)

    def write(self, file: str, /, **changes: object) -> str:
        """A config: the small one with other values at its top level, and in its grid for axes (None removes one)."""
        config = yaml.safe_load(SMALL)
        for key, value in changes.items():
            place = (
                config["grid"]
                if key not in ("name", "benchmarks", "models", "grid", "exclude", "selection", "columns", "keep_models")
                else config
            )
            place[key] = value
        (self.folder / file).write_text(yaml.safe_dump(config, sort_keys=False))
        return file

    def edit(self, file: str, old: str, new: str) -> None:
        """Change the first `old` of a file."""
        text = (self.folder / file).read_text()
        assert old in text, f"{file} no longer holds {old!r}"
        (self.folder / file).write_text(text.replace(old, new, 1))

    def planned(self, config: str = "small.yaml") -> dict[str, list[str]]:
        """Rule -> wildcards of the jobs that Snakemake would run now, the localrule `all` left out."""
        process = self.snakemake(config, "--dry-run")
        lines = (process.stdout + process.stderr).splitlines()
        jobs: dict[str, list[str]] = {}
        for line, following in pairwise(lines):
            if following.startswith("    ") and not line.startswith(" "):
                rule, *wildcards = line.split()
                jobs.setdefault(rule, []).append(wildcards[0].partition("=")[2] if wildcards else "")
        assert jobs or "Nothing to be done" in "\n".join(lines), lines
        jobs.pop("all", None)
        return {rule: sorted(found) for rule, found in jobs.items()}

    def rules(self, config: str = "small.yaml") -> dict[str, int]:
        """Rule -> number of jobs that Snakemake would run now."""
        return {rule: len(found) for rule, found in self.planned(config).items()}


@pytest.fixture(scope="session")
def fresh(tmp_path_factory) -> Checkout:
    """The checkout without results. Not to be changed by a test."""
    folder = tmp_path_factory.mktemp("fresh")
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(
                source, folder / name, ignore=shutil.ignore_patterns("__pycache__", ".*_cache", "*.egg-info", "build")
            )
        else:
            shutil.copy(source, folder / name)
    (folder / "small.yaml").write_text(SMALL)
    command = folder / "bin" / "baldro"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m baldro.cli "$@"\n')
    command.chmod(0o755)
    return Checkout(folder)


@pytest.fixture(scope="session")
def finished(fresh, tmp_path_factory) -> Checkout:
    """The checkout after the small experiment. Not to be changed by a test."""
    base = tmp_path_factory.getbasetemp()
    shared = (
        base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    )  # one experiment for all of pytest's processes
    folder = shared / "finished"
    with FileLock(f"{folder}.lock"):
        if not (folder / "output.txt").is_file():
            shutil.rmtree(folder, ignore_errors=True)
            shutil.copytree(fresh.folder, folder)
            process = Checkout(folder).snakemake("small.yaml", "--cores", "2", seconds=1200)
            (folder / "output.txt").write_text(process.stdout + process.stderr)
    return Checkout(folder)


@pytest.fixture
def checkout(finished, tmp_path) -> Checkout:
    """A copy of the finished checkout, for a test to change; times of files are kept."""
    shutil.copytree(finished.folder, tmp_path / "checkout")
    return Checkout(tmp_path / "checkout")
