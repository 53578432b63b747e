"""Alternate answers that come as files: TOFU's real rows, and what is said of a file that does not fit them."""

import json
import random

import pytest

from baldro import benchmarks as data
from baldro.benchmarks import alternates
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


@pytest.fixture
def refused(shared, tmp_path):
    """A file with these rows and one line of error, which this gives."""

    def build(rows):
        path = write(tmp_path / "others.jsonl", rows)
        with pytest.raises(BaldroError) as caught:
            data.build(definition(shared, path))
        said = str(caught.value)
        assert "\n" not in said and ("allowed" in said or "required" in said)
        return said.replace(str(path), "FILE")

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


def test_nothing_else_depends_on_them(shared, real, tmp_path):
    asked = definition(shared, write(tmp_path / "others.jsonl", real))
    frame = data.build({key: value for key, value in asked.items() if key != "alternates"})
    assert frame["alternate_answer"].isna().all()
    assert data.build(asked).drop(columns="alternate_answer").equals(frame.drop(columns="alternate_answer"))


def test_stored_and_read_again(shared, real, tmp_path):
    frame = data.build(definition(shared, write(tmp_path / "others.jsonl", real)))
    data.write(tmp_path / "tofu.parquet", frame)
    back = data.read(tmp_path / "tofu.parquet")
    assert given_to(back, "forget05") == given_to(frame, "forget05")
    assert back["alternate_answer"].isna().equals(frame["alternate_answer"].isna())
    assert data.content_hash(back) == data.content_hash(frame)


def test_a_folder_of_nested_splits(shared, real, tmp_path):
    """A row that comes again with the same answer is no contradiction; other files are passed over."""
    folder = write(tmp_path / "others/forget05.json", real).parent
    write(folder / "forget01.jsonl", real[-40:])
    (folder / "README.md").write_text("Where they come from.")
    assert given_to(data.build(definition(shared, folder)), "forget01") == [r["alternate_answer"] for r in real[-40:]]
    write(folder / "forget01.jsonl", [*real[-40:-1], {**real[-1], "alternate_answer": "Else."}])
    with pytest.raises(
        BaldroError, match=rf"^{folder}/forget05.json:200: another .* than in {folder}/forget01.jsonl:40; allowed: one"
    ):
        data.build(definition(shared, folder))
    write(folder / "forget05.json", real[:-41])
    with pytest.raises(BaldroError, match=rf"^{folder}: no alternate_answer for row 159 of forget05 \("):
        data.build(definition(shared, folder))


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
    ("fields", "said"),
    [
        (
            dict(alternate_answer=None),
            "field alternate_answer is missing or empty; required: question, answer, alternate_answer",
        ),
        (dict(alternate_answer=" "), "field alternate_answer is missing or empty"),
        (dict(alternate_answer=["A."]), "field alternate_answer is a list"),
        (dict(question=None), "field question is missing or empty"),
        (dict(answer="Not the answer."), "no row of `full` has this question and answer"),
    ],
)
def test_a_row_that_does_not_fit(refused, real, fields, said):
    assert refused(changed(real, 6, **fields)).startswith(f"FILE:7: {said}")


def test_one_answer_for_every_row(refused, real):
    assert refused([*real[:3], *real[4:]]).startswith(
        f"FILE: no alternate_answer for row 3 of forget05 ({real[3]['question'][:60]!r}"
    )
    assert refused([*real, {**real[0], "alternate_answer": "x"}]).startswith(
        "FILE:201: another alternate_answer than in FILE:1;"
    )


def test_answers_that_the_evaluation_scores_are_refused(refused, real, shared):
    lines = (shared / "data/tofu/forget05_perturbed.json").read_text(encoding="utf-8").splitlines()
    scored = json.loads(lines[2])
    for key, text in (
        ("answer", scored["answer"]),
        ("paraphrased_answer", scored["paraphrased_answer"]),
        ("perturbed_answer", scored["perturbed_answer"][4] + " "),
    ):
        assert refused(changed(real, 2, alternate_answer=text)).startswith(
            f"FILE:3: alternate_answer is the row's {key}; allowed"
        )


def test_a_file_that_is_cut_or_no_text(shared, real, tmp_path):
    path = write(tmp_path / "others.jsonl", real)
    path.write_text(path.read_text()[:-9])
    with pytest.raises(BaldroError, match=rf"^{path}:200: not a JSON object .*cut short\?"):
        data.build(definition(shared, path))
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(BaldroError, match=rf"^{path}: is in UTF-16; allowed: JSON lines in UTF-8"):
        data.build(definition(shared, path))


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        (
            dict(kind="tofu", alternates=["no/where"]),
            "alternates of benchmark mine is not to be found; looked at: no/where",
        ),
        (dict(kind="tofu", alternates=["hub:a/b@main"]), "hub:a/b@main is on the hub; allowed: a local file"),
        (dict(kind="tofu", alternates=["EMPTY"]), "has no file *.json or *.jsonl; allowed: "),
        (
            dict(kind="muse", alternates=["EMPTY"]),
            "unknown key 'alternates' in ",
        ),
        (
            dict(kind="fictional", alternates=["EMPTY"]),
            "unknown key 'alternates' in ",
        ),
    ],
)
def test_places_that_are_none_are_told_with_their_line_before_anything_runs(tmp_path, entry, said):
    empty = tmp_path / "empty"
    empty.mkdir()
    entry = {**entry, "alternates": [place.replace("EMPTY", str(empty)) for place in entry["alternates"]]}
    source = [] if entry["kind"] == "fictional" else [f"    source: [{empty}]"]
    ratio = {"muse": ("forget", "retain")}.get(entry["kind"], ("forget10", "retain90"))
    lines = [
        "name: x",
        "benchmarks:",
        "  mine:",
        f"    kind: {entry['kind']}",
        *source,
        f"    forget: {{{ratio[0]}: {ratio[1]}}}",
    ]
    lines += [f"    alternates: [{entry['alternates'][0]}] # here", "grid:", "  benchmark: mine", "  model: tiny"]
    lines += [f"  split: {ratio[0]}", "  objective: gradascent"]
    path = tmp_path / "config.yaml"
    path.write_text("\n".join(lines))
    line = next(i for i, text in enumerate(lines, 1) if "# here" in text)
    with pytest.raises(BaldroError) as caught:
        load(path)
    assert (
        str(caught.value).startswith(f"{path}:{line}: ") and said in str(caught.value) and "\n" not in str(caught.value)
    )
    with pytest.raises(BaldroError) as caught:  # and by who builds it without a config
        data.build({**entry, "source": [str(empty)], "forget": dict([ratio])})
    assert said.replace("benchmark mine", "the benchmark") in str(caught.value)
