"""What a large grid costs before anything runs: reading the config, planning it, Snakemake's graph of its jobs.

A grid of base and nine temperatures, over learning rates and seeds, is expanded against loops that write ids by hand and check nothing;
its graph is made against that of the same jobs without configs, parameters or resources (bare.smk), which is Snakemake's own.
"""

import contextlib
import io
import json
import resource
import subprocess
import sys
import tempfile
import time
from itertools import product
from pathlib import Path

from common import ratio

from baldro.cli.main import main as baldro
from baldro.config import load

ROOT = Path(__file__).resolve().parents[1]
SIZES = {100: (2, 5), 1_000: (10, 10), 5_000: (20, 25)}
"""Runs -> learning rates and seeds, for each of the ten points of base and nine temperatures."""


def config(rates: int, seeds: int) -> dict:
    """A grid of 10 x rates x seeds runs; as base has no temperature, 18 x rates x seeds combinations."""
    axes = dict(benchmark="fictional", model="tiny", split="forget10", objective="npo", variant=["base", "baldro-dv"])
    lr, beta = [round(1e-4 * (i + 1), 4) for i in range(rates)], [round(0.1 * (i + 1), 1) for i in range(9)]
    return {"name": "grid", "grid": {**axes, "lr": lr, "dv_beta": beta, "seed": list(range(seeds))}}


def naive(grid: dict) -> set[str]:
    """The ids of the unlearning runs, as one writes them who knows that no value is a default but seed 0."""
    found = set()
    for variant, lr, beta, seed in product(grid["variant"], grid["lr"], grid["dv_beta"], grid["seed"]):
        text = f"{grid['benchmark']}--{grid['model']}--{grid['split']}--{grid['objective']}"
        if variant != "base":
            text += f"--{variant}"
        text += f"--lr={lr}"
        if variant == "baldro-dv":
            text += f"--dv_beta={beta}"
        if seed != 0:
            text += f"--seed={seed}"
        found.add(text)
    return found


def ids(given: dict) -> set[str]:
    """The same from the experiment: values checked, names looked up, defaults and what does not matter left out."""
    return {run.id for run in load(given).runs if run.facts.forgets}


def planned(path: Path) -> float:
    """CPU seconds of `baldro plan` without the start of Python."""
    began = time.process_time()
    with contextlib.redirect_stdout(io.StringIO()):
        if baldro(["plan", "--config", str(path)]):
            raise SystemExit("baldro plan failed")
    return time.process_time() - began


def graph(folder: str, snakefile: str, *options: str) -> tuple[float, int]:
    """CPU seconds of Snakemake's dry run in an empty folder, and its number of jobs."""
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / snakefile), *options]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run([*command, "--dry-run", "--quiet"], cwd=folder, capture_output=True, text=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise SystemExit(done.stdout + done.stderr)
    total = next(line.split()[1] for line in (done.stdout + done.stderr).splitlines() if line.startswith("total"))
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, int(total)


def main() -> None:
    for runs, (rates, seeds) in SIZES.items():
        given = config(rates, seeds)
        mine, theirs = ids(given), naive(given["grid"])
        if mine != theirs or len(mine) != runs:
            raise SystemExit(f"{len(mine)} runs, {len(theirs)} by hand; {len(mine ^ theirs)} are not in both")
        seconds, times = ratio(lambda given=given: ids(given), lambda given=given: naive(given["grid"]))
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "grid.yaml"
            path.write_text(json.dumps(given))
            plan, (dag, jobs) = planned(path), graph(folder, "Snakefile", "--configfile", str(path))
            alone = ["--config", f"runs={runs}", "--workflow-profile", "none", "--logger", "baldro"]
            bare, _ = graph(folder, "benchmarks/bare.smk", *alone)
        print(
            f"{runs:5,} runs: load {seconds:.2f} s, by hand {times:.3f}x, the same ids; plan {plan:.2f} s; "
            f"graph of {jobs:,} jobs {dag:.1f} s, {1e3 * dag / jobs:.1f} ms a job, "
            f"{dag / bare:.1f} times a bare one",
            flush=True,
        )


if __name__ == "__main__":
    main()
