"""Alternate answers that come as files: TOFU's real rows, and what is said of a file that does not fit them."""

import json
import random

import pytest
import yaml
from refusals import refused

from baldro import benchmarks as data
from baldro.benchmarks import jsonlines
from baldro.benchmarks.kinds.tofu import alternates
from baldro.config import load
from baldro.errors import BaldroError

FORGET = {"forget01": "retain99", "forget05": "retain95"}


@pytest.fixture(scope="module")
def real(shared):
    """The rows of forget05, of which the last 40 are forget01."""
    lines = (shared / "data/tofu/forget05.json").read_text(encoding="utf-8").splitlines()
    return [{**json.loads(line), "alternate_answer": f"Another answer, number {i}."} for i, line in enumerate(lines)]


def write(path, rows):
    path.parent.mkdir(exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def definition(shared, *places, **options):
    return dict(
        kind="tofu", source=[str(shared / "data/tofu")], forget=FORGET, alternates=[str(p) for p in places], **options
    )


def given_to(frame, name):
    return data.split(frame, name)["alternate_answer"].tolist()


@pytest.fixture(scope="module")
def splits(shared):
    """What the rows of a file are held against."""
    names = ["full", *FORGET, *(f"{name}_perturbed" for name in FORGET)]
    return {name: [row for _, row in jsonlines.read(shared / f"data/tofu/{name}.json")] for name in names}


@pytest.fixture
def spoilt(splits, tmp_path):
    """A file with these rows is refused; FILE in a fact is the file."""

    def build(rows, code, *facts):
        path = write(tmp_path / "others.jsonl", rows)
        with refused(code, *(fact.replace("FILE", str(path)) for fact in facts)):
            alternates.given([path], splits, FORGET)

    return build


def test_rows_of_forget_splits_get_theirs_whatever_the_order(shared, real, tmp_path):
    shuffled = random.Random(1).sample(real, len(real))
    frame = data.build(
        definition(shared, tmp_path / "nowhere", write(tmp_path / "others.jsonl", shuffled), retain_rows=200)
    )
    assert given_to(frame, "forget05") == [row["alternate_answer"] for row in real]
    assert given_to(frame, "forget01") == [row["alternate_answer"] for row in real[-40:]]
    assert frame.loc[~frame["split"].isin(FORGET), "alternate_answer"].isna().all()
    without = data.build({**definition(shared, retain_rows=200), "alternates": [str(write(tmp_path / "o.json", real))]})
    assert data.content_hash(without) == data.content_hash(frame)


def test_nothing_else_depends_on_them_and_they_are_stored_and_read_again(shared, real, tmp_path):
    asked = definition(shared, write(tmp_path / "others.jsonl", real))
    frame, without = data.build(asked), data.build({**asked, "alternates": None})
    assert without["alternate_answer"].isna().all()
    assert frame.drop(columns="alternate_answer").equals(without.drop(columns="alternate_answer"))
    data.write(tmp_path / "tofu.parquet", frame)
    back = data.read(tmp_path / "tofu.parquet")
    assert given_to(back, "forget05") == given_to(frame, "forget05")
    assert back["alternate_answer"].isna().equals(frame["alternate_answer"].isna())
    assert data.content_hash(back) == data.content_hash(frame)


def test_a_folder_of_nested_splits(splits, real, tmp_path):
    """A row that comes again with the same answer is no contradiction; other files are passed over."""
    folder = write(tmp_path / "others/forget05.json", real).parent
    write(folder / "forget01.jsonl", real[-40:])
    (folder / "README.md").write_text("Where they come from.")

    def given():
        return alternates.given(alternates.alternate_files([str(folder)], what="x"), splits, FORGET)

    assert given()["forget01"] == [row["alternate_answer"] for row in real[-40:]]
    write(folder / "forget01.jsonl", [*real[-40:-1], {**real[-1], "alternate_answer": "Else."}])
    with refused("alternate-contradicts-another", f"{folder}/forget05.json:200: ", f"{folder}/forget01.jsonl:40"):
        given()
    write(folder / "forget05.json", real[:-41])
    with refused("alternate-missing", f"{folder}: ", "row 159 of forget05"):
        given()


def test_a_question_that_comes_twice_is_told_apart_by_its_answer(tmp_path):
    """TOFU has one question twice."""
    pairs = [("Who?", "A."), ("Who?", "B.")]
    full = [dict(question=q, answer=a) for q, a in pairs]
    scored = [{**row, "paraphrased_answer": "P.", "perturbed_answer": ["W."]} for row in full]
    path = write(
        tmp_path / "others.json", [{**full[1], "alternate_answer": "b."}, {**full[0], "alternate_answer": "a."}]
    )
    splits = {"full": full, "forget50": full, "forget50_perturbed": scored}
    assert alternates.given([path], splits, ["forget50"]) == {"forget50": ["a.", "b."]}


def changed(rows, row, **fields):
    value = {key: v for key, v in {**rows[row], **fields}.items() if v is not None}
    return [*rows[:row], value, *rows[row + 1 :]]


@pytest.mark.parametrize(
    ("fields", "code", "fact"),
    [
        (dict(alternate_answer=None), "field-not-text", "alternate_answer"),
        (dict(question=None), "field-not-text", "question"),
        (dict(answer="Not the answer."), "alternate-of-no-row", "full"),
    ],
)
def test_a_row_that_does_not_fit(spoilt, real, fields, code, fact):
    spoilt(changed(real, 6, **fields), code, "FILE:7: ", fact)


def test_one_answer_for_every_row(spoilt, real):
    spoilt([*real[:3], *real[4:]], "alternate-missing", "FILE: ", "row 3 of forget05", real[3]["question"][:60])


def test_answers_that_the_evaluation_scores_are_refused(spoilt, real, shared):
    lines = (shared / "data/tofu/forget05_perturbed.json").read_text(encoding="utf-8").splitlines()
    scored = json.loads(lines[2])
    for key, text in (
        ("answer", scored["answer"]),
        ("paraphrased_answer", scored["paraphrased_answer"]),
        ("perturbed_answer", scored["perturbed_answer"][4] + " "),
    ):
        spoilt(changed(real, 2, alternate_answer=text), "alternate-is-scored", "FILE:3: ", key)


@pytest.mark.parametrize(
    ("kind", "place", "code", "fact"),
    [
        ("tofu", "hub:a/b@main", "local-file-needed", "hub:a/b@main"),
        ("tofu", "EMPTY", "no-files", "empty"),
        ("muse", "EMPTY", "unknown-key", "'alternates'"),
        ("fictional", "EMPTY", "unknown-key", "'alternates'"),
    ],
)
def test_places_that_are_none_are_told_with_their_line_before_anything_runs(tmp_path, kind, place, code, fact):
    empty = tmp_path / "empty"
    empty.mkdir()
    entry = {"kind": kind, "alternates": [place.replace("EMPTY", str(empty))]}
    entry |= {"forget": {"forget": "retain"} if kind == "muse" else {"forget10": "retain90"}}
    entry |= {} if kind == "fictional" else {"source": [str(empty)]}
    grid = {"benchmark": "mine", "model": "tiny", "split": next(iter(entry["forget"])), "objective": "gradascent"}
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump({"name": "x", "benchmarks": {"mine": entry}, "grid": grid}))
    line = next(i for i, text in enumerate(path.read_text().splitlines(), 1) if "alternates" in text)
    with pytest.raises(BaldroError, match=f"^{path}:({line}|{line + 1}): .*{fact}"):
        load(path)
    with refused(code, fact):  # and by who builds it without a config
        data.build(entry)
