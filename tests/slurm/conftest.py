"""A SLURM of the tests' own on this host (the script `cluster`), and checkouts in which Snakemake runs on it."""

import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from .disturbed import CONFIG, RUNS, STEPS, Experiment
from .machine import Cluster
from .started import Snakemake, Watch, say_often

os.environ["PATH"] += f"{os.pathsep}/usr/sbin"  # where the daemons are
HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
INSTALL = "apt-get install --no-install-recommends slurm-wlm slurmdbd mariadb-server"

SPEC = importlib.util.spec_from_file_location("checkouts", ROOT / "tests/workflow/conftest.py")
checkouts = importlib.util.module_from_spec(SPEC)
sys.modules["checkouts"] = checkouts
SPEC.loader.exec_module(checkouts)
fresh = checkouts.fresh  # the fixture: a copy of the checkout without results


def why_not() -> str | None:
    """What a SLURM of one's own lacks here."""
    if not all(map(shutil.which, ("slurmctld", "slurmd", "slurmdbd", "mariadbd"))):
        return f"no SLURM with accounts here: {INSTALL}"
    if os.geteuid():
        return "slurmd needs root"
    if subprocess.run([HERE / "cluster", "free"], check=False).returncode:
        return "this host belongs to a cluster: /etc/slurm/slurm.conf is there"
    return None


@pytest.fixture(scope="session")
def cluster(tmp_path_factory) -> Iterator[Cluster]:
    """A running SLURM; stopped afterwards, jobs and all. Must not be missing where BALDRO_REQUIRE_SLURM=1 (as in CI)."""
    if reason := why_not():
        if os.environ.get("BALDRO_REQUIRE_SLURM") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    folder = tmp_path_factory.mktemp("slurm")
    subprocess.run([HERE / "cluster", "up", folder], check=True, timeout=120)
    yield Cluster(folder)
    subprocess.run([HERE / "cluster", "down", folder], check=True, timeout=120)


def copy_of(checkout: Any, folder: Path) -> Any:
    """Another checkout with the same files; times of files are kept."""
    shutil.copytree(checkout.folder, folder, symlinks=True)
    return checkouts.Checkout(folder)


def by_seed(checkout: Any) -> dict[int, Path]:
    """Folders of the unlearning runs."""
    return {int(path.name.rpartition("--seed=")[2]): path for path in checkout.folder.glob("results/runs/*--npo*")}


def tables(folder: Path) -> dict[str, bytes]:
    """Every table of every experiment of a checkout, to the byte."""
    found = {str(path.relative_to(folder)): path.read_bytes() for path in folder.glob("results/reports/*/tables/*")}
    assert found, f"no tables in {folder}"
    return found


def nano() -> dict[str, Any]:
    """The small experiment's model, trained quickly."""
    stage = {"lr": "2e-3", "epochs": 1}
    return {"nano": yaml.safe_load(checkouts.SMALL)["models"]["nano"] | {"pretrain": stage, "finetune": stage}}


@pytest.fixture(scope="session")
def undisturbed(fresh, tmp_path_factory) -> Any:
    """A checkout after a local run of the experiment that will be disturbed."""
    checkout = copy_of(fresh, tmp_path_factory.mktemp("undisturbed") / "checkout")
    say_often(checkout)
    seeds = list(range(1, 1 + RUNS))
    checkout.write(CONFIG, models=nano(), name="faults", variant="baldro-dv", seed=seeds, epochs=STEPS // 2)
    checkout.snakemake(CONFIG, "--cores", "2", "--until", "unlearn", seconds=900)
    return checkout


@pytest.fixture(scope="session")
def begin(cluster, undisturbed, tmp_path_factory) -> Iterator[Any]:
    """Make an experiment of these seeds' runs, which are to be done on the cluster; the others are there."""
    begun = []

    def made(seeds: dict[str, int], *options: str) -> Experiment:
        checkout = copy_of(undisturbed, tmp_path_factory.mktemp("disturbed") / "checkout")
        folders = by_seed(checkout)
        for seed in seeds.values():
            shutil.rmtree(folders[seed])
        watch = Watch(checkout.folder)
        watch.start()
        snakemake = Snakemake(checkout, cluster, CONFIG, ("--until", "unlearn", *options))
        runs = {fault: folders[seed].name for fault, seed in seeds.items()}
        begun.append(snakemake)
        return Experiment(snakemake, undisturbed.folder, runs, watch)

    yield made
    for snakemake in begun:
        if snakemake.process and snakemake.process.poll() is None:
            snakemake.process.kill()
    cluster.repair()
