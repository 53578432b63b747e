"""On a real SLURM, from nothing: the default experiment in small, what its jobs ask for, packs of runs, and runs that fail."""

import json
import os
import re
import signal
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from .conftest import ROOT, by_seed, copy_of, nano, tables
from .machine import PATIENCE, ask, processes
from .started import Snakemake, Watch, check_nothing_is_left, pass_the_limit, say_often

pytestmark = pytest.mark.slurm
NEEDS = {"mem_mb": 2000, "train_minutes": 7, "score_minutes": 3}


def accounts(checkout: Any) -> list[dict[str, Any]]:
    lines = (checkout.folder / "results/slurm.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def both(here: Any, there: Snakemake, *options: str, code: int = 0) -> str:
    """The same experiment here and on the cluster, at the same time, as the one waits where the other computes; what was said there."""
    there.start()
    try:
        here.snakemake(there.config, "--cores", "2", *options, code=code, seconds=PATIENCE * 540)
        return there.end(540, code)
    finally:
        there.process.kill()


@pytest.fixture(scope="module")
def cut(fresh, cluster, tmp_path_factory) -> tuple[Any, Snakemake, Watch]:
    """config.yaml, cut to two unlearning runs, is done: in a checkout here, and on the cluster, which was watched."""
    here, there = (copy_of(fresh, tmp_path_factory.mktemp(name) / "checkout") for name in ("here", "there"))
    config = yaml.safe_load((ROOT / "config.yaml").read_text())
    tiny = yaml.safe_load((ROOT / "models.yaml").read_text())["tiny"]
    for stage, epochs in (("pretrain", 1), ("finetune", 2)):  # a twentieth: what is made is compared, not judged
        tiny[stage]["epochs"] = epochs
    config["models"] = {"less": tiny}
    config["grid"] = config["grid"][0] | {
        "model": "less",
        "variant": ["base", "baldro-dv"],
        "dv_beta": 2,
        "seed": 0,
        "epochs": 2,
    }
    for checkout in (here, there):
        (checkout.folder / "cut.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    snakemake, watch = Snakemake(there, cluster, "cut.yaml"), Watch(there.folder)
    watch.start()
    both(here, snakemake)
    return here, snakemake, watch


def test_the_default_experiment_ends_in_the_same_tables_as_here(cut):
    here, snakemake, _ = cut
    assert tables(snakemake.checkout.folder) == tables(here.folder)
    assert snakemake.said().splitlines()[-1].startswith("16 of 16 jobs done in ")


def test_only_what_holds_a_model_goes_to_the_queue(cut):
    there = cut[1].checkout
    rows = accounts(there)
    runs = Counter("+".join(row["rules"]) for row in rows for _ in row["runs"])
    assert runs == {"finetune": 3, "reference": 1, "score": 2, "unlearn": 2}
    assert len(rows) < sum(runs.values())  # its runs share a job
    assert {row["state"] for row in rows} == {"COMPLETED"}
    assert all(row["gpus"] == 1 and row["used_mb"] > 100 and row["used_seconds"] > 0 for row in rows)
    page = (there.folder / "results/reports/fictional/report.html").read_text()
    assert "unlearn" in page and len(pd.read_csv(there.folder / "results/reports/fictional/slurm.csv")) == len(rows)


def test_where_nothing_happens_nothing_is_left(cut):
    _, snakemake, watch = cut
    check_nothing_is_left(snakemake, watch, kept=set())
    assert len(watch.seen) == 2 * 6  # files a run


def test_a_second_run_does_nothing_here_or_there(cut):
    _, snakemake, _ = cut
    there = snakemake.checkout
    before = len(accounts(there))
    snakemake.start()
    assert "Nothing to be done" in snakemake.end()
    assert len(accounts(there)) == before
    assert there.planned("cut.yaml") == {}  # with the local profile


@pytest.fixture(scope="module")
def packed(fresh, cluster, tmp_path_factory) -> tuple[Any, Any, str]:
    """Checkouts after six runs, one of which diverges: here alone, there three to a job; and what was said there."""
    here, there = (copy_of(fresh, tmp_path_factory.mktemp(name) / "checkout") for name in ("here", "there"))
    models = {"nano": nano()["nano"] | {"needs": NEEDS | {"runs_per_job": 3}}}
    rates = ["1e-3", "1e30", "2e-3", "3e-3", "4e-3", "5e-3"]
    for checkout in (here, there):
        checkout.write("packed.yaml", name="packed", models=models, variant="base", lr=rates)
    return here, there, both(here, Snakemake(there, cluster, "packed.yaml"), code=1)


def test_runs_share_a_job_and_fail_alone(packed):
    _, checkout, said = packed
    packs = [row for row in accounts(checkout) if "unlearn" in row["rules"]]
    assert [len(row["runs"]) for row in packs] == [3, 3]  # and what diverged was not tried again
    assert [row["asked_seconds"] for row in packs] == [3 * 60 * 10] * 2
    logs = [checkout.folder / f"logs/slurm/{row['job']}.log" for row in packs]
    assert [log.read_text().count("train runs in a fork of process") for log in logs] == [3, 3]
    report = checkout.folder / "results/reports/packed"
    assert Counter(pd.read_csv(report / "runs.csv")["status"]) == {"ok": 7, "failed": 1}
    assert "Traceback" not in said
    (failed,) = [row for row in packs if row["state"] != "COMPLETED"]
    line = next(line for line in said.splitlines() if "is NaN at step" in line or "is inf at step" in line)
    assert "baldro train: " in failed["reason"] and failed["job"] in said and line


def test_packed_runs_are_what_they_are_alone(packed):
    here, there, _ = packed
    assert tables(there.folder) == tables(here.folder)


def test_jobs_ask_for_what_the_models_entry_says(packed, cluster):
    _, checkout, _ = packed
    jobs = [job for job in cluster.jobs() if job["WorkDir"] == str(checkout.folder)]
    minutes = {"finetune": 7, "reference": 3, "score": 3, "unlearn": 10}
    for job in jobs:
        kind, *_ = job["Comment"].split()
        (row,) = [row for row in accounts(checkout) if row["job"] == job["JobId"]]
        hours, rest, _ = job["TimeLimit"].split(":")
        assert 60 * int(hours) + int(rest) == minutes[kind] * len(row["runs"]), job
        assert (job["Partition"], job["MinMemoryNode"], job["TresPerJob"]) == ("gpu", "2000M", "gres:gpu:1")


SEVERAL = {"one node": 1, "late": 2, "lost": 3}
"""Seeds of runs of several processes: on the GPUs of one node, and on those of two past their time limit or without the second one."""


def lose_the_second_node(snakemake: Snakemake, run: str) -> None:
    """In the midst of a training: its slurmd and all processes of the job there."""
    with snakemake.caught(run) as ((_, nodes),):
        _, second = ask("scontrol", "show", "hostnames", nodes).split()
        snakemake.cluster.kill(f"slurmd-{second}")
        for pid in processes(snakemake.checkout.folder):
            with suppress(OSError):  # it has ended meanwhile
                if f"SLURMD_NODENAME={second}\0".encode() in Path(f"/proc/{pid}/environ").read_bytes():
                    os.kill(pid, signal.SIGKILL)


@pytest.fixture(scope="module")
def several(fresh, cluster, tmp_path_factory) -> tuple[Any, Any]:
    """Checkouts after runs of several processes: of one node here, and on a cluster's nodes, where faults hit them."""
    here, there = (copy_of(fresh, tmp_path_factory.mktemp(name) / "checkout") for name in ("here", "there"))
    single = f"any(part in wildcards.run for part in ('pretrain', 'retain', '--seed={SEVERAL['one node']}'))"
    for checkout, needs in ((here, {"gpu": 4}), (there, {"gpu": 2, "nodes": 2})):
        model = nano()
        model["nano"] |= {"needs": NEEDS | needs | {"shard": True}}
        say_often(checkout)
        seeds = list(SEVERAL.values())
        checkout.write("several.yaml", models=model, name="several", variant="baldro-dv", seed=seeds, epochs=60)
    runs = {int(run.rpartition("--seed=")[2]): run for run in there.planned("several.yaml")["unlearn"]}
    nodes, gpus = (
        [f"{rule}:{what} if {single} else {most}" for rule in ("finetune", "score", "unlearn")]
        for what, most in (("nodes=1", 2), ("gpu=2", 4))
    )
    snakemake = Snakemake(there, cluster, "several.yaml", ("--set-resources", *nodes))
    with ThreadPoolExecutor() as pool:
        acts = [
            pool.submit(act, snakemake, runs[SEVERAL[name]])
            for name, act in (("late", pass_the_limit), ("lost", lose_the_second_node))
        ]
        both(here, snakemake, "--set-resources", *gpus)
    for act in acts:
        act.result()
    cluster.repair()
    return here, there


def of_several(checkout: Any, name: str) -> tuple[list[dict[str, Any]], str]:
    """What the jobs of a run came to, and what it ran on."""
    run = by_seed(checkout)[SEVERAL[name]]
    rows = [row for row in accounts(checkout) if row["runs"] == [run.name]]
    return rows, json.loads((run / "run.json").read_text())["device"]


def test_jobs_of_several_processes_end_in_the_same_tables_as_here(several):
    """Trained and scored by all of them, each with its share of the model; here as many processes of one node do the same."""
    here, there = several
    assert tables(there.folder) == tables(here.folder)
    assert {row["gpus"] for row in accounts(there)} == {2, 4}


def test_a_job_of_two_gpus_is_a_training_of_two_processes(several):
    (row,), device = of_several(several[1], "one node")
    assert (row["state"], row["gpus"]) == ("COMPLETED", 2) and device.startswith("2 x cpu")


def test_a_job_of_two_nodes_is_a_training_of_all_their_gpus_and_tried_again_without_one(several):
    (lost, row), device = of_several(several[1], "lost")
    assert "of this job was lost: " in lost["reason"]
    assert (row["state"], row["gpus"]) == ("COMPLETED", 4) and device.startswith("4 x cpu")


def test_the_time_limit_of_a_job_reaches_both_of_its_nodes(several, cluster):
    """All processes end together and leave a checkpoint, from which the next attempt goes on."""
    (late, row), device = of_several(several[1], "late")
    assert (late["state"], late["gpus"], row["state"], row["gpus"]) == ("TIMEOUT", 4, "COMPLETED", 4)
    assert late["reason"].startswith("time limit of ")
    second = "".join(path.read_text() for path in cluster.folder.glob("log/slurmd-n*.log"))
    assert re.search(rf"STEP {late['job']}\.0 ON \w+ CANCELLED .* DUE TO TIME LIMIT", second)
    run = by_seed(several[1])[SEVERAL["late"]]
    assert "continues" in (several[1].folder / f"logs/unlearn/{run.name}.log").read_text()
    assert device.startswith("4 x cpu")
