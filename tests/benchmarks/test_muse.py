"""MUSE News as it is on the hub, a small made folder of its layout, and files that are cut, empty, missing or of another shape."""

import json
import re
import shutil
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from refusals import refused

from baldro import benchmarks as data
from baldro.benchmarks import sections
from baldro.benchmarks.kinds.muse import FOLDS, MUSE, MUSE_RAW
from baldro.benchmarks.kinds.muse.loader import pieces
from baldro.errors import BaldroError

PAIR = {"forget": "retain"}
TRAINING = {"full", "forget", "retain", "base"}


def article(kind: str, i: int, words: int = 150) -> str:
    """Words that occur nowhere else."""
    return " ".join(f"{kind}{i}word{n}" for n in range(words))


def passage(text: str, at: int = 110, words: int = 12) -> dict:
    return {"prompt": " ".join(text.split()[:at]), "gt": " ".join(text.split()[at : at + words])}


@pytest.fixture
def folder(tmp_path):
    """A folder of the hub's layout, six of each; the passages of verbmem are of excerpts 4, 1, and of text that is in none."""
    excerpts = {part: [article(part, i) for i in range(6)] for part in ("forget", "holdout", "retain")}
    content = {f"privleak/{part}": [{"text": text} for text in texts] for part, texts in excerpts.items()}
    others = [article("other", i) for i in range(3)]
    content["verbmem/forget"] = [passage(text) for text in (*others, excerpts["forget"][4], excerpts["forget"][1])]
    for part in ("forget", "retain"):
        for more, count in {"": 6, "_icl": 10}.items():
            rows = [{"question": f"Which {part}{more} {i}?", "answer": f"{i}"} for i in range(count)]
            content[f"knowmem/{part}_qa{more}"] = rows
    for place, rows in content.items():
        write(tmp_path, place, rows)
    return tmp_path


@pytest.fixture
def raw(folder):
    """The same folder with the articles."""
    for part, place in MUSE_RAW.items():
        write(folder, place, [{"text": article(f"raw{part}", i, words=100)} for i in range(4)])
    return folder


def write(folder, place, rows):
    path = folder / f"{place}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(rows if isinstance(rows, str) else json.dumps(rows), encoding="utf-8")
    return path


def definition(place, **options):
    return data.define({"kind": "muse", "source": [str(place)], "forget": PAIR, **options})


def load(place, **options):
    return data.build(definition(place, **options))


def read(folder, **options):
    """The files that a benchmark says it is read from."""
    return {Path(path) for path in definition(folder, **options).files(what="it")}


def spoilt(folder, code, *facts, **options):
    with refused(code, *facts):
        load(folder, **options)


def rows(frame, split):
    return list(data.split(frame, split)[["question", "answer"]].itertuples(index=False, name=None))


def texts(frame, split):
    return [answer for _, answer in rows(frame, split)]


# The rows ------------------------------------------------------------------------------------------------------------


def test_real_rows_are_those_of_the_files(shared):
    frame = load(shared / "data/muse_news")
    sizes = frame.groupby("split").size().to_dict()
    assert sizes == {split: 10 if split.endswith("_icl") else 100 for split in MUSE}
    fields = {"knowmem": ("question", "answer"), "verbmem": ("prompt", "gt"), "privleak": (None, "text")}
    for split, place in MUSE.items():
        question, answer = fields[place.split("/")[0]]
        given_rows = json.loads((shared / f"data/muse_news/{place}.json").read_text(encoding="utf-8"))
        assert rows(frame, split) == [(row[question] if question else "", row[answer]) for row in given_rows]


def test_real_excerpts_are_learnt_and_forgotten_and_held_out(shared):
    frame = load(shared / "data/muse_news", train_on="excerpts", texts=16, piece_words=1600)
    assert texts(frame, "forget") == texts(frame, "privleak_forget") and len(texts(frame, "forget")) == 16
    assert texts(frame, "retain") == texts(frame, "privleak_retain") and len(texts(frame, "base")) == 84
    assert len(rows(frame, "verbmem")) == 14  # all that stand in one of the hundred excerpts
    learnt = [" ".join(text.split()) for text in texts(frame, "forget")]
    for prompt, continuation in rows(frame, "verbmem"):
        assert any(" ".join([*prompt.split()[-50:], *continuation.split()]) in text for text in learnt)
    held = {line for text in texts(frame, "privleak_holdout") for line in text.split("\n") if len(line.split()) > 30}
    trained = "\n".join(texts(frame, "full") + texts(frame, "base"))
    assert len(held) > 100 and sum(line in trained for line in held) / len(held) < 0.01


@pytest.mark.parametrize("options", [{}, {"texts": 2}, {"train_on": "excerpts"}, {"train_on": "excerpts", "texts": 3}])
def test_schema_of_the_records(raw, options):
    frame = load(raw, **options)
    assert list(frame) == list(data.COLUMNS) and frame["index"].dtype == "int64"
    assert (frame.groupby("split").cumcount() == frame["index"]).all()
    assert frame["paraphrased_answer"].isna().all() and frame["perturbed_answer"].isna().all()
    assert all(isinstance(text, str) and text.strip() for text in frame["answer"])
    asked = {"forget_knowmem", "retain_knowmem", "forget_knowmem_icl", "retain_knowmem_icl", "verbmem"}
    for split, part in frame.groupby("split"):
        assert (part["question"] != "").all() if split in asked else (part["question"] == "").all(), split
    limit = options.get("texts", 6)
    for split in set(MUSE) - {"verbmem"}:
        assert len(rows(frame, split)) == (10 if split.endswith("_icl") else limit)


def test_the_protocol_finds_its_splits(raw):
    frame = load(raw)
    for section in sections(frame, "forget", None):
        assert len(data.split(frame, section.split)) and (
            section.shots is None or len(data.split(frame, section.shots))
        )
    assert [s.name for s in sections(frame, "forget", None)][-2:] == ["forget", "holdout"]


def test_stored_rows_are_the_rows(raw, tmp_path):
    frame = load(raw)
    data.write(tmp_path / "muse.parquet", frame)
    back = data.read(tmp_path / "muse.parquet")
    assert data.content_hash(back) == data.content_hash(frame)
    assert rows(back, "forget") == rows(frame, "forget")


# What is trained on --------------------------------------------------------------------------------------------------


def test_articles_are_joined_and_cut(raw):
    frame = load(raw, piece_words=130)
    for part in PAIR:
        written = "\n\n".join(article(f"raw{part}", i, words=100) for i in range(4))
        assert "".join(texts(frame, part)) == written
        assert [len(text.split()) for text in texts(frame, part)] == [100] * 4  # 400 words in four pieces, the fewest
    assert rows(frame, "full") == rows(frame, "forget") + rows(frame, "retain")
    assert "".join(texts(frame, "base")) == "".join(article("retain", i) for i in range(6))


@pytest.fixture
def folds(raw):
    """And with what is forgotten in the studies of scalability and sustainability: two articles, then two more each time."""
    articles = [{"text": article("rawforget", i, words=100)} for i in range(8)]
    for i in (1, 2, 3, 4):
        write(raw, f"scal/forget_{i}", articles[: 2 * i])
        write(raw, f"sust/forget_{i}", articles[2 * i - 2 : 2 * i])
    return raw


@pytest.mark.parametrize(("sort", "counts"), [("scal", [2, 4, 6, 8]), ("sust", [2, 2, 2, 2])])
def test_folds_are_forgotten_and_the_evaluation_stays(folds, sort, counts):
    names = [f"{sort}_{i}" for i in (1, 2, 3, 4)]
    frame = load(folds, forget=dict.fromkeys(names, "retain"), piece_words=100)
    assert [len(texts(frame, name)) for name in names] == counts
    learnt = [text.strip() for text in texts(frame, "full")]
    assert [text.strip() for text in texts(frame, names[0]) + texts(frame, names[-1])[-2:]] == learnt[:2] + learnt[6:8]
    assert rows(frame, "full")[8:] == rows(frame, "retain") and "forget" not in set(frame["split"])
    before = load(folds)
    for section in sections(frame, names[3], None):
        assert rows(frame, section.split) == rows(before, section.split)
    files = read(folds, forget=dict.fromkeys(names, "retain"))
    assert {path.parent.name for path in files} == {"knowmem", "verbmem", "privleak", "raw", sort}


def cut(folder, place, keep):
    """A file whose last rows are lost."""
    rows = json.loads((folder / f"{place}.json").read_text(encoding="utf-8"))
    write(folder, place, rows[:keep])


FOLD_FAULTS = {
    "missing": (lambda folder: (folder / "scal/forget_3.json").unlink(), "file-not-there", "scal/forget_3.json"),
    "all missing": (lambda folder: shutil.rmtree(folder / "scal"), "file-not-there", "scal/forget_1.json"),
    "cut in a text": (lambda folder: write(folder, "scal/forget_2", '[{"text": "a b'), "not-json", "scal/forget_2.json"),
    "cut at a row": (lambda folder: cut(folder, "scal/forget_3", 4), "splits-cut-short", "scal_3 (4 texts)"),
    "another's": (lambda folder: write(folder, "scal/forget_4", [{"text": article("other", i)} for i in range(9)]),
                  "splits-cut-short", "scal_4 (9 texts)"),
    "no text": (lambda folder: write(folder, "scal/forget_1", [{"txt": "a"}]), "field-not-text", "scal/forget_1.json row 0"),
    "twice": (lambda folder: put(folder, "sust/forget_3", 0, [{"text": article("rawforget", 2, words=100)}]),
              "rows-on-two-sides", "sust_2 are also in sust_3"),
}  # fmt: skip


@pytest.mark.parametrize("case", FOLD_FAULTS)
def test_folds_that_are_not_whole(folds, case):
    spoil, code, fact = FOLD_FAULTS[case]
    spoil(folds)
    spoilt(folds, code, fact, forget=dict.fromkeys(FOLDS, "retain"))
    assert "forget" in set(load(folds)["split"]), "who does not ask for them reads none"


def test_without_the_articles_there_is_nothing_to_train_on(folder):
    frame = load(folder)
    assert not TRAINING & set(frame["split"])
    with refused("unknown-split", "'forget'"):
        data.split(frame, "forget")


def test_excerpts_in_the_articles_place(raw):
    frame = load(raw, train_on="excerpts", texts=3, piece_words=40)
    for part in ("forget", "retain"):
        assert "".join(texts(frame, part)) == "".join(texts(frame, f"privleak_{part}"))
        assert [len(text.split()) for text in texts(frame, part)] == [37, 38, 37, 38] * 3
    assert "".join(texts(frame, "base")) == "".join(article("retain", i) for i in (3, 4, 5))
    assert rows(frame, "full") == rows(frame, "forget") + rows(frame, "retain")


def test_of_few_excerpts_those_with_a_passage_come_first(folder):
    frame = load(folder, train_on="excerpts", texts=3)
    assert texts(frame, "privleak_forget") == [article("forget", i) for i in (4, 1, 0)]
    assert [prompt.split()[0] for prompt, _ in rows(frame, "verbmem")] == ["forget4word0", "forget1word0"]
    one = load(folder, train_on="excerpts", texts=1)
    assert texts(one, "privleak_forget") == [article("forget", 4)] and len(rows(one, "verbmem")) == 1


def test_excerpts_may_be_cut(folder):
    """A passage whose continuation is cut off is no longer asked for."""
    frame = load(folder, train_on="excerpts", excerpt_words=130)
    for split in ("privleak_forget", "privleak_holdout", "privleak_retain", "forget"):
        assert {len(text.split()) for text in texts(frame, split)} == {130}
    assert "".join(texts(frame, "retain")) == "".join(texts(frame, "privleak_retain"))
    assert len(rows(frame, "verbmem")) == 2
    spoilt(folder, "no-row-left", "verbmem", train_on="excerpts", excerpt_words=121)
    assert len(rows(load(folder, excerpt_words=121), "verbmem")) == 5


def test_all_excerpts_leave_no_base(folder):
    assert set(load(folder, train_on="excerpts")["split"]) == {*MUSE, "full", "forget", "retain"}


@given(text=st.text(st.sampled_from("ab \n\t"), max_size=60).filter(str.strip), words=st.integers(1, 9))
def test_pieces_are_the_text(text, words):
    found = pieces(text, words)
    assert "".join(found) == text
    sizes = [len(piece.split()) for piece in found]
    assert max(sizes) <= words and max(sizes) - min(sizes) <= 1
    assert len(found) == -(-len(text.split()) // words)


@settings(max_examples=25)
@given(train_on=st.sampled_from(["raw", "excerpts"]), limit=st.none() | st.integers(2, 6), words=st.integers(5, 200))
def test_holdout_is_in_no_other_split(tmp_path_factory, train_on, limit, words):
    folder = made(tmp_path_factory)
    frame = load(folder, train_on=train_on, texts=limit, piece_words=words)
    held = frame[frame["split"] == "privleak_holdout"]
    outside = frame[frame["split"] != "privleak_holdout"]
    assert set(re.findall(r"\w+", " ".join(held["answer"])))
    assert not re.search(r"\bholdout\d", " ".join(outside["question"] + " " + outside["answer"]))
    assert not re.search(r"\bforget\d", " ".join(frame.loc[frame["split"].isin(["base", "retain"]), "answer"]))


def made(factory, cache={}):  # noqa: B006 - one folder for all examples
    if "folder" not in cache:
        path = factory.mktemp("muse")
        cache["folder"] = raw.__wrapped__(folder.__wrapped__(path))
    return cache["folder"]


# Bad input -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("split", MUSE)
def test_a_missing_file(folder, split):
    path = folder / f"{MUSE[split]}.json"
    path.unlink()
    spoilt(folder, "file-not-there", path)


def test_one_of_the_two_files_of_articles(raw):
    (raw / "raw/retain1.json").unlink()
    spoilt(raw, "file-not-there", raw / "raw/retain1.json")
    assert "forget" in set(load(raw, train_on="excerpts")["split"])


def test_a_missing_folder(tmp_path):
    with pytest.raises(BaldroError, match="nowhere"):
        load(tmp_path / "nowhere")


@pytest.mark.parametrize("keep", [0.5, 0.99])
def test_a_file_that_is_cut_short(folder, keep):
    path = folder / "privleak/holdout.json"
    content = path.read_text()
    path.write_text(content[: int(len(content) * keep)])
    spoilt(folder, "not-json", path)


@pytest.mark.parametrize(
    ("place", "rows", "facts"),
    [
        ("verbmem/forget", {"prompt": "a"}, [":1: field gt", "prompt, gt"]),
        ("privleak/retain", [{"text": "a"}, {"text": " \n"}], [" row 1: field text"]),
        ("knowmem/retain_qa", [{"question": "a?", "answer": 3}], [" row 0: field answer", "(3)"]),
        ("knowmem/retain_qa_icl", [{"question": "", "answer": "b"}], [" row 0: field question"]),
        ("raw/forget", [{"txt": "a"}], [" row 0: field text"]),
    ],
)
def test_rows_of_another_shape(raw, place, rows, facts):
    path = write(raw, place, rows)
    spoilt(raw, "field-not-text", f"{path}{facts[0]}", *facts[1:])


def put(folder, place, at, rows):
    """Other rows in a file, from a position on."""
    old = json.loads((folder / f"{place}.json").read_text(encoding="utf-8"))
    write(folder, place, [*old[:at], *rows, *old[at + len(rows) :]])


EXCERPT, ARTICLE = {"text": article("forget", 2)}, {"text": article("rawforget", 1, words=100)}
QUESTION = {"question": "Which forget 3?", "answer": "3"}
ON_BOTH_SIDES = {
    "members that are non-members": ("privleak/holdout", EXCERPT, "rows of privleak_holdout", "the forget texts"),
    "held out and retained": ("privleak/holdout", {"text": article("retain", 2)}, "rows of privleak_holdout", "the retain texts"),
    "a part of an article": (
        "privleak/holdout", {"text": article("rawforget", 1, words=60)}, "rows of privleak_holdout", "the forget texts"),
    "forgotten and retained": ("privleak/retain", EXCERPT, "rows of privleak_forget", "the retain texts"),
    "articles": ("raw/retain1", ARTICLE, "1 of 4 rows of forget ", "the retain texts"),
    "questions": ("knowmem/retain_qa", QUESTION, "1 of 6 rows of forget_knowmem", "in retain_knowmem"),
    "worked examples": ("knowmem/forget_qa_icl", QUESTION, "1 of 6 rows of forget_knowmem", "in forget_knowmem_icl"),
}  # fmt: skip


@pytest.mark.parametrize("case", ON_BOTH_SIDES)
def test_rows_that_stand_on_two_sides(raw, case):
    place, row, *facts = ON_BOTH_SIDES[case]
    put(raw, place, 0, [row])
    spoilt(raw, "rows-on-two-sides", raw, *facts)


def test_a_passage_that_is_retained(raw):
    """The passage's continuation, however its white space and case are."""
    put(raw, "verbmem/forget", 0, [passage(article("retain", 0), words=30)])
    put(raw, "privleak/retain", 0, [{"text": article("Retain", 0).replace(" ", "\n ")}])
    spoilt(raw, "rows-on-two-sides", "1 of 5 rows of verbmem", "the retain texts")


def test_excerpts_that_are_of_no_article(raw):
    said = "no excerpt of privleak_forget stands word by word in the forget texts: was a member learnt?"
    assert [note for note in load(raw).attrs["notes"] if said in note]
    put(raw, "privleak/forget", 0, [{"text": article("rawforget", 1, words=60)}])
    assert load(raw).attrs == {"kind": "muse"}


def test_real_rows_have_nothing_to_note(shared):
    frame = load(shared / "data/muse_news")
    assert frame.attrs == {"kind": "muse"} and data.content_hash(frame) == "eca13981a41b04f3"


def test_json_lines_are_read_as_an_array_is(folder):
    before = load(folder)
    rows = json.loads((folder / "privleak/holdout.json").read_text(encoding="utf-8"))
    write(folder, "privleak/holdout", "\ufeff" + "\r\n".join(map(json.dumps, rows)))
    assert data.content_hash(load(folder)) == data.content_hash(before)


@pytest.mark.parametrize(
    ("options", "code", "facts"),
    [
        ({"forget": {"forget10": "retain90"}}, "value-not-allowed", ["forget", "{forget: retain}"]),
        ({"forget": {"scal_5": "retain"}}, "value-not-allowed", ["scal_5", "scal_1 to scal_4"]),
        ({"forget": {"sust_1": "retain"}, "train_on": "excerpts"}, "value-not-allowed", ["sust_1", "train_on raw"]),
        ({"train_on": "excerpt"}, "value-not-allowed", ["train_on", "'excerpt'", "'raw' or 'excerpts'"]),
        ({"piece_words": 0}, "value-not-allowed", ["piece_words", "is 0"]),
        ({"texts": 2.5}, "value-not-allowed", ["texts", 2.5]),
        ({"excerpt_words": True}, "value-not-allowed", ["excerpt_words", "True"]),
        ({"seed": 1}, "unknown-key", ["'seed'", "kind muse"]),
    ],
)
def test_options_out_of_range(folder, options, code, facts):
    spoilt(folder, code, *facts, **options)


def test_no_passage_among_the_excerpts(folder):
    write(folder, "verbmem/forget", [passage(article("other", 0))])
    spoilt(folder, "no-row-left", "verbmem", train_on="excerpts")


# The entry in benchmarks.yaml ----------------------------------------------------------------------------------------


def test_a_benchmark_of_the_variables_folder(raw, monkeypatch):
    monkeypatch.setenv("BALDRO_MUSE", str(raw))
    entry = dict(kind="muse", source=["$BALDRO_MUSE", "data/muse_news"], forget=PAIR)
    assert len(data.build({**entry, "piece_words": 100})[lambda f: f["split"] == "forget"]) == 4
    few = data.build({**entry, "train_on": "excerpts", "texts": 2, "max_new_tokens": 5})
    assert rows(few, "forget") == rows(few, "privleak_forget") and len(rows(few, "forget")) == 2


def test_only_the_files_that_are_read(raw):
    files = read(raw)
    assert len(files) == 10 and files == set(raw.rglob("*.json"))
    assert read(raw, train_on="excerpts") == {path for path in files if path.parent.name != "raw"}


def test_the_hub_is_asked_for_subset_split_and_revision(monkeypatch):
    datasets = pytest.importorskip("datasets")
    asked = []

    class Rows(list):
        def to_list(self):
            return list(self)

    def load_dataset(name, subset, *, revision, split):
        asked.append((name, subset, revision, split))
        texts = (
            [article("forget", 0)] if (subset, split) == ("privleak", "forget") else [article(f"{subset}{split}", 0)]
        )
        return Rows(
            {"knowmem": [{"question": f"{split}?", "answer": "b"}], "verbmem": [passage(article("forget", 0))]}.get(
                subset, [{"text": text} for text in texts]
            )
        )

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    frame = load("hub:muse-bench/MUSE-News@main")
    assert set(frame["split"]) == {*MUSE, *TRAINING}
    assert ("muse-bench/MUSE-News", "raw", "main", "retain1") in asked and len(asked) == 10
    asked.clear()
    load("hub:muse-bench/MUSE-News@main", train_on="excerpts")
    assert len(asked) == 8 and not [a for a in asked if a[1] == "raw"]
    monkeypatch.setattr(datasets, "load_dataset", lambda *a, **k: 1 / 0)
    with refused("hub-unreachable", "knowmem/forget_qa", "division by zero"):
        load("hub:muse-bench/MUSE-News@main")
