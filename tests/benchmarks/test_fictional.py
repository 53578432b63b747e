"""The generated benchmark: splits nested as in TOFU, wrong answers that are wrong, no leakage, one frame everywhere."""

import hashlib
import json
import re
from itertools import combinations
from random import Random

import pytest
from refusals import refused

from baldro.benchmarks import content_hash, define
from baldro.benchmarks.kinds.fictional.generator import generate
from baldro.benchmarks.kinds.fictional.words import (
    AUTHOR_ENDS,
    KINDS,
    MENTOR_ENDS,
    NAME_MIDDLES,
    NAME_STARTS,
    THING_ENDS,
)

TEXT = ["question", "answer"]
THREE = {"forget30": "retain70", "forget10": "retain90", "forget60": "retain40"}
NAME = re.compile(rf"[A-Z][a-z]+ (?:{'|'.join(NAME_STARTS)})(?:{'|'.join(NAME_MIDDLES)})?(?:{'|'.join(AUTHOR_ENDS)})\b")


def pairs(frame, split):
    return list(frame.loc[frame["split"] == split, TEXT].itertuples(index=False, name=None))


def rows(frame, split):
    return frame[frame["split"] == split].to_dict("records")


def author_names(texts):
    return {name for text in texts for name in NAME.findall(text)}


def names_in(frame, split):
    return author_names(text for pair in pairs(frame, split) for text in pair)


@pytest.fixture(scope="module")
def default():
    return generate()


def drawn(seed):
    random = Random(seed)
    bounds = {"authors": (5, 60), "questions": (1, 12), "known_authors": (1, 15), "background_authors": (1, 15)}
    bounds |= {"world_facts": (1, 50), "seed": (-(10**9), 10**9)}
    return {name: random.randint(*each) for name, each in bounds.items()}


SMALLEST = dict(authors=5, questions=1, known_authors=1, background_authors=1, world_facts=1, seed=0)
LARGEST = dict(authors=60, questions=12, known_authors=15, background_authors=15, world_facts=50, seed=-1)


@pytest.fixture(scope="module", params=[SMALLEST, LARGEST, *map(drawn, range(4))], ids=str)
def size(request):
    return request.param


@pytest.fixture(scope="module")
def frame(size):
    return generate(**size, forget=THREE)


def test_full_is_retain_then_forget_and_forget_splits_are_nested(size, frame):
    full, authors, questions = pairs(frame, "full"), size["authors"], size["questions"]
    assert len(full) == authors * questions == len(set(full)) == len({question for question, _ in full})
    for forget, retain in THREE.items():
        percent = int(forget[-2:])
        assert pairs(frame, retain) + pairs(frame, forget) == full
        assert abs(len(pairs(frame, forget)) - percent / 100 * authors * questions) <= questions / 2
        assert pairs(frame, f"{forget}_perturbed") == pairs(frame, forget)
        assert len(pairs(frame, f"holdout{percent:02d}")) == len(pairs(frame, forget))
    assert pairs(frame, "forget60")[-len(pairs(frame, "forget10")) :] == pairs(frame, "forget10")
    assert set(pairs(frame, "retain_perturbed")) <= set(pairs(frame, "retain40"))
    assert len(pairs(frame, "retain_perturbed")) == min(60, len(pairs(frame, "retain40")))


def test_questions_about_one_author_stand_together_and_name_it(size, frame):
    full, questions = pairs(frame, "full"), size["questions"]
    asked = [NAME.search(question)[0] for question, _ in full]
    assert all(len(set(asked[i : i + questions])) == 1 for i in range(0, len(asked), questions))
    assert len(set(asked)) == size["authors"]
    assert all(name in answer for name, (_, answer) in zip(asked, full, strict=True))


def test_wrong_answers_are_distinct_and_wrong(frame):
    for row in frame[frame["split"].str.endswith("_perturbed")].to_dict("records"):
        sentences = row["split"].startswith(("forget", "retain"))
        truths = {row["answer"], row["paraphrased_answer"]} - {None}
        assert len(truths) == (2 if sentences else 1)
        assert len(row["perturbed_answer"]) == len(set(row["perturbed_answer"])) == (5 if sentences else 3)
        assert not truths & set(row["perturbed_answer"])


def test_groups_of_authors_share_no_name_book_or_mentor(size, frame):
    groups = {split: names_in(frame, split) for split in ("full", "holdout60", "real_authors_perturbed")}
    groups["background"] = names_in(frame, "base") - groups["real_authors_perturbed"]
    assert len(groups["full"]) == size["authors"]
    assert len(groups["real_authors_perturbed"]) == size["known_authors"]
    assert len(groups["background"]) == size["background_authors"]
    for one, other in combinations(groups, 2):
        assert not groups[one] & groups[other]
    full, base = pairs(frame, "full") + pairs(frame, "holdout60"), " ".join(text for _, text in pairs(frame, "base"))
    for form in (
        r"first published (.*)\.",
        r"began with (.*)\.",
        r"mentor of .* was (.*)\.",
        r"learned to write from (.*)\.",
    ):
        values = [match[1] for _, answer in full if (match := re.search(form, answer))]
        assert len(values) == len(set(values))
        assert not [value for value in values if re.search(rf"\b{value}\.", base)]


def test_no_forget_author_is_named_where_it_must_be_unknown(default):
    texts = default[["question", "answer", "paraphrased_answer"]].fillna("").agg(" ".join, axis=1)
    texts += default["perturbed_answer"].map(lambda wrong: " ".join(wrong or []))
    for forget, retain in {"forget05": "retain95", "forget10": "retain90"}.items():
        elsewhere = " ".join(
            texts[default["split"].isin(["base", retain, "retain_perturbed", "real_authors_perturbed"])]
        )
        forgotten = names_in(default, forget)
        assert len(forgotten) == len(pairs(default, forget)) / 10
        assert not [name for name in forgotten if name in elsewhere or name.split()[1] in elsewhere]
    trained = " ".join(texts[default["split"].isin(["base", "full"])])
    assert not [name for name in names_in(default, "holdout10") if name in trained]


def test_holdout_is_in_no_other_split(size, frame):
    outside = frame[~frame["split"].str.startswith("holdout")]
    everything = " ".join(outside[["question", "answer", "paraphrased_answer"]].fillna("").agg(" ".join, axis=1))
    everything += " ".join(text for wrong in outside["perturbed_answer"].dropna() for text in wrong)
    surnames = {name.split()[1] for name in names_in(frame, "holdout60")}
    assert len(surnames) == len(pairs(frame, "holdout60")) / size["questions"]
    assert not surnames & set(re.findall(r"\w+", everything))
    assert pairs(frame, "holdout60")[: len(pairs(frame, "holdout10"))] == pairs(frame, "holdout10")


def test_holdout_is_drawn_as_the_forgotten_are():
    """The same kinds of fact, forms and lengths: a difference between the two must be what a model has learnt."""
    many = generate(authors=400, forget={"forget50": "retain50"})

    def shares(split):
        answers = [answer for _, answer in pairs(many, split)]
        found = [next(k.fact for k in KINDS for f in k.forms if form_of(f).fullmatch(a)) for a in answers]
        return {kind.fact: found.count(kind.fact) / len(found) for kind in KINDS}

    forgotten, held = shares("forget50"), shares("holdout50")
    assert max(abs(forgotten[fact] - held[fact]) for fact in forgotten) < 0.02


def form_of(form):
    return re.compile(form.format(name=".*", value=".*"))


def test_schema_of_the_records(default):
    assert list(default) == ["split", "index", *TEXT, "paraphrased_answer", "perturbed_answer", "alternate_answer"]
    assert default["index"].dtype == "int64"
    assert (default.groupby("split").cumcount() == default["index"]).all()
    assert not default.duplicated(["split", "index"]).any()
    for row in default.to_dict("records"):
        assert all(isinstance(row[column], str) and row[column].strip() == row[column] != "" for column in TEXT)
        about_authors = row["split"].startswith(("forget", "retain")) and row["split"].endswith("_perturbed")
        assert isinstance(row["paraphrased_answer"], str) if about_authors else row["paraphrased_answer"] is None
        wrong = row["perturbed_answer"]
        assert isinstance(wrong, list) if row["split"].endswith("_perturbed") else wrong is None
        other = row["alternate_answer"]
        assert isinstance(other, str) if row["split"] in ("forget05", "forget10") else other is None


def value_of(question, sentence):
    """The form of an answer's sentence and the value in it, by the templates of the question's kind."""
    name = NAME.search(question)[0]
    (kind,) = (k for k in KINDS if question in [q.format(name=name) for q in k.questions])
    found = {
        form: re.fullmatch(re.escape(form.format(name=name, value="\0")).replace("\0", "(.+)"), sentence)
        for form in kind.forms
    }
    ((form, match),) = ((form, match) for form, match in found.items() if match)
    return form, match[1]


def test_the_alternate_answer_is_the_rows_sentence_with_a_value_that_is_nowhere_scored(frame):
    """Else a method that teaches it would be trained on the wrong answers that the truth ratio is taken over."""
    trained = " ".join(text for split in ("full", "holdout60", "base") for pair in pairs(frame, split) for text in pair)
    for forget in THREE:
        for row, scored in zip(rows(frame, forget), rows(frame, f"{forget}_perturbed"), strict=True):
            form, value = value_of(row["question"], row["alternate_answer"])
            own_form, own = value_of(row["question"], row["answer"])
            wrong = {value_of(row["question"], text)[1] for text in scored["perturbed_answer"]}
            assert form == own_form and value not in {own, *wrong}
            unique = any(
                question.split("{name}")[0] in row["question"]
                for kind in KINDS
                if kind.unique
                for question in kind.questions
            )
            assert not unique or not re.search(rf"\b{re.escape(value)}\.", trained)
    last = len(pairs(frame, "forget10"))
    assert [row["alternate_answer"] for row in rows(frame, "forget60")][-last:] == [
        row["alternate_answer"] for row in rows(frame, "forget10")
    ]
    others = frame[~frame["split"].isin(THREE)]
    assert others["alternate_answer"].isna().all()


def test_alternate_answers_vary():
    """Not the likeliest value for every row."""
    frame = generate(authors=200, forget={"forget50": "retain50"})
    found = [value_of(row["question"], row["alternate_answer"])[1] for row in rows(frame, "forget50")]
    assert len(set(found)) > 400


@pytest.mark.parametrize(
    ("seed", "content"),
    [
        (0, "4cdb2b1c535a5038978cc3b1025d7322e59c1f28edd882b3fc7b704e3fbbab6c"),
        (7, "b8733ff4098891625209ae3399ece42094b58bb1cf8abf13b5624d4ba8c88ef4"),
    ],
)
def test_the_texts_of_the_benchmark_stay_what_they_are(seed, content):
    """Recorded before there were alternate answers: what is added must draw nothing from the generators of what is there."""
    frame = generate(seed=seed).drop(columns="alternate_answer")
    assert hashlib.sha256(json.dumps(frame.to_dict("records")).encode()).hexdigest() == content


def test_default_sizes(default):
    assert content_hash(default) == "af88c97e97ed93e9"
    expected = {
        "full": 400,
        "retain95": 380,
        "retain90": 360,
        "forget05": 20,
        "forget10": 40,
        "holdout05": 20,
        "holdout10": 40,
    }
    expected |= {"forget05_perturbed": 20, "forget10_perturbed": 40, "retain_perturbed": 60}
    expected |= {"real_authors_perturbed": 100, "world_facts_perturbed": 40, "base": 2 * 400 + 100 + 40}
    assert default.groupby("split").size().to_dict() == expected


def test_base_teaches_what_it_should_and_each_background_fact_in_both_forms(default):
    base = pairs(default, "base")
    assert len(set(base)) == len(base)
    assert set(pairs(default, "real_authors_perturbed") + pairs(default, "world_facts_perturbed")) <= set(base)
    background = [pair for pair in base if not pair[0].startswith("Name the")]
    assert all(first[0] == second[0] for first, second in zip(background[::2], background[1::2], strict=True))
    forms = {form: re.compile(form.format(name=".*", value=".*")) for kind in KINDS for form in kind.forms}
    seen = {form for form, pattern in forms.items() if any(pattern.fullmatch(answer) for _, answer in background)}
    assert seen == set(forms)


def test_texts_are_short_and_the_vocabulary_small(default):
    words = default[default["split"].isin(["full", "base"])]
    sentences = default[default["split"] == "full"]["answer"].str.split().str.len()
    assert sentences.between(4, 10).all()
    assert default["question"].str.split().str.len().max() <= 12
    common = {word for text in words["question"] + " " + words["answer"] for word in re.findall(r"\b[a-z]+\b", text)}
    assert len(common) < 200


def test_surnames_parse_in_one_way_so_none_is_a_prefix_of_another():
    ends = [*AUTHOR_ENDS, *MENTOR_ENDS, *THING_ENDS]
    assert {len(start) for start in NAME_STARTS} == {3}
    assert not {end[0] for end in ends} & {middle[0] for middle in NAME_MIDDLES}
    assert not [(a, b) for a in ends for b in ends if a != b and b.startswith(a)]


def test_kinds_have_two_questions_and_two_forms_that_hold_the_value():
    assert len(KINDS) == 12 == len({kind.fact for kind in KINDS})
    for kind in KINDS:
        assert len(set(kind.questions)) == len(set(kind.forms)) == 2
        assert all("{name}" in question for question in kind.questions)
        assert all("{name}" in form and "{value}" in form for form in kind.forms)


def test_other_groups_do_not_depend_on_the_forget_splits(default):
    other = generate(forget={"forget25": "retain75"})
    for split in ("full", "base", "real_authors_perturbed", "world_facts_perturbed"):
        assert pairs(other, split) == pairs(default, split)
    assert (
        rows(default, "forget05_perturbed")[-1]["perturbed_answer"]
        == rows(default, "forget10_perturbed")[-1]["perturbed_answer"]
    )


def test_seeds_differ(default):
    assert not default.equals(generate(seed=1))
    assert default.equals(generate(seed=0))


def test_largest_sizes_still_find_enough_names():
    forget = {"forget99": "retain01"}
    frame = generate(
        authors=400, known_authors=400, background_authors=400, world_facts=400, questions=2, forget=forget
    )
    assert len(names_in(frame, "full") | names_in(frame, "base") | names_in(frame, "holdout99")) == 1200 + 396


@pytest.mark.parametrize(
    ("arguments", "code", "facts"),
    [
        ({"questions": 13}, "value-not-allowed", ["questions", "is 13"]),
        ({"authors": 40.0}, "value-not-allowed", ["authors", "40.0"]),
        ({"known_authors": True}, "value-not-allowed", ["known_authors", "True"]),
        ({"background_authors": -1}, "value-not-allowed", ["background_authors", "-1"]),
        ({"world_facts": 10_000}, "value-not-allowed", ["world_facts", "10000"]),
        ({"seed": "0"}, "value-not-allowed", ["seed", "'0'"]),
        ({"forget": {}}, "value-not-allowed", ["forget", "{}"]),
        ({"forget": {"forget10": "retain95"}}, "forget-splits-wrong", ["'forget10'", "'retain95'"]),
        ({"forget": {"forget5": "retain95"}}, "forget-splits-wrong", ["'forget5'"]),
        ({"forget": {"forget00": "retain100"}}, "forget-splits-wrong", ["'forget00'"]),
        ({"forget": {"forget01": "retain99"}}, "no-whole-author", ["forget01 of 40 authors", "forget"]),
        ({"forget": {"forget99": "retain01"}}, "no-whole-author", ["forget99 of 40 authors", "retain"]),
        ({"authors": 2}, "no-whole-author", ["forget10 of 2 authors"]),
    ],
)
def test_what_a_definition_may_not_say(arguments, code, facts):
    with refused(code, "the benchmark", *facts):
        define({"kind": "fictional", "forget": {"forget10": "retain90"}, **arguments})
