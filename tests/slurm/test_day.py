"""A cluster's day in minutes: 50 runs that sleep, die, are cancelled and requeued as a seed has it; and two Snakemakes are killed."""

import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml

from .conftest import ROOT
from .machine import until
from .started import FAST

pytestmark = pytest.mark.slurm
RUNS = 50
SNAKEFILE = """
import sys

rule all:
    input: [f"results/runs/{i}/out.txt" for i in range(RUNS)]
    localrule: True

rule task:
    output: "results/runs/{run}/out.txt"
    log: "logs/task/{run}.log"
    benchmark: "logs/task/{run}.tsv"
    resources:
        gpu=1,
        mem_mb=lambda wildcards, attempt: 500 * attempt,
        runtime=lambda wildcards, attempt: 5 * attempt,
        runs_per_job=8,
    params:
        python=sys.executable,
    shell:
        "{params.python} work.py {wildcards.run} {output} {resources.mem_mb} 2> {log}"
""".replace("RUNS", str(RUNS), 1)
WORK = """
import os, random, subprocess, sys, time
from pathlib import Path

run, output, attempt = int(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]) // 500
job, before = os.environ["SLURM_JOB_ID"], Path(f"tries/{run}")
before.parent.mkdir(exist_ok=True)
with before.open("a") as file:  # a try that was requeued counts as well
    file.write("x")
tries = before.stat().st_size
draw = random.Random(1000 * run + tries)
fate = draw.random() if tries <= 2 else 1.0  # the third try of each goes well
time.sleep(draw.uniform(0.05, 0.5))
if fate < 0.08:
    sys.exit("out of luck")
if fate < 0.10:
    subprocess.run(["scancel", job])
elif fate < 0.12:
    subprocess.run(["scontrol", "requeue", job])
elif fate < 0.14:
    subprocess.run(["scancel", "--signal=KILL", "--full", job])
if fate < 0.14:
    time.sleep(60)  # the end is on its way
with open("done.txt", "a") as file:
    file.write(f"{run}\\n")
part = output.with_suffix(".part")
part.write_text(f"{run}\\n")
part.rename(output)
"""


def snakemake(folder: Path) -> Any:
    """A Snakemake with the profile's executor, and nothing of its workflow."""
    options = ["--profile", "profile", *FAST, "--retries", "4", "--jobs", "400"]
    command = [sys.executable, "-m", "snakemake", *options]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    with (folder / "said.txt").open("a") as file:
        return subprocess.Popen(command, cwd=folder, env=environment, stdout=file, stderr=subprocess.STDOUT)


def done(folder: Path) -> list[int]:
    path = folder / "done.txt"
    return list(map(int, path.read_text().split())) if path.exists() else []


def test_every_run_of_a_bad_day_is_done_once(cluster, tmp_path):
    (tmp_path / "Snakefile").write_text(SNAKEFILE)
    (tmp_path / "work.py").write_text(WORK)
    (tmp_path / "profile").mkdir()
    profile = yaml.safe_load((ROOT / "workflow/profiles/slurm/config.yaml").read_text())
    del profile["groups"]
    (tmp_path / "profile/config.yaml").write_text(yaml.safe_dump(profile))
    for number in (RUNS // 4, RUNS // 2):  # of runs that are done when Snakemake is killed
        process = snakemake(tmp_path)
        until(600, "it does not go on", lambda number=number: len(done(tmp_path)) >= number)
        os.kill(process.pid, signal.SIGKILL)
        process.wait(30)
        subprocess.run([sys.executable, "-m", "snakemake", "--unlock"], cwd=tmp_path, check=True, capture_output=True)
    assert snakemake(tmp_path).wait(2700) == 0, (tmp_path / "said.txt").read_text()[-5000:]
    assert Counter(done(tmp_path)) == dict.fromkeys(range(RUNS), 1)
    assert not cluster.queue(tmp_path)
    tries = sum(path.stat().st_size for path in (tmp_path / "tries").iterdir())
    assert tries > 1.1 * RUNS  # failures there were
    submissions = len((tmp_path / "results/slurm.jsonl").read_text().splitlines())
    assert submissions < RUNS / 2  # though what is tried again goes out in smaller packs
