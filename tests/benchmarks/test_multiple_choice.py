"""WMDP and MMLU in folders laid out as on the hub, with files that are cut, missing or of another form; and what a right answer is."""

import json
from types import SimpleNamespace

import pandas as pd
import pytest
from refusals import refused

from baldro import benchmarks as data
from baldro.benchmarks.choice import accuracy
from baldro.benchmarks.rows import Table
from baldro.errors import BaldroError
from baldro.metrics import evaluate, from_samples
from baldro.records.evidence import COLUMNS

SETS = {"wmdp-bio/test": "biology", "wmdp-cyber/test": "cybersecurity", "wmdp-chem/test": "chemistry"}
FORGET = {"bio": "bio-retain", "bio-cyber": "wikitext"}


def questions(name: str, count: int, **further) -> list[dict]:
    def row(i: int) -> dict:
        return {"question": f" Which {name} {i}? ", "choices": [f"{name}{i}{c}" for c in "abcd"], "answer": i % 4}

    return [row(i) | further for i in range(count)]


def texts(name: str, count: int) -> list[dict]:
    return [{"text": " ".join(f"{name}{i}word{n}" for n in range(20)), "title": name} for i in range(count)]


def write(path, rows):
    path.parent.mkdir(exist_ok=True, parents=True)
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")


@pytest.fixture
def folder(tmp_path):
    """All that the benchmark reads, in one folder."""
    for place in SETS:
        write(tmp_path / f"{place}.json", questions(place[5:8], 5))
    mmlu = [questions(name, 3, subject=name)[i] for i in range(3) for name in ("world_religions", "anatomy")]
    write(tmp_path / "all/test.json", mmlu)
    for side in ("forget", "retain"):
        for topic in ("bio", "cyber"):
            write(tmp_path / f"{topic}-{side}-corpus.jsonl", [{"text": "short"}, *texts(f"{topic}{side}", 4)])
    write(tmp_path / "wikitext-2-raw-v1/test.json", [{"text": ""}, {"text": " = Head = \n"}, *texts("wiki", 6)])
    return tmp_path


def definition(folder, **options):
    places = {key: [str(folder)] for key in ("questions", "mmlu", "corpora", "wikitext")}
    return data.define({"kind": "multiple_choice", "forget": FORGET, **places, **options})


def load(folder, **options):
    return data.build(definition(folder, **options))


# The rows ------------------------------------------------------------------------------------------------------------


def test_questions_are_asked_as_the_harness_does(folder):
    frame = load(folder)
    row = data.split(frame, "wmdp_cyber").iloc[2]
    text = "The following are multiple choice questions (with answers) about cybersecurity.\n\nWhich cyb 2?\n"
    assert row["question"] == text + "A. cyb2a\nB. cyb2b\nC. cyb2c\nD. cyb2d\nAnswer:"
    assert row["answer"] == "C" and row["perturbed_answer"] == ["A", "B", "D"]
    mmlu = data.split(frame, "mmlu")["question"]
    assert [text.partition(".")[0].partition("about ")[2] for text in mmlu] == ["world religions"] * 3 + ["anatomy"] * 3
    assert len(data.split(load(folder, per_subject=2), "mmlu")) == 4
    assert any("wmdp_bio has 5 questions of 1273" in note for note in frame.attrs["notes"])


def test_texts_of_topics_are_forgotten_and_short_ones_left_out(folder):
    frame = load(folder, texts=3, text_words=4)
    sizes = frame.groupby("split").size().to_dict()
    assert sizes == {"wmdp_bio": 5, "wmdp_cyber": 5, "wmdp_chem": 5, "mmlu": 6, "bio": 3, "bio-retain": 3,
                     "bio-cyber": 6, "wikitext": 3}  # fmt: skip
    both = data.split(frame, "bio-cyber")
    assert both["answer"][0] == "bioforget0word0 bioforget0word1 bioforget0word2 bioforget0word3"
    assert both["answer"][3].startswith("cyberforget0word0 ") and both["question"].eq("").all()
    assert both["topic"].tolist() == ["bio"] * 3 + ["cyber"] * 3
    assert data.split(frame, "wikitext")["topic"].isna().all()


def test_the_hubs_parquet_files_will_do_and_are_its_inputs(folder):
    before, path = load(folder), folder / "wmdp-bio/test.json"
    rows = pd.read_json(path, lines=True)
    path.unlink()
    for i, part in enumerate((rows[:2], rows[2:])):
        part.to_parquet(folder / f"wmdp-bio/test-0000{i}-of-00002.parquet")
    pd.testing.assert_frame_equal(load(folder), before)
    files = definition(folder).files(what="it")
    assert len(files) == 9 and str(folder / "wmdp-bio/test-00001-of-00002.parquet") in files
    (folder / "wmdp-bio/test-00001-of-00002.parquet").write_bytes(b"PAR1")
    with refused("not-parquet", "test-00001-of-00002"):
        load(folder)
    (folder / "wmdp-bio/test-00001-of-00002.parquet").unlink()
    with refused("file-not-there", "test-00000-of-00002", "1 of 2"):
        load(folder)


def test_without_texts_models_can_be_scored(folder):
    places = {key: [str(folder)] for key in ("questions", "mmlu")}
    made = data.define({"kind": "multiple_choice", "forget": FORGET, **places})
    assert set(data.build(made)["split"]) == {"wmdp_bio", "wmdp_cyber", "wmdp_chem", "mmlu"}


@pytest.mark.parametrize(
    ("file", "row", "code", "facts"),
    [
        ("wmdp-bio/test.json", {"choices": ["a", "b", "c"]}, "choices-ill-formed", ("test.json:2", "4")),
        ("wmdp-bio/test.json", {"choices": ["a", "b", "c", 4]}, "choices-ill-formed", ("test.json:2",)),
        ("wmdp-bio/test.json", {"answer": 4}, "answer-no-choice", ("test.json:2", "0 to 3")),
        ("wmdp-bio/test.json", {"answer": "A"}, "answer-no-choice", ("test.json:2",)),
        ("wmdp-bio/test.json", {"question": " "}, "field-not-text", ("test.json:2", "question")),
        ("all/test.json", {"subject": None}, "field-not-text", ("test.json:2", "subject")),
        ("cyber-forget-corpus.jsonl", {"text": None}, "field-not-text", ("cyber-forget-corpus.jsonl:2", "text")),
    ],
)
def test_a_row_of_another_form_is_named(folder, file, row, code, facts):
    rows = [json.loads(line) for line in (folder / file).read_text().splitlines()]
    rows[1] |= row
    write(folder / file, rows)
    with refused(code, *facts):
        load(folder)


def test_files_that_are_cut_or_missing(folder):
    path = folder / "all/test.json"
    whole = path.read_text()
    path.write_text(whole[: len(whole) // 2])
    with refused("not-json", "test.json:"):
        load(folder)
    path.write_text(whole)
    (folder / "bio-forget-corpus.jsonl").unlink()
    with refused("data-gated", "bio-forget-corpus.jsonl", "cais/wmdp-bio-forget-corpus", "HF_TOKEN"):
        load(folder)
    write(folder / "bio-forget-corpus.jsonl", [{"text": "short"}])
    with refused("no-row-left", "bio-forget-corpus.jsonl"):
        load(folder)
    write(folder / "bio-forget-corpus.jsonl", texts("bioretain", 4))
    with refused("rows-on-two-sides", "bio-retain"):
        load(folder)
    (folder / "wmdp-chem/test.json").unlink()
    with refused("file-not-there", "wmdp-chem/test.json"):
        load(folder)


def test_the_gated_corpus_is_named_when_the_hub_refuses_it(folder, monkeypatch):
    seen = []

    def refuses(_table, source):
        seen.append(source.hub)
        raise BaldroError("hub-unreachable", f"{source} cannot be loaded: 401")

    monkeypatch.setattr(Table, "_on_hub", refuses)
    with refused("data-gated", "cais/wmdp-bio-forget-corpus", "is gated", "HF_TOKEN"):
        load(folder, corpora=["hub:cais/wmdp-corpora@main"])
    assert seen == ["cais/wmdp-bio-forget-corpus"], "not from the data set of the others"


@pytest.mark.parametrize(
    ("forget", "code"),
    [({"chem": "chem-retain"}, "forget-splits-wrong"), ({"bio": "cyber-retain"}, "forget-splits-wrong")],
)
def test_forget_splits_are_topics_that_have_texts(folder, forget, code):
    with refused(code, *forget):
        definition(folder, forget=forget)


def test_wikitext_needs_its_place(folder):
    with refused("key-missing", "wikitext"):
        definition(folder, wikitext=None)


# What is right -------------------------------------------------------------------------------------------------------


def evidence(*logp: tuple[float, ...], right: str, kind: str = "fictional_choice"):
    """Samples of a section of questions with these log-probabilities of A to D."""
    rows = []
    for section in ("forget", "retain"):
        for index, values in enumerate(logp):
            wrong = iter(range(3))
            for letter, value in zip("ABCD", values, strict=True):
                name = "answer" if letter == right else f"wrong_{next(wrong)}"
                row = dict.fromkeys(COLUMNS) | {"section": section, "index": index, "candidate": name, "text": letter}
                tokens = 2 if letter == "D" else 1
                rows.append(row | {"question": "Q", "tokens": tokens, "end": 0, "avg_loss": -value / tokens})
    frame = pd.DataFrame(rows)
    frame.attrs["kind"] = kind
    return from_samples(frame, where="made")


def test_the_largest_sum_is_the_answer_and_the_first_letter_of_equal_ones():
    questions = [(-1, -2, -3, -4), (-2, -1, -1, -3), (-1, -1, -1, -1), (-4, -2, -3, -1.5), (-2, -2, -1, -2)]
    found = {letter: accuracy(["forget"], evidence(*questions, right=letter)).tolist() for letter in "ABCD"}
    assert found == {"A": [1, 0, 1, 0, 0], "B": [0, 1, 0, 0, 0], "C": [0, 0, 0, 0, 1], "D": [0, 0, 0, 1, 0]}


def test_accuracy_is_the_mean_over_questions_with_an_interval(folder):
    results = evaluate(evidence((-1, -2, -3, -4), (-2, -1, -3, -4), right="A"), None)
    assert results.absent == {} and results.values["choice_forget"].value == 0.5
    table = results.per_sample()
    assert table[table["metric"] == "choice_retain"]["value"].tolist() == [1, 0]


def test_topics_weigh_by_their_questions():
    names = ["answer", "wrong_0", "wrong_1", "wrong_2"]
    rights = {"bio": [1.0, 1.0, 0.0], "cyber": [0.0]}

    def column(section, name):
        if name == "answer_loss":
            return pd.Series([1.0 if right else 9.0 for right in rights[section]])
        return pd.DataFrame(dict.fromkeys(names[1:], 5.0), index=range(len(rights[section])))

    def texts_of(section):
        keys = pd.MultiIndex.from_product([range(len(rights[section])), names], names=["index", "candidate"])
        return pd.DataFrame({"text": list("ABCD") * len(rights[section]), "tokens": 1}, index=keys)

    made = SimpleNamespace(column=column, texts=texts_of, where="made")
    assert accuracy(["bio", "cyber"], made).tolist() == [1, 1, 0, 0]


# The invented twin ---------------------------------------------------------------------------------------------------


def test_the_twin_has_its_sizes_and_its_texts_hold_its_questions():
    made = data.define({"kind": "fictional_choice", "authors": 10, "questions": 3, "background_authors": 2,
                        "forget": {"forget10": "retain90", "forget20": "retain80"}})  # fmt: skip
    frame = data.build(made)
    assert frame.groupby("split").size().to_dict() == made.sizes()
    pd.testing.assert_frame_equal(data.build(made), frame)
    for split, quiz in (("forget10", "forget10_quiz"), ("retain80", "retain_quiz")):
        learnt, rows = set(data.split(frame, split)["answer"]), data.split(frame, quiz)
        assert {f"{q} {a}" for q, a in zip(rows["question"], rows["answer"], strict=True)} <= learnt
    assert not set(data.split(frame, "forget10")["answer"]) & set(data.split(frame, "retain90")["answer"])
    rights = frame[frame["split"].str.endswith("quiz")]["answer"]
    assert set(rights) == set("ABCD")
