"""LUME in folders laid out as it was released and as the shared task gave it, with files that are cut, missing or of another form."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from refusals import refused

from baldro import benchmarks as data
from baldro.benchmarks.kinds.lume import GROUPS, SIDES
from baldro.metrics import METRICS, Absent, evaluate, from_samples
from baldro.records.evidence import COLUMNS


def made(side: str, documents: int = 2) -> list[dict]:
    """A side's rows as they were released: of each task a passage a document, and two questions."""
    found = []
    for task in ("Task1", "Task2", "Task3"):
        for i in range(documents):
            name = f"{side}{task[-1]}{i}"
            found.append(
                {"id": f"{name}sc1", "input": f"{name} was born in", "output": f"a town by {name}", "task": task}
            )
            for q in range(2):
                row = {"id": f"{name}qa{q}", "input": f"What {q} of {name}?", "output": f"{name} {q}", "task": task}
                found.append(row)
    return found


def write(folder, **files):
    """Files of JSON lines: data_forget is data/forget.jsonl."""
    for place, rows in files.items():
        path = folder / f"{place.replace('__', '/')}.jsonl"
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")


@pytest.fixture
def folder(tmp_path):
    write(tmp_path, **{f"data__{side}": made(side) for side in SIDES})
    documents = {name: [{"id": "a", "document": f"{name} {i}"} for i in range(3)] for name in ("member", "nonmember")}
    write(tmp_path, **{f"mia_data__{name}": rows for name, rows in documents.items()})
    return tmp_path


def definition(folder, **options):
    given = {"kind": "lume", "source": [str(folder)], "forget": {"forget": "retain", "task2": "retain"}}
    return data.define({**given, **options})


def load(folder, **options):
    return data.build(definition(folder, **options))


# The rows ------------------------------------------------------------------------------------------------------------


def test_rows_are_learnt_together_and_asked_by_task_and_form(folder):
    frame = load(folder)
    counts = frame.groupby("split").size().to_dict()
    assert {name: counts[name] for name in ("full", "forget", "retain", "task2")} == dict(
        full=36, forget=18, retain=18, task2=6
    )
    for side, task, form in GROUPS:
        asked = data.split(frame, f"{side}_{task}_{form}")
        assert len(asked) == (2 if form == "completions" else 4)
        assert asked["answer"].str.startswith("a town" if form == "completions" else f"{side}{task[-1]}").all()
    learnt = data.split(frame, "task2")
    assert set(learnt["question"]) == {row["input"] for row in made("forget") if row["task"] == "Task2"}
    assert learnt["answer"].str.startswith(" ").all(), "an output stands behind its input, and no space ends that"
    assert [note.endswith(f"{side} has 18 rows of 273{n} (is a file cut short?)") for side, n, note in
            zip(SIDES, (2, 4), frame.attrs["notes"], strict=True)] == [True, True]  # fmt: skip


def test_the_shared_tasks_files_are_its_parts(folder):
    for side in SIDES:
        pd.DataFrame(made(side, 1)).to_parquet(folder / f"data/{side}_train-00000-of-00001.parquet")
    frame = load(folder, part="train")
    assert len(data.split(frame, "full")) == 18 and "notes" not in frame.attrs
    assert [path.rpartition("/")[2] for path in definition(folder, part="train").files(what="b")] == [
        "forget_train-00000-of-00001.parquet",
        "retain_train-00000-of-00001.parquet",
    ]
    with refused("file-not-there", "forget_validation.jsonl"):
        load(folder, part="validation")


def test_documents_of_the_membership_attack_are_asked_where_they_are(folder):
    without, withal = load(folder), load(folder, membership=[str(folder)])
    assert len(data.sections(without, "forget", None)) == 12
    known = definition(folder, membership=[str(folder)])
    assert known.held_out("forget") == "nonmember" and len(known.files(what="b")) == 4
    *_, members, others = data.sections(withal, "forget", "nonmember")
    assert (members.split, others.split) == ("member", "nonmember") and members.membership and others.membership
    assert data.split(withal, "member")["answer"].tolist() == ["member 0", "member 1", "member 2"]
    with refused("local-file-needed", "membership"):
        load(folder, membership=["hub:lab/data@main"])


@pytest.mark.parametrize(
    ("row", "code", "fact"),
    [
        ({"task": "Task4"}, "unknown-task", "Task4"),
        ({"id": "x0"}, "id-without-form", "x0"),
        ({"output": 900123}, "field-not-text", "output"),
        ({"input": " "}, "field-not-text", "input"),
    ],
)
def test_a_row_of_another_form_is_named(folder, row, code, fact):
    rows = made("forget")
    write(folder, data__forget=[rows[0], rows[1] | row, *rows[2:]])
    with refused(code, "forget.jsonl:2", fact):
        load(folder)


def test_files_that_are_cut_or_missing(folder):
    path = folder / "data/retain.jsonl"
    whole = path.read_text()
    path.write_text(whole[:-20])
    with refused("not-json", "retain.jsonl:"):
        load(folder)
    write(folder, data__retain=made("retain")[:12])
    with refused("no-row-left", "retain", "task3"):
        load(folder)
    write(folder, data__retain=made("forget"))
    with refused("rows-on-two-sides", "forget", "retain"):
        load(folder)
    path.unlink()
    with refused("file-not-there", "retain.jsonl"):
        load(folder)
    (folder / "mia_data/member.jsonl").unlink()
    write(folder, data__retain=made("retain"))
    with refused("file-not-there", "member.jsonl"):
        load(folder, membership=[str(folder)])


@pytest.mark.parametrize("forget", [{"task4": "retain"}, {"task1": "task2"}])
def test_forget_splits_are_all_or_a_task(folder, forget):
    with refused("forget-splits-wrong", *forget):
        definition(folder, forget=forget)


# The scores ----------------------------------------------------------------------------------------------------------


def evidence(said: dict[tuple[str, str, str], list[str]], losses: dict[str, list[float]]):
    """Samples whose right answer is "red blue", by what was said; and documents with these losses."""
    rows = []
    for name, texts in [*(("_".join(group), texts) for group, texts in said.items()), *losses.items()]:
        for index, given in enumerate(texts):
            row = dict.fromkeys(COLUMNS) | {"section": name, "index": index, "candidate": "answer", "question": "Q"}
            loss, text = (given, None) if isinstance(given, float) else (1.0, given)
            rows.append(row | {"text": "red blue", "generation": text, "tokens": 2, "end": 0, "avg_loss": loss})
    frame = pd.DataFrame(rows)
    frame.attrs["kind"] = "lume"
    return from_samples(frame, where="made")


def test_the_aggregate_is_the_harmonic_mean_of_twelve_rates():
    half = {"completions": ["red", "RED green."], "questions": [" Red blue\n", "red blue."]}
    found = evaluate(evidence({group: half[group[-1]] for group in GROUPS}, {}), None)
    values = {name: value.value for name, value in found.values.items()}
    assert len(values) == 17 and set(values.values()) == {0.5}, "stemmed recall of 1 word in 2; 1 exact answer in 2"
    assert {"lume_mia_score", "mia_loss"} <= set(found.absent)

    other = {group: half[group[-1]] for group in GROUPS} | {
        ("forget", "task2", "questions"): ["no", "no", "no", "red blue"]
    }
    found = evaluate(evidence(other, {}), None).values
    assert found["lume_knowledge_forget_task2"].value == 0.25
    assert found["lume_knowledge_forget"].value == 3 / 8, "all rows together"
    assert found["lume_aggregate"].value == pytest.approx(12 / (11 / 0.5 + 1 / 0.75))


def test_the_final_score_is_there_where_mmlu_and_the_documents_are():
    final, half = METRICS["lume_final"].define, {"completions": ["red"], "questions": ["red blue", "no"]}
    said, documents = {group: half[group[-1]] for group in GROUPS}, {"forget": [1.0, 3.5], "holdout": [3.0, 4.0]}
    scores = {"lm_eval_mmlu": pd.Series([1.0, 0.0, 0.0, 0.0])}
    asked = replace(evidence(said, documents), scores=scores)
    assert final(asked, None).value == pytest.approx((0.5 + 0.5 + 0.25) / 3)
    with pytest.raises(Absent, match="lm_eval"):
        final(evidence(said, documents), None)
    with pytest.raises(Absent, match="forget split"):
        final(replace(evidence(said, {}), scores=scores), None)


@pytest.mark.parametrize(("members", "score"), [([1.0, 2.0], 0), ([5.0, 6.0], 0), ([1.0, 6.0], 1), ([1.0, 3.5], 0.5)])
def test_the_membership_score_is_best_where_members_cannot_be_told(members, score):
    found = METRICS["lume_mia_score"].define(evidence({}, {"forget": members, "holdout": [3.0, 4.0]}), None)
    assert found.value == pytest.approx(score)


@pytest.mark.parametrize(("shift", "best"), [(0.0, True), (2.0, False), (-2.0, False)])
def test_the_membership_scores_interval_holds_it_and_reaches_one_where_the_attack_may_be_chance(shift, best):
    members, others = np.random.default_rng(0).normal([[9 + shift], [9.0]], 1.0, size=(2, 60)).tolist()
    metric = METRICS["lume_mia_score"]
    found = metric.define(evidence({}, {"forget": members, "holdout": others}), None)
    low, high = metric.interval(metric, found, 0.95)
    assert 0 <= low <= found.value <= high <= 1 and (high == 1) == best and high - low < 0.35
