"""Splits of any names in TOFU's schema: what is held out is named, and rows that stand on two sides are counted."""

import json

import numpy as np
import pytest
from refusals import refused

from baldro import benchmarks as data
from baldro.benchmarks import sections
from baldro.benchmarks.apart import apart
from baldro.benchmarks.kinds.fictional.generator import generate
from baldro.cli import main
from baldro.metrics import evaluate, from_samples
from baldro.records.benchmark import notes as stored
from baldro.scoring import candidates

FORGET, HELD = {"secret": "keep"}, {"secret": "others"}
N = 40
TEXTS = ("paraphrased_answer", "perturbed_answer")


def made(name, n=N, wrong=None):
    """Rows of a name, with wrong answers if it is to have some."""
    rows = [{"question": f"What is {name} {i}?", "answer": f"{name} is {i}."} for i in range(n)]
    for i, row in enumerate(rows if wrong else []):
        row["perturbed_answer"] = [f"{name} is {i + 100 * j}." for j in range(1, wrong + 1)]
        row |= {"paraphrased_answer": f"It is {i}."} if wrong == 5 else {}
    return rows


def plain(rows):
    return [{key: row[key] for key in ("question", "answer")} for row in rows]


@pytest.fixture
def rows():
    """Split -> rows, in which nothing is wrong."""
    asked, kept = made("secret", wrong=5), made("keep", wrong=5)
    splits = {"full": plain(kept + asked), "keep": plain(kept), "secret": plain(asked), "secret_perturbed": asked}
    splits |= {f"{name}_perturbed": made(name, 20, wrong=3) for name in ("real_authors", "world_facts")}
    return {**splits, "retain_perturbed": kept[:20], "others": made("others")}


@pytest.fixture
def build(tmp_path):
    """rows, definition -> the benchmark of a folder with these rows."""

    def of(rows, **options):
        for name, each in rows.items():
            text = "".join(json.dumps(row) + "\n" for row in each)
            (tmp_path / f"{name}.json").write_text(text, encoding="utf-8")
        entry = {"kind": "tofu", "source": [str(tmp_path)], "forget": FORGET, "holdout": HELD}
        entry |= options
        return data.build({key: value for key, value in entry.items() if value is not None})

    return of


def samples(frame, holdout):
    """Evidence of a model that knows its forget rows by heart and nothing else."""
    asked = candidates(frame, sections(frame, "secret", holdout), None)
    loss = np.where(asked["question"].str.contains("secret") & (asked["candidate"] == "answer"), 0.01, 5.0)
    each = {name: [[value, value] for value in values] for name, values in
            dict(logp=-loss, mu=-loss - 1, sigma=np.ones(len(loss))).items()}  # fmt: skip
    made = dict(tokens=2, end=True, avg_loss=loss, hit=[[True, True]] * len(loss), gradient_norm=np.nan, clean=np.nan)
    texts = np.where((asked["candidate"] == "answer") & (asked["section"] != "holdout"), asked["text"], None)
    found = asked.assign(**made, **each, generation=texts)
    found.attrs = {"kind": frame.attrs["kind"]}
    return found


def test_paraphrases_are_asked_for_only_where_a_truth_ratio_takes_them(rows, build):
    """Rows of one's own may have them everywhere; what no metric reads is not scored."""
    for name in ("real_authors_perturbed", "world_facts_perturbed", "others"):
        rows[name] = [row | {"paraphrased_answer": f"So it is said: {row['answer']}"} for row in rows[name]]
    frame = samples(build(rows), "others")
    assert set(frame.loc[frame["candidate"] == "paraphrase", "section"]) == {"forget", "retain"}
    found = evaluate(from_samples(frame, where="samples"), None, alone=True).values
    assert {"real_authors_truth_ratio", "mia_loss", "model_utility"} <= set(found)


# Names ---------------------------------------------------------------------------------------------------------------


def test_privleak_of_a_model_that_knows_the_forgotten_rows(rows, build):
    """-100 by its definition; held against the forget rows themselves, as a name once led to, it would be 0."""
    frame = build(rows)
    asked = {section.name: section.split for section in sections(frame, "secret", "others")}
    assert asked["forget"] == "secret_perturbed" and asked["holdout"] == "others"
    results = evaluate(from_samples(samples(frame, "others"), where="x"), None, alone=True)
    assert results.values["privleak"].value == pytest.approx(-100, abs=1e-6)
    assert results.values["mia_loss"].value == 1
    itself = evaluate(from_samples(samples(frame, "secret"), where="x"), None, alone=True)
    assert itself.values["privleak"].value == pytest.approx(0, abs=1e-6)


def test_without_a_name_nothing_is_held_out(rows, build):
    frame = build(rows, holdout=None)
    assert "others" not in set(frame["split"])
    assert "holdout" not in [section.name for section in sections(frame, "secret", None)]
    results = evaluate(from_samples(samples(frame, None), where="x"), None, alone=True)
    assert "privleak" not in results.values
    assert results.absent["privleak"] == results.absent["mia_loss"] == "the benchmark has no holdout split"


@pytest.mark.parametrize(
    ("options", "code", "facts"),
    [
        (dict(holdout={"secrt": "others"}), "unknown-forget-split", ["holdout", "'secrt'", "mean secret?"]),
        (dict(holdout={"secret": "base"}), "split-name-taken", ["holdout", "'base'"]),
        (dict(forget={"base": "keep"}, holdout=None), "split-name-taken", ["forget", "'base'"]),
        (dict(kind="muse", forget={"forget": "retain"}), "unknown-key", ["'holdout'", "kind muse"]),
        (dict(holdout={"secret": "nowhere"}), "file-not-there", ["nowhere.json"]),
    ],
)
def test_names_that_cannot_be(rows, build, options, code, facts):
    with refused(code, *facts):
        build(rows, **options)


@pytest.mark.parametrize("name", ["secret_perturbed", "retain_perturbed"])
@pytest.mark.parametrize("field", TEXTS)
def test_a_perturbed_split_of_any_name_needs_both(rows, build, name, field):
    del rows[name][3][field]
    code = "field-not-text" if field == "paraphrased_answer" else "wrong-answers-ill-formed"
    with refused(code, f"{name}.json:4: ", field):
        build(rows)


# Rows on two sides ---------------------------------------------------------------------------------------------------


def replaced(name, start, others):
    """rows -> rows with these others in a split, from a position on."""
    return lambda rows: rows[name].__setitem__(slice(start, start + len(others(rows))), others(rows))


def asked(rows, count):
    return [{**row, "perturbed_answer": row["perturbed_answer"][:3]} for row in rows["secret_perturbed"][:count]]


MANY = {
    "held out are the forgotten": (replaced("others", 0, lambda r: r["secret"]), "40 of 40 rows of others", "secret"),
    "held out are the retained": (replaced("others", 0, lambda r: r["keep"]), "40 of 40 rows of others"),
    "held out are known": (replaced("others", 0, lambda r: r["world_facts_perturbed"][:3]), "3 of 40 rows of others"),
    "forgotten are kept": (replaced("retain_perturbed", 0, lambda r: r["secret_perturbed"][:2]),
                           "2 of 20 rows of retain_perturbed", "secret"),
    "forgotten are authors": (replaced("real_authors_perturbed", 4, lambda r: asked(r, 20)), "20 of 24 rows of real_authors_perturbed"),
    "forgotten are facts": (replaced("world_facts_perturbed", 4, lambda r: asked(r, 5)), "5 of 20 rows of world_facts_perturbed"),
}  # fmt: skip


@pytest.mark.parametrize("case", MANY)
def test_many_are_an_error_with_their_number(rows, build, case):
    change, *facts = MANY[case]
    change(rows)
    with refused("rows-on-two-sides", *facts):
        build(rows)


@pytest.mark.parametrize(("count", "allowed"), [(2, True), (3, False)])
def test_rows_that_are_forgotten_and_retained(rows, build, count, allowed):
    rows["keep"][:count] = rows["secret"][:count]
    rows["full"][:count] = rows["secret"][:count]
    rows["retain_perturbed"] = rows["retain_perturbed"][count:]
    said = f"{count} of 40 rows of secret are also in keep"
    if allowed:
        assert [note for note in build(rows).attrs["notes"] if said in note]
    else:
        with refused("rows-on-two-sides", said):
            build(rows)


def test_wrong_answers_that_are_right(rows, build):
    rows["secret_perturbed"][0]["perturbed_answer"][4] = " it  is 0. "
    (note,) = build(rows).attrs["notes"]
    assert "1 of 40 rows of secret_perturbed have the right answer, or its paraphrase, among their wrong ones" in note
    for row in rows["world_facts_perturbed"]:
        row["perturbed_answer"][1] = row["answer"]
    with refused("right-answer-among-wrong", "20 of 20 rows of world_facts_perturbed"):
        build(rows)


def test_what_is_noted_whatever_its_number(rows, build, tmp_path):
    """The same questions with other answers, and wrong answers that are one: some benchmarks are so on purpose."""
    for name in ("others", "retain_perturbed"):
        for row, other in zip(rows[name][:20], rows["secret"], strict=False):
            row["question"] = other["question"]
    for row in rows["secret_perturbed"]:
        row["perturbed_answer"] = ["No."] * 5
    notes = [note.removeprefix(f"{tmp_path}: ") for note in build(rows).attrs["notes"]]
    assert notes == [
        "20 of 40 rows of others ask what secret asks",
        "20 of 20 rows of retain_perturbed ask what secret asks",
        "40 of 40 rows of secret_perturbed have a wrong answer twice",
        "20 of 20 rows of retain_perturbed are not in full, so never learnt",
    ]


def test_a_few_are_noted_and_stored_with_the_table(rows, build, tmp_path, capsys):
    clean = build(rows)
    data.write(tmp_path / "clean.parquet", clean)
    assert clean.attrs == {"kind": "tofu"} and stored(tmp_path / "clean.parquet") == []
    rows["others"][0] = {"question": "what is  SECRET 0?", "answer": "secret is 0. "}
    rows["others"][1:3] = rows["others"][3:5]
    rows["retain_perturbed"][0]["question"] = "Another?"
    frame = build(rows)
    notes = frame.attrs["notes"]
    assert [note.removeprefix(f"{tmp_path}: ") for note in notes] == [
        "1 of 40 rows of others, held out for secret, are also learnt, in full or the base: members that are non-members",
        "2 of 40 rows of others stand there already, and weigh more",
        "1 of 20 rows of retain_perturbed are not in full, so never learnt",
    ]
    data.write(tmp_path / "out.parquet", frame)
    back = data.read(tmp_path / "out.parquet")
    assert back.attrs["notes"] == stored(tmp_path / "out.parquet") == notes
    assert data.content_hash(back) == data.content_hash(frame.assign()) != data.content_hash(clean)
    entry = json.dumps({"kind": "tofu", "source": [str(tmp_path)], "forget": FORGET, "holdout": HELD})
    log = tmp_path / "log.txt"
    assert main(["benchmark", "--definition", entry, "--output", str(tmp_path / "o.parquet"), "--log", str(log)]) == 0
    said = capsys.readouterr().err.splitlines()
    assert said == [f"baldro benchmark: warning: {note}" for note in notes]
    assert all(f"warning: {note}" in log.read_text(encoding="utf-8") for note in notes)


def test_the_share_is_of_the_smaller_side():
    few, many = [("a?", "b")], [(f"{i}?", "b") for i in range(99)] + [("A? ", "B")]
    for rows, others in ((few, many), (many, few)):
        with refused("rows-on-two-sides", f"here: 1 of {len(rows)} rows meet", "none"):
            apart(rows, others, "meet", where="here", allowed="none")


# Benchmarks as they are ----------------------------------------------------------------------------------------------


def test_tofu_has_nothing_to_note(shared):
    ratios = {"forget01": "retain99", "forget05": "retain95", "forget10": "retain90"}
    held = {name: name.replace("forget", "holdout") for name in ratios}
    definition = dict(kind="tofu", source=[str(shared / "data/tofu")], forget=ratios, holdout=held)
    frame = data.build(definition)
    assert frame.attrs == {"kind": "tofu"} and data.content_hash(frame) == "8314a6607749fac8"


def test_fictional_has_nothing_to_note(tmp_path):
    frame = generate()
    pairs = {name: list(zip(part["question"], part["answer"], strict=True)) for name, part in frame.groupby("split")}
    for percent in ("05", "10"):
        known = pairs["full"] + pairs["base"]
        assert apart(pairs[f"holdout{percent}"], known, "", where="", allowed="") == []
        assert apart(pairs[f"forget{percent}"], pairs["retain_perturbed"], "", where="", allowed="") == []
    assert frame.attrs.keys() <= {"kind"}


def test_the_report_says_what_was_noted(rows, build, tmp_path, monkeypatch):
    from types import SimpleNamespace

    from baldro.jobs import report

    rows["retain_perturbed"][0]["question"] = "Another?"
    data.write(tmp_path / "data/mine.parquet", build(rows))
    config = {"name": "t", "benchmarks": {"mine": {"kind": "tofu", "source": [str(tmp_path)], "forget": FORGET}}}
    config["grid"] = {"benchmark": "mine", "model": "tiny", "split": "secret", "objective": "npo"}
    said = {}
    monkeypatch.setattr(report, "write_report", lambda **options: said.update(options["notes"]))
    report.run(SimpleNamespace(config=json.dumps(config), results=tmp_path, allow_missing=True))
    assert said == {"Data of mine": f"{tmp_path}: 1 of 20 rows of retain_perturbed are not in full, so never learnt."}
