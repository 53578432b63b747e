"""One small experiment from config to report, by the real Snakemake; and one of which a run fails."""

import json
import math
import shutil
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pandas as pd
import pytest

from baldro.config import load
from baldro.runs import Run

pytestmark = pytest.mark.processes  # minutes of the real Snakemake

TARGET = "few--nano--full--finetune--lr=0.002--epochs=2"
LOST = "few--nano--forget10--npo--lr=1e+30--epochs=2--batch_size=2"


def of(folder):
    return {path.name: path for path in (folder / "results" / "runs").iterdir()}


def read(path):
    return json.loads(path.read_text())


@pytest.fixture(scope="module")
def experiment(finished):
    return load(finished.folder / "small.yaml", root=finished.folder)


def test_every_run_has_finite_metrics_and_says_what_it_was(finished, experiment):
    folders = of(finished.folder)
    assert set(folders) == {run.id for run in experiment.lineage()}
    for run in experiment.runs:
        stored = read(folders[run.id] / "metrics.json")
        assert stored["run"] == run.id
        assert all(math.isfinite(value) for value in stored["metrics"].values())
        assert {"forget_quality", "forget_quality_d", "model_utility"} <= set(stored["metrics"])
    for name, folder in folders.items():
        run = Run.parse(name)
        if run.hyperparameters():
            info = read(folder / "run.json")
            assert (info["run"], Run.of(**info["spec"])) == (name, run)
            assert info["versions"]["torch"] and info["seconds"] > 0 and info["tokens"] > 0


def test_the_loop_left_its_rows(finished, experiment):
    for run in experiment.runs[2:]:
        folder = of(finished.folder)[run.id]
        steps, dynamics = pd.read_csv(folder / "train.csv"), pd.read_parquet(folder / "dynamics.parquet")
        assert steps["step"].tolist() == [1, 2, 3, 4]  # 4 rows, 2 a batch, 2 epochs
        assert steps["lr"].max() <= run.lr
        assert dynamics.groupby("step")["weight"].sum().tolist() == pytest.approx([1] * 4)
        assert all(sorted(part["index"]) == [0, 1, 2, 3] for _, part in dynamics.groupby(dynamics["step"] > 2))
        assert not (folder / "checkpoint").exists()


def test_unlearned_models_are_deleted_and_target_and_retain_models_stay(finished):
    kept = {name for name, folder in of(finished.folder).items() if (folder / "model").exists()}
    assert {Run.parse(name).objective for name in kept} == {"pretrain", "finetune"}
    assert len(kept) == 3
    assert TARGET in kept


def test_runs_share_one_reference(finished):
    (reference,) = (finished.folder / "results").rglob("reference.parquet")
    assert reference.parent.name == "few--nano--forget10--original"
    assert [path.name for path in (finished.folder / "logs" / "reference").glob("*.log")] == [
        "few--nano--forget10--original.log"
    ]


def test_retain_is_its_own_measure(finished):
    stored = read(of(finished.folder)["few--nano--forget10--retain"] / "metrics.json")["metrics"]
    assert (stored["forget_quality"], stored["forget_quality_d"]) == (1, 0)


def test_tables_figures_and_report_are_there(finished, experiment):
    report = finished.folder / "results" / "reports" / "small"
    rows = pd.read_csv(report / "runs.csv")
    assert rows["id"].tolist() == [run.id for run in experiment.runs]
    assert set(rows["status"]) == {"ok"}
    for kind in ("csv", "md", "tex"):
        table, further = sorted((report / "tables").glob(f"*.{kind}"), key=lambda path: len(path.name))
        assert "membership" in further.name
        assert table.stat().st_size > 100
    drawn = {kind: {path.stem for path in (report / "figures").glob(f"*.{kind}")} for kind in ("pdf", "png")}
    assert drawn["pdf"] == drawn["png"] != set()
    page = (report / "report.html").read_text()
    assert "NPO + BalDRO-DV" in page
    assert "http://" not in page.replace("http://www.w3.org", "")


def test_the_terminal_shows_the_table_and_ends_in_one_line(finished):
    lines = (finished.folder / "output.txt").read_text().splitlines()
    assert any(line.split()[:3] == ["NPO", "+", "BalDRO-DV"] for line in lines)
    assert lines[-1].startswith("16 of 16 jobs done in ")


def test_jobs_on_this_machine_are_forks_of_one_process(checkout):
    options = ("--configfile", "small.yaml", "--cores", "1", "--forcerun", "metrics", "--until", "metrics")
    command, seen = [sys.executable, "-m", "snakemake", *options], set()
    with subprocess.Popen(
        command, cwd=checkout.folder, env=checkout.environment(), stderr=subprocess.DEVNULL
    ) as process:
        while process.poll() is None:
            seen |= forks(checkout.folder)
            time.sleep(0.02)
    assert process.returncode == 0 and len(seen) == 4  # a job of each run


def forks(folder: Path) -> set[int]:
    """Processes that run in a folder and are forks of a warm one."""
    found = set()
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has ended
            warm = "baldro.warm" in (process / "cmdline").read_text()
            parent = (process / "stat").read_text().rpartition(")")[2].split()[1]
            if (
                warm
                and (process / "cwd").readlink() == folder
                and "baldro.warm" in Path(f"/proc/{parent}/cmdline").read_text()
            ):
                found.add(int(process.name))
    return found


@pytest.fixture(scope="module")
def partly_failed(finished, tmp_path_factory):
    """The finished checkout, after an experiment with a run that diverges, one that is done already and a new one."""
    folder = tmp_path_factory.mktemp("failed") / "checkout"
    shutil.copytree(finished.folder, folder)
    checkout = type(finished)(folder)
    grid = dict(benchmark="few", model="nano", split="forget10", epochs=2, batch_size=2)
    blocks = [grid | dict(objective="npo", lr=["1e30", "1e-3"]), grid | dict(objective="simnpo", lr="1e-3")]
    checkout.write("failing.yaml", name="failing", grid=blocks)
    process = checkout.snakemake("failing.yaml", "--cores", "2", code=1)
    return checkout, process.stdout + process.stderr


def test_a_run_that_diverges_is_a_row_and_the_others_go_on(partly_failed):
    checkout, output = partly_failed
    assert f"FAILED  unlearn  run={LOST}" in output
    assert "Traceback" not in output
    rows = pd.read_csv(checkout.folder / "results/reports/failing/runs.csv").set_index("id")
    assert rows.loc[LOST, "status"] == "failed"
    assert "at step" in rows.loc[LOST, "reason"]
    assert (rows.drop(LOST)["status"] == "ok").all() and len(rows) == 5
    page = (checkout.folder / "results/reports/failing/report.html").read_text()
    assert rows.loc[LOST, "reason"] in page
    failure = read(of(checkout.folder)[LOST] / "failed.json")
    assert (failure["run"], failure["stage"]) == (LOST, "train")


def test_after_a_failure_only_what_failed_is_done_again(partly_failed):
    checkout, _ = partly_failed
    alone = {rule: [LOST] for rule in ("unlearn", "metrics")}
    assert checkout.planned("failing.yaml") == alone | {"report": [""]}


def test_what_is_to_be_made_anew_is_no_result_though_it_comes_to_nothing(partly_failed):
    """Other rows under a benchmark's old name that cannot be made: the numbers of the earlier rows are not told as theirs."""
    checkout, _ = partly_failed
    broken = {"kind": "tofu", "source": ["empty"], "forget": {"forget10": "retain90"}}
    (checkout.folder / "empty").mkdir()
    (checkout.folder / "empty/forget10.json").write_text("{}\n")
    checkout.write("broken.yaml", name="broken", benchmarks={"few": broken})
    checkout.snakemake("broken.yaml", "--cores", "2", code=1)
    rows = pd.read_csv(checkout.folder / "results/reports/broken/runs.csv")
    assert len(rows) == 4 and (rows["status"] == "missing").all()
