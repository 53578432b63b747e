"""What SLURM jobs were asked for, held and used: read from slurm.jsonl, summed, told, and absent where nothing went through SLURM."""

import json
from collections import Counter
from pathlib import Path
from xml.etree import ElementTree

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from baldro.analysis.cluster import jobs_table, read_jobs, stage
from baldro.errors import BaldroError
from baldro.records.slurm import FIELDS
from baldro.report import read_frame, write_report
from baldro.report.efficiency import advice, usage_rows, usage_texts
from baldro.report.style import DASH

MODEL = "llama-2-7b-chat"
BASE, DV = (f"tofu--{MODEL}--forget10--npo{more}" for more in ("", "--baldro-dv"))
TARGET = f"tofu--{MODEL}--full--finetune--lr=1e-05"
SMALL = dict(splits=("forget10",), objectives=("npo",), variants=("base", "baldro-dv"), betas=(2,), seeds=(0,))


def line(**changes) -> dict:
    """A job that ended well: 1 GPU for 10 of 60 minutes, of which baldro ran 8; 310 of 1,000 MB."""
    usual = dict(
        job="812",
        rules=["score", "unlearn"],
        runs=[BASE],
        attempt=1,
        state="COMPLETED",
        reason="",
        node="n2",
        partition="gpu",
        gpus=1,
        cpus=4,
        asked_seconds=3600,
        held_seconds=600,
        used_seconds=480.0,
        asked_mb=1000,
        used_mb=310,
        log="logs/slurm/812.log",
        ended="2026-01-01T00:00:00+0000",
    )
    return usual | changes


LOST = dict(state="OUT_OF_MEMORY", reason="out of memory: asked 1000 MB, used 999 MB", used_seconds=None, used_mb=999)
LINES = [
    line(job="810", rules=["finetune"], runs=[TARGET], gpus=2, held_seconds=1800, used_seconds=1700.0),
    line(job="811", runs=[DV], **LOST),
    line(job="812"),
    line(job="813", runs=[DV], attempt=2, asked_mb=2000, used_mb=1400, asked_seconds=7200),
]


def write(results: Path, lines: list) -> Path:
    path = results / "slurm.jsonl"
    path.write_text("".join((each if isinstance(each, str) else json.dumps(each)) + "\n" for each in lines))
    return path


def report(study_result, output: Path) -> Path:
    rows, results = study_result
    return write_report(
        name="A study",
        runs=rows,
        results=results,
        output=output,
        selection={"rule": "all"},
        config_text="name: study",
        notes={},
        allow_missing=False,
    )


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def jobs_of(study):
    """Write lines beside the results of a small study; returns the jobs that are the study's."""
    rows, results = study(**SMALL)
    frame = read_frame(runs=rows, results=results)

    def read(lines: list) -> list:
        write(results, lines)
        return read_jobs(results, frame)

    return read


@pytest.mark.usefixtures("no_figures")
def test_the_page_and_a_file_tell_of_it_and_no_table_does(study, tmp_path):
    result = study(**SMALL)
    without = files(report(result, tmp_path / "out").parent)
    write(result[1], LINES)
    page = report(result, tmp_path / "out").read_text()
    told = files(tmp_path / "out")
    assert told.keys() - without.keys() == {"slurm.csv"}
    assert {name for name in without if told[name] != without[name]} == {"report.html"}
    assert pd.read_csv(tmp_path / "out" / "slurm.csv", dtype=str)["job"].tolist() == ["810", "811", "812", "813"]
    section = page[page.index("<h3>What the cluster was asked for</h3>") :]
    shown = ElementTree.fromstring(f"<section>{section[: section.index('<details>')]}</section>")
    rows = {row[0].text: [cell.text for cell in row[1:]] for row in shown.iterfind(".//tbody/tr")}
    heads = [head.text for head in shown.iterfind(".//thead/tr/th")]
    assert heads[3] == "GPU seconds asked" and all(len(row) == len(heads) - 1 for row in rows.values())
    assert list(rows) == ["finetune", "unlearn + score", "total"]
    expected = ["3", "1: 1 out of memory", "14,400", "1,800", "960", "80 %", f"1,000{DASH}2,000", "1,400", "100 %"]
    assert rows["unlearn + score"] == expected
    assert shown.find("p").text.startswith(f"Model {MODEL}: 1 job ran out of memory")
    (result[1] / "slurm.jsonl").unlink()
    report(result, tmp_path / "out")
    assert files(tmp_path / "out") == without  # slurm.csv is gone as well


def test_lines_of_others_count_as_none(jobs_of):
    other = [BASE.replace("npo", "simnpo"), TARGET.replace("tofu", "muse"), TARGET.replace(MODEL, "tiny")]
    assert jobs_of([line(runs=[run]) for run in other]) == []


def test_a_job_is_the_experiments_if_one_of_its_runs_is(jobs_of):
    other = BASE.replace("npo", "simnpo")
    lines = [line(job="1", runs=[other, DV]), line(job="2", runs=[other]), line(job="3", runs=[TARGET])]
    reference = line(job="4", rules=["reference"], runs=[f"tofu--{MODEL}--forget10--original"])
    assert [job["job"] for job in jobs_of([*lines, reference])] == ["1", "3", "4"]


def test_rows_stand_in_the_order_of_the_workflow(jobs_of):
    rules = [["unlearn", "score"], ["score"], ["reference"], ["finetune"], ["score", "unlearn"]]
    rows = usage_rows(jobs_of([line(rules=own) for own in rules]))
    assert [name for name, _ in rows] == ["finetune", "reference", "unlearn + score", "score", "total"]
    assert [sums["jobs"] for _, sums in rows] == [1, 1, 2, 1, 5]


@pytest.mark.parametrize(
    ("broken", "fact"),
    [
        ('{"job": "81', ""),
        ("[1]", ""),
        ({k: v for k, v in line().items() if k != "held_seconds"}, "held_seconds"),
        (line(held_seconds=-1), "held_seconds is -1"),
        (line(used_seconds=float("nan")), "used_seconds is nan"),
        (line(gpus="1"), "gpus is '1'"),
        (line(cpus=True), "cpus is True"),
        (line(runs=["tofu"]), "runs is ['tofu']"),
        (line(rules=[]), "rules is []"),
    ],
)
def test_a_broken_line_is_named(tmp_path, broken, fact):
    path = write(tmp_path, [line(), "", broken])
    with pytest.raises(BaldroError) as error:
        read_jobs(tmp_path, pd.DataFrame({"id": [], "benchmark": [], "model": []}))
    assert f"{path}:3" in str(error.value) and fact in str(error.value)


def test_null_stands_for_what_is_not_known(jobs_of):
    jobs = jobs_of([line(used_seconds=None, used_mb=None, asked_mb=None)])
    (_, sums), _ = usage_rows(jobs)
    unknown = ("used", "used_of_held", "least_mb", "most_mb", "used_mb", "used_of_asked")
    assert all(sums[name] is None for name in unknown)
    assert "not known" in advice(jobs)[0]
    assert "nan" not in jobs_table(jobs).to_csv().lower()


amounts = st.one_of(st.none(), st.integers(0, 10**7).map(lambda tenths: tenths / 10))
some_jobs = st.lists(
    st.builds(
        line,
        rules=st.sampled_from([["finetune"], ["reference"], ["score", "unlearn"], ["score"]]),
        state=st.sampled_from(["COMPLETED", "OUT_OF_MEMORY", "TIMEOUT", "NODE_FAIL", "FAILED"]),
        gpus=st.integers(0, 8),
        asked_seconds=st.integers(0, 10**6),
        held_seconds=st.integers(0, 10**6),
        used_seconds=amounts,
        asked_mb=st.integers(1, 10**6),
        used_mb=amounts,
    ),
    min_size=1,
    max_size=30,
)


@given(some_jobs)
def test_sums_are_those_of_pandas(jobs):
    frame = jobs_table(jobs).astype({"used_seconds": float, "used_mb": float})
    unit = frame["gpus"] if frame["gpus"].sum() else frame["cpus"]
    for name in ("asked", "held", "used"):
        frame[name] = frame[f"{name}_seconds"].astype(float) * unit.astype(float)
    frame["share"] = frame["used_mb"] / frame["asked_mb"].astype(float)
    frame["known"] = frame["held"].where(frame["used_seconds"].notna())
    groups = {**dict(iter(frame.groupby("rules"))), "total": frame}
    rows = dict(usage_rows(jobs))
    assert rows.keys() == groups.keys()
    for name, sums in rows.items():
        own = groups[name]
        assert sums["jobs"] == len(own)
        assert sum(sums["failed"].values()) == (own["state"] != "COMPLETED").sum()
        for key in ("asked", "held"):
            assert sums[key] == pytest.approx(own[key].sum())
        assert (sums["used"] or 0) == pytest.approx(own["used"].sum())
        if own["known"].sum() > 0:
            assert sums["used_of_held"] == pytest.approx(own["used"].sum() / own["known"].sum())
        for key, expected in (("used_mb", own["used_mb"].max()), ("used_of_asked", own["share"].max())):
            assert (sums[key] is None) == pd.isna(expected)
            assert sums[key] is None or sums[key] == pytest.approx(expected)
        assert (sums["least_mb"], sums["most_mb"]) == (own["asked_mb"].min(), own["asked_mb"].max())


@given(some_jobs)
def test_every_job_can_be_told(jobs):
    texts = usage_texts(jobs)
    assert len(texts["advice"]) == 1
    assert all(isinstance(value, str) and value for row in texts["rows"] for value in row.values())


def test_failed_attempts_are_counted_by_reason():
    ahead = dict(state="FAILED", reason="stopped ahead of the time limit of 60 min")
    states = [dict(state="TIMEOUT"), ahead, dict(state="NODE_FAIL"), dict(state="FAILED", reason="baldro train: NaN")]
    unknown = [dict(state="UNKNOWN"), dict(state="UNKNOWN", reason="SLURM no longer knows the job")]
    _, (_, total) = usage_rows([line(**each) for each in [*states, *unknown, {}]])
    assert Counter(total["failed"]) == {"time limit": 2, "node lost": 1, "own error": 2}


def test_advice_names_what_would_have_done():
    tiny = line(runs=[BASE.replace(MODEL, "tiny")], asked_mb=8000, used_mb=2400, asked_seconds=36000, held_seconds=2400)
    (text,) = advice([tiny, tiny | {"used_mb": 100}])
    memory = "memory at most 30 % of what was asked, mem_mb: 3000 would do"
    limit = "time at most 7 % of the limit, train_minutes and score_minutes could be divided by 10"
    assert text == f"Model tiny: {memory}; {limit}."


def test_advice_lowers_nothing_that_was_needed():
    full = line(used_mb=900, held_seconds=3000)
    assert advice([full]) == [f"Model {MODEL}: memory at most 90 % of what was asked; time at most 83 % of the limit."]
    (text,) = advice([line(**LOST), line(state="TIMEOUT", used_mb=10)])
    assert text == f"Model {MODEL}: 1 job ran out of memory, at 1,000 MB at most; 1 job met the time limit."
    (text,) = advice(LINES)
    assert "ran out of memory, at 1,000 MB at most; mem_mb: 1800 would do;" in text
    short = line(asked_seconds=1200, held_seconds=1)
    assert "divided by 2" in advice([short])[0]  # not by 800: a training is told to leave minutes before the end


def test_without_gpus_cores_are_counted():
    texts = usage_texts([line(gpus=0, cpus=4)])
    assert (texts["unit"], texts["rows"][0]["held"]) == ("core seconds", "2,400")
    many = usage_texts([line(gpus=8, asked_seconds=7200)])
    assert (many["unit"], many["rows"][0]["asked"], many["rows"][0]["held"]) == ("GPU hours", "16.0", "1.3")


def test_a_file_of_jobs_has_the_keys_of_a_line():
    table = jobs_table(LINES)
    assert tuple(table.columns) == tuple(FIELDS) == tuple(line())
    assert table["runs"].tolist() == [TARGET, DV, BASE, DV]
    assert table["rules"].tolist() == [stage(job) for job in LINES]
