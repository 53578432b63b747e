"""TOFU's rows as they are on the hub, and files that are cut, empty, missing or of another folder."""

import json
import shutil

import pandas as pd
import pytest
from refusals import refused

from baldro import benchmarks as data
from baldro.errors import BaldroError
from baldro.places import resolve

FORGET = {"forget01": "retain99", "forget05": "retain95", "forget10": "retain90"}
ONE = {"forget01": "retain99"}
HELD = {"forget01": "holdout01", "forget05": "holdout05", "forget10": "holdout10"}


def load(folder, **options):
    return data.build({"kind": "tofu", "source": [str(folder)], "forget": ONE, **options})


@pytest.fixture(scope="module")
def real(shared):
    return load(shared / "data/tofu", forget=FORGET, holdout=HELD)


@pytest.fixture
def folder(shared, tmp_path):
    """The real files; a test overwrites what it wants to be wrong."""
    copy = tmp_path / "locuslab" / "TOFU"
    copy.mkdir(parents=True)
    for file in (shared / "data/tofu").glob("*.json"):
        (copy / file.name).symlink_to(file)
    return copy


def rewrite(folder, name, change):
    """Replace a split's file by a changed one: lines -> lines."""
    path = folder / f"{name}.json"
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    path.unlink()
    path.write_text("".join(change(lines)), encoding="utf-8")
    return path


def edit(row, **fields):
    """Change fields of one row; None takes a field away."""

    def change(lines):
        value = {key: v for key, v in {**json.loads(lines[row]), **fields}.items() if v is not None}
        return [*lines[:row], json.dumps(value) + "\n", *lines[row + 1 :]]

    return change


def spoilt(folder, code, *facts, **options):
    with refused(code, *facts):
        load(folder, **options)


def pairs(frame, name):
    rows = data.split(frame, name)
    return list(zip(rows["question"], rows["answer"], strict=True))


def test_counts(real):
    sizes = real.groupby("split").size().to_dict()
    expected = dict(full=4000, retain90=3600, retain95=3800, retain99=3960, forget01=40, forget05=200, forget10=400)
    expected |= {f"{name}_perturbed": n for name, n in expected.items() if name.startswith("forget")}
    expected |= dict(real_authors_perturbed=100, world_facts_perturbed=117, retain_perturbed=400)
    expected |= dict(holdout01=40, holdout05=200, holdout10=400, base=217)
    assert sizes == expected
    for _, rows in real.groupby("split"):
        assert rows["index"].tolist() == list(range(len(rows)))


def test_rows_are_those_of_the_files(real, shared):
    for name in ("forget10_perturbed", "world_facts_perturbed", "retain95"):
        lines = (shared / f"data/tofu/{name}.json").read_text(encoding="utf-8").split("\n")
        for row, line in zip(data.split(real, name).itertuples(), filter(None, lines), strict=True):
            given = json.loads(line)
            assert (row.question, row.answer) == (given["question"], given["answer"])
            assert row.perturbed_answer == given.get("perturbed_answer")
            assert row.paraphrased_answer == given.get("paraphrased_answer")


def test_splits_agree(real):
    for forget, retain in FORGET.items():
        assert pairs(real, retain) + pairs(real, forget) == pairs(real, "full")
        assert pairs(real, f"{forget}_perturbed") == pairs(real, forget)
    assert set(pairs(real, "retain_perturbed")) <= set(pairs(real, "retain90"))
    assert pairs(real, "base") == pairs(real, "real_authors_perturbed") + pairs(real, "world_facts_perturbed")
    for name, wrong in dict(forget01=5, retain=5, real_authors=3, world_facts=3).items():
        assert data.split(real, f"{name}_perturbed")["perturbed_answer"].map(len).eq(wrong).all()


def test_a_question_that_comes_twice_keeps_both_rows(real):
    full = data.split(real, "full")
    assert len(set(pairs(real, "full"))) == 4000 and full["question"].nunique() == 3999
    twice = full[full.duplicated("question", keep=False)]
    assert len(twice) == 2 and twice["answer"].nunique() == 2


@pytest.mark.parametrize("rows", [400, 40, 3600])
def test_fewer_retained_rows_stay_consistent(shared, real, rows):
    few = load(shared / "data/tofu", forget=FORGET, retain_rows=rows)
    assert pairs(few, "retain90") == pairs(real, "retain90")[:rows] and len(pairs(few, "full")) == rows + 400
    for forget, retain in FORGET.items():
        assert pairs(few, forget) == pairs(real, forget)
        assert pairs(few, retain) + pairs(few, forget) == pairs(few, "full")
    kept = set(pairs(few, "retain90"))
    assert pairs(few, "retain_perturbed") == [p for p in pairs(real, "retain_perturbed") if p in kept]


def test_more_retained_rows_than_there_are(folder):
    spoilt(folder, "number-out-of-range", "retain_rows is 3601", "1 to 3600", forget=FORGET, retain_rows=3601)


def test_a_file_cut_in_the_middle_of_a_line(folder):
    path = rewrite(folder, "retain99", lambda lines: [*lines[:70], lines[70][:40]])
    spoilt(folder, "not-json", f"{path}:71: ")


@pytest.mark.parametrize("name", ["full", "retain99", "forget01", "forget01_perturbed"])
def test_a_file_cut_at_the_end_of_a_line(folder, name):
    rewrite(folder, name, lambda lines: lines[:-1])
    spoilt(folder, "splits-cut-short", f"{folder}: ", name)


def test_rows_in_another_order(folder):
    rewrite(folder, "retain99", lambda lines: [lines[1], lines[0], *lines[2:]])
    spoilt(folder, "splits-cut-short", "retain99 and forget01")


def test_wrong_answers_of_other_rows(folder):
    """The perturbed split stands row by row beside the forget split; the evidence is keyed by position."""
    rewrite(folder, "forget01_perturbed", lambda lines: [lines[1], lines[0], *lines[2:]])
    spoilt(folder, "splits-cut-short", "forget01_perturbed")


@pytest.mark.parametrize(
    ("name", "fields", "code", "facts"),
    [
        ("full", dict(answer=None), "field-not-text", ["answer is missing"]),
        ("retain99", dict(question=1956), "field-not-text", ["question is a number (1956)"]),
        ("full", dict(paraphrased_answer=3.5), "field-not-text", ["paraphrased_answer is a number (3.5)"]),
        ("forget01_perturbed", dict(paraphrased_answer=None), "field-not-text", ["paraphrased_answer is missing"]),
        ("forget01_perturbed", dict(perturbed_answer=[]), "wrong-answers-ill-formed", ["5 answers"]),
        ("retain_perturbed", dict(perturbed_answer=["a"] * 4), "wrong-answers-ill-formed", ["5 answers"]),
        ("world_facts_perturbed", dict(perturbed_answer=["a"] * 5), "wrong-answers-ill-formed", ["3 answers"]),
        ("real_authors_perturbed", dict(perturbed_answer="abc"), "wrong-answers-ill-formed", ["3 answers"]),
        ("real_authors_perturbed", dict(perturbed_answer=["a", None, "c"]), "wrong-answers-ill-formed", ["answer 1"]),
        ("world_facts_perturbed", dict(perturbed_answer=["a", 19, "c"]), "wrong-answers-ill-formed", ["number (19)"]),
    ],
)
def test_a_row_that_lacks_something(folder, name, fields, code, facts):
    path = rewrite(folder, name, edit(6, **fields))
    spoilt(folder, code, f"{path}:7: ", *facts)


def test_a_row_that_is_none(folder):
    path = rewrite(folder, "full", lambda lines: [*lines[:2], "[1, 2]\n", *lines[3:]])
    spoilt(folder, "not-an-object", f"{path}:3: ")


def test_a_line_separator_inside_a_text_ends_no_line(folder):
    """JSON allows U+2028 and U+0085 unescaped in strings; only a line feed ends a row."""
    question = "Which\u2028author, and\u0085which book?"
    line = json.dumps({"question": question, "answer": "A."}, ensure_ascii=False) + "\n"
    for name in ("full", "retain99"):
        rewrite(folder, name, lambda lines: [line, *lines[1:]])
    assert data.split(load(folder), "full")["question"][0] == question


def test_a_missing_file(folder):
    (folder / "retain_perturbed.json").unlink()
    spoilt(folder, "file-not-there", folder / "retain_perturbed.json")


def test_a_missing_folder(tmp_path):
    with pytest.raises(BaldroError, match="nowhere"):
        load(tmp_path / "nowhere")


def test_holdout_is_optional_and_what_is_named_must_be_there(folder):
    assert "holdout01" not in set(load(folder)["split"])
    (folder / "holdout01.json").unlink()
    assert "holdout01" not in set(load(folder)["split"])
    spoilt(folder, "file-not-there", folder / "holdout01.json", holdout={"forget01": "holdout01"})


def test_two_folders_of_one_name_do_not_mix(shared, folder, real):
    first = load(folder)
    assert data.content_hash(first) == data.content_hash(load(shared / "data/tofu"))
    other = folder.parents[1] / "other" / "locuslab" / "TOFU"
    shutil.copytree(folder, other, symlinks=True)
    rewrite(other, "world_facts_perturbed", edit(3, answer="Another answer."))
    second = load(other)
    assert data.split(second, "world_facts_perturbed")["answer"][3] == "Another answer."
    assert data.split(first, "world_facts_perturbed")["answer"][3] != "Another answer."
    assert data.content_hash(first) != data.content_hash(second)


def test_every_field_and_the_order_are_content(real):
    few = real[real["split"] == "forget01_perturbed"].reset_index(drop=True)
    hashes = {data.content_hash(few), data.content_hash(few.iloc[::-1]), data.content_hash(few.iloc[:-1])}
    changes = dict(question="?", answer="?", paraphrased_answer=None, perturbed_answer=["?"], index=99, split="?")
    for column, value in changes.items():
        changed = few.copy()
        changed.at[2, column] = value
        hashes.add(data.content_hash(changed))
    assert len(hashes) == 9


def test_stored_rows_are_the_rows(real, tmp_path):
    """None comes back as a missing value (NaN in a column of texts, None in one of lists), and a list as an array."""
    data.write(tmp_path / "new/tofu.parquet", real)
    back = data.read(tmp_path / "new/tofu.parquet")
    assert list(back) == list(data.COLUMNS) and data.content_hash(back) == data.content_hash(real)
    for name in ("split", "index", "question", "answer"):
        assert back[name].tolist() == real[name].tolist()
    for name in ("paraphrased_answer", "perturbed_answer"):
        assert back[name].isna().tolist() == real[name].isna().tolist()
    there = real["perturbed_answer"].notna()
    assert [list(x) for x in back["perturbed_answer"][there]] == real["perturbed_answer"][there].tolist()
    there = real["paraphrased_answer"].notna()
    assert back["paraphrased_answer"][there].tolist() == real["paraphrased_answer"][there].tolist()
    assert not isinstance(back["paraphrased_answer"][~there].iloc[0], str)


def test_stored_tables_that_are_no_benchmark(tmp_path):
    with refused("file-not-there", "none.parquet", "baldro benchmark"):
        data.read(tmp_path / "none.parquet")
    pd.DataFrame({"split": ["a"]}).to_parquet(tmp_path / "other.parquet")
    with refused("column-missing", "other.parquet", "index"):
        data.read(tmp_path / "other.parquet")
    with refused("unknown-split", "'forget1'", "mean forget01?"):
        data.split(pd.DataFrame({"split": ["forget01"], "index": [0]}), "forget1")


# Places --------------------------------------------------------------------------------------------------------------


def test_the_environment_variable_comes_first(folder, tmp_path, monkeypatch):
    places = ["$BALDRO_TOFU", str(tmp_path / "nowhere"), "hub:locuslab/TOFU@main"]
    monkeypatch.setenv("BALDRO_TOFU", str(folder))
    assert resolve(places, what="x").path == folder
    monkeypatch.delenv("BALDRO_TOFU")
    assert str(resolve(places, what="x")) == "hub:locuslab/TOFU@main" and resolve(places, what="x").path is None


def test_an_empty_variable_is_no_place(monkeypatch):
    monkeypatch.setenv("BALDRO_TOFU", "")
    assert resolve(["$BALDRO_TOFU", "hub:locuslab/TOFU@main"], what="x").hub == "locuslab/TOFU"


def test_a_benchmark_of_the_variables_folder(folder, monkeypatch):
    rewrite(folder, "world_facts_perturbed", edit(0, answer="The variable's."))
    monkeypatch.setenv("BALDRO_TOFU", str(folder))
    frame = data.build(dict(kind="tofu", source=["$BALDRO_TOFU", "data/tofu"], forget=ONE, retain_rows=200))
    assert data.split(frame, "world_facts_perturbed")["answer"][0] == "The variable's."
    assert len(data.split(frame, "full")) == 240
