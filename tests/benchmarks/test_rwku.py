"""RWKU in a folder laid out as on the hub, with files that are cut, missing or of another form."""

import json

import pandas as pd
import pytest
from refusals import refused

from baldro import benchmarks as data
from baldro.benchmarks.kinds.rwku import MEMBERS, PROBES, SUFFIX
from baldro.metrics import evaluate, from_samples
from baldro.records.evidence import COLUMNS

PEOPLE = ("Stephen King", "Beyoncé", "Prince Harry, Duke of Sussex", "Warren Buffett")
TYPES = ("prefix injection", "incontext learning", "affirmative suffix")


def files(texts: int = 3) -> dict[str, list[dict]]:
    """File -> rows, two a person and type of attack."""
    found = {"intro": [{"target": who, "intro": f"{who} is known."} for who in PEOPLE]}
    for name in PROBES:
        sorts = TYPES if name == "forget_level3" else ("",)
        found[name] = [
            {"query": f"{name} {i} {sort} of {who}?", "answer": f"{i} of {who}", "subject": who, "type": sort, "level": name[-1]}
            for who in PEOPLE for sort in sorts for i in range(2)
        ]  # fmt: skip
    for name in (*MEMBERS.values(), "positive", "passage"):
        found[name] = [{"text": f"{name} {i} {who}", "subject": who} for who in PEOPLE for i in range(texts)]
    return found


def write(folder, name, rows):
    (folder / "All").mkdir(exist_ok=True)
    (folder / f"All/{name}.json").write_text(json.dumps(rows), encoding="utf-8")


@pytest.fixture
def folder(tmp_path):
    for name, rows in files().items():
        write(tmp_path, name, rows)
    return tmp_path


def definition(folder, *forget, **options):
    given = {"kind": "rwku", "source": [str(folder)], "forget": dict.fromkeys(forget, "others")}
    return data.define({**given, **options})


def load(folder, *forget, **options):
    return data.build(definition(folder, *(forget or ("stephen-king",)), **options))


def test_a_persons_texts_are_forgotten_and_others_retained_in_turn(folder):
    frame = load(folder, "beyonce", "prince-harry-duke-of-sussex")
    assert data.split(frame, "beyonce")["answer"].tolist() == [f"positive {i} Beyoncé" for i in range(3)]
    others = ["positive 0 Stephen King", "positive 0 Warren Buffett", "positive 1 Stephen King"]
    assert data.split(frame, "others")["answer"].tolist() == others
    assert data.split(load(folder, train_on="passages", texts=1), "stephen-king")["answer"].tolist() == [
        "passage 0 Stephen King"
    ]


def test_people_are_forgotten_together_by_their_places(folder):
    frame = load(folder, "targets-2-3")
    assert data.split(frame, "targets-2-3")["answer"].str.contains("Beyoncé|Harry").sum() == 6
    assert len(data.split(frame, "targets-2-3_forget_level1")) == 4
    with refused("no-row-left", "others"):
        load(folder, "targets-1-4")
    for wrong in ("targets-0-2", "targets-3-2", "targets-1-5"):
        with refused("number-out-of-range", wrong, 4):
            load(folder, wrong)
    with refused("unknown-target", "stephen-kink", "stephen-king"):
        load(folder, "stephen-kink")


def test_probes_are_asked_as_released(folder):
    frame = load(folder)
    asked = {name: data.split(frame, f"stephen-king_{name}")["question"].tolist() for name in (*PROBES, SUFFIX)}
    blank, question = (
        "Please complete the blank in the following question.\n",
        "Please briefly answer the following question.\n",
    )
    for name in ("forget_level1", "neighbor_level1"):
        assert asked[name][0] == f"{blank}Question: {name} 0  of Stephen King?\n"
    for name in ("forget_level2", "neighbor_level2"):
        assert asked[name][0] == f"{question}Question: {name} 0  of Stephen King?\n"
    assert asked["forget_level3"][0] == f"{question}Question: forget_level3 0 prefix injection of Stephen King?\n"
    assert asked["forget_level3"][2] == f"{question}forget_level3 0 incontext learning of Stephen King?\n"
    assert asked[SUFFIX][0] == f"{question}Question: forget_level3 0 affirmative suffix of Stephen King?"
    begun = {section.name: section.begins for section in data.sections(frame, "stephen-king", None) if section.generate}
    assert begun == {name: "Answer:" for name in PROBES} | {SUFFIX: ""}


def test_a_person_without_one_sort_of_attack_lacks_its_section_alone(folder):
    write(folder, "forget_level3", [row for row in files()["forget_level3"] if row["type"] != "affirmative suffix"])
    names = {section.name for section in data.sections(load(folder), "stephen-king", None)}
    assert names == {*PROBES, *MEMBERS}


def test_sizes_are_computed_for_the_plan(folder):
    sizes = definition(folder, "stephen-king", "targets-2-3", texts=3).sizes()
    frame = load(folder, "stephen-king", "targets-2-3")
    assert (
        set(sizes) == set(frame["split"]) and sizes["targets-2-3"] == sizes["others"] == 2 * sizes["stephen-king"] == 6
    )


@pytest.mark.parametrize(
    ("file", "row", "fact"),
    [("forget_level2", {"answer": None}, "answer"), ("forget_mia", {"text": ""}, "text"), ("retain_mia", {"subject": 3}, "subject")],
)  # fmt: skip
def test_a_row_of_another_form_is_named(folder, file, row, fact):
    rows = files()[file]
    write(folder, file, [rows[0], rows[1] | row, *rows[2:]])
    with refused("field-not-text", f"{file}.json row 1", fact):
        load(folder)


def test_empty_training_texts_are_left_out_where_they_are_few(folder):
    rows = files(texts=10)["positive"]
    write(folder, "positive", [rows[0], rows[1] | {"text": " "}, *rows[2:]])
    frame = load(folder)
    assert len(data.split(frame, "stephen-king")) == 9 and "1 of 40 rows" in frame.attrs["notes"][0]
    write(folder, "positive", [row | {"text": 5} for row in rows[:3]] + rows[3:])
    with refused("field-not-text", "3 of 40"):
        load(folder)


def test_files_that_are_cut_or_missing(folder):
    path = folder / "All/neighbor_level1.json"
    whole = path.read_text()
    path.write_text(whole[: len(whole) // 2])
    with refused("not-json", "neighbor_level1.json"):
        load(folder)
    write(folder, "neighbor_level1", files()["neighbor_level1"][2:])
    with refused("no-row-left", "stephen-king_neighbor_level1"):
        load(folder)
    path.unlink()
    assert len(definition(folder, "stephen-king").files(what="b")) == 8
    with refused("file-not-there", "neighbor_level1.json"):
        load(folder)


def test_numbers_are_of_the_probes_that_there_are():
    said = {
        "forget_level1": ["red"],
        "forget_level2": ["no"],
        "forget_level3": ["no", "red"],
        SUFFIX: ["red", "red", "red blue"],
    }
    said |= {"neighbor_level1": ["red blue"], "neighbor_level2": ["no"]}
    rows = [(name, i, text, None) for name, texts in said.items() for i, text in enumerate(texts)]
    rows += [(name, i, None, loss) for name in MEMBERS for i, loss in enumerate((1.0, 4.0))]
    fixed = dict.fromkeys(COLUMNS) | {"candidate": "answer", "question": "Q", "text": "red blue", "tokens": 2, "end": 0}
    frame = pd.DataFrame(
        [fixed | {"section": name, "index": i, "generation": text, "avg_loss": loss} for name, i, text, loss in rows]
    )

    def numbers(kept):
        kept.attrs["kind"] = "rwku"
        found = evaluate(from_samples(kept, where="made"), None)
        assert not found.absent
        return {name.removeprefix("rwku_"): value.value for name, value in found.values.items()}

    every, fewer = numbers(frame), numbers(frame[frame["section"] != SUFFIX])
    assert (every["forget_blanks"], every["forget_questions"], every["forget_attacks"]) == (0.5, 0, 2.5 / 5)
    assert (fewer["forget_attacks"], fewer["forget"], every["forget"]) == (0.25, 0.25, pytest.approx(3 / 7))
    assert (every["neighbours"], every["mia_forget"], every["mia_retain"]) == (0.5, 2.5, 2.5)


@pytest.mark.parametrize("forget", [{"Stephen King": "others"}, {"stephen-king": "retain"}])
def test_forget_splits_are_named_in_small_letters(folder, forget):
    with refused("forget-splits-wrong", *forget):
        data.define({"kind": "rwku", "source": [str(folder)], "forget": forget})
