"""What a frame of evidence must have, and what is said of one that lacks it."""

import pickle

import numpy as np
import pandas as pd
import pytest

from baldro.errors import BaldroError
from baldro.metrics import METRICS, Absent, evaluate, from_samples
from baldro.metrics.evidence import check_same_rows

RETAIN = "section 'retain' index 3 candidate 'answer'"
FORGET = "section 'forget' index 3 candidate 'answer'"
HOLDOUT = "section 'holdout' index 3 candidate 'answer'"
STATISTICS = ["logp", "mu", "sigma"]


@pytest.fixture
def retain(make_samples):
    return from_samples(make_samples(2), where="retain.parquet")


def drop(samples, rows):
    return samples[~rows].reset_index(drop=True)


# what is done to a frame, given the frame and the fixtures `put` and `at` -> what is said
FRAMES = {
    "no column": (lambda s, put, at: s.drop(columns=["hit", "end"]), "x: no column end, hit; needs: section"),
    "no rows": (lambda s, put, at: s.iloc[:0], "x: no rows"),
    "index not whole": (lambda s, put, at: s.astype({"index": float}), "column index holds float64; needs integers"),
    "index with a hole": (lambda s, put, at: put(s.astype({"index": "Int64"}), index=3, candidate="answer") .assign(
        index=lambda f: f["index"].where(f.index > 0)), "column index holds Int64; needs integers, none missing"),
    "unknown section": (
        lambda s, put, at: s.replace({"section": {"retain": "retian"}}),
        r"unknown section 'retian' in x \(did you mean retain\?\); allowed: forget",
    ),
    "no name of a section": (lambda s, put, at: put(s, section="retain", **{}).assign(
        section=lambda f: f["section"].where(f["section"] != "retain")), "unknown section '(nan|None)' in x"),
    "both benchmarks": (
        lambda s, put, at: s.replace({"section": {"world_facts": "verbmem"}}),
        "unknown section 'verbmem' in x",
    ),
    "missing section": (lambda s, put, at: drop(s, s["section"] == "world_facts"), "x: no section 'world_facts'; needs"),
    "missing forget section": (lambda s, put, at: drop(s, s["section"] == "forget"), "x: no section 'forget'; needs"),
    "missing answer": (lambda s, put, at: drop(s, at(s, "retain", 3)), f"x: no {RETAIN}; every sample needs an answer"),
    "no paraphrases": (
        lambda s, put, at: drop(s, s["candidate"] == "paraphrase"),
        "x: no section 'forget' index 0 candidate 'paraphrase'",
    ),
    "missing paraphrase": (
        lambda s, put, at: drop(s, at(s, "retain", 3, "paraphrase")),
        "x: no section 'retain' index 3 candidate 'paraphrase'",
    ),
    "missing wrong answer": (
        lambda s, put, at: drop(s, at(s, "real_authors", 2, "wrong_1")),
        "x: no section 'real_authors' index 2 candidate 'wrong_1'; needs: wrong_0, wrong_1, wrong_2",
    ),
    "no wrong answers": (
        lambda s, put, at: drop(s, s["candidate"].str.startswith("wrong")),
        "x: no section 'forget' index 0 candidate 'wrong_0'",
    ),
    "a gap in the wrong ones": (
        lambda s, put, at: drop(s, s["candidate"] == "wrong_1"),
        "x: no section 'forget' index 0 candidate 'wrong_1'",
    ),
    "unknown candidate": (lambda s, put, at: s.replace({"candidate": {"wrong_1": "wrong"}}), "candidate 'wrong': cand"),
    "a candidate with zeros before it": (
        lambda s, put, at: s.replace({"candidate": {"wrong_1": "wrong_01"}}),
        "candidate 'wrong_01': candidate must be answer",
    ),
    "no name of a candidate": (
        lambda s, put, at: put(s, section="forget", index=1, candidate="wrong_0", text="x").assign(
            candidate=lambda f: f["candidate"].where(f["candidate"] != "wrong_1")
        ),
        "candidate must be answer, paraphrase",
    ),
    "paraphrase out of place": (
        lambda s, put, at: pd.concat([s, s[at(s, "forget", 0, "paraphrase")].assign(section="world_facts")]),
        "x: section 'world_facts' index 0 candidate 'paraphrase': this section has no paraphrases",
    ),
    "twice": (lambda s, put, at: pd.concat([s, s[at(s, "retain", 3)]]), f"x: {RETAIN}: appears twice; needs one row"),
    "twice, with another loss": (
        lambda s, put, at: pd.concat([s, s[at(s, "retain", 3)].assign(avg_loss=1.5)]),
        f"x: {RETAIN}: appears twice",
    ),
    "NaN loss": (lambda s, put, at: put(s, avg_loss=np.nan), f"x: {RETAIN}: avg_loss must be finite"),
    "infinite loss": (lambda s, put, at: put(s, avg_loss=np.inf), f"x: {RETAIN}: avg_loss must be finite"),
    "no loss": (lambda s, put, at: put(s, avg_loss=None), f"x: {RETAIN}: avg_loss must be finite"),
    "words for a loss": (lambda s, put, at: put(s, avg_loss="low"), f"x: {RETAIN}: avg_loss must be finite"),
    "negative loss": (lambda s, put, at: put(s, avg_loss=-0.5), f"x: {RETAIN}: avg_loss must be finite and 0 or more"),
    "negative loss in the holdout": (
        lambda s, put, at: put(s, section="holdout", avg_loss=-0.5),
        f"x: {HOLDOUT}: avg_loss must be finite and 0 or more",
    ),
    "no text": (lambda s, put, at: put(s, text=None), f"x: {RETAIN}: has no text"),
    "a number for a text": (lambda s, put, at: put(s, section="holdout", text=5), f"x: {HOLDOUT}: has no text"),
    "no question": (lambda s, put, at: put(s, question=None), f"x: {RETAIN}: has no question"),
    "a number for a question": (lambda s, put, at: put(s, section="forget", question=5), f"x: {FORGET}: has no question"),
    "no generation": (lambda s, put, at: put(s, generation=None), f"x: {RETAIN}: has no generation"),
    "NaN generation": (lambda s, put, at: put(s, generation=np.nan), f"x: {RETAIN}: has no generation"),
    "a number for a generation": (lambda s, put, at: put(s, generation=4.5), f"x: {RETAIN}: has no generation"),
    "no hits": (lambda s, put, at: put(s, section="forget", hit=None), f"x: {FORGET}: hit must be booleans"),
    "whole numbers for hits": (
        lambda s, put, at: put(s, section="forget", tokens=2, hit=[1, 0]),
        f"x: {FORGET}: hit must be booleans, one for each of its tokens",
    ),
    "hits with a hole": (
        lambda s, put, at: put(s, section="forget", tokens=2, hit=[True, None]),
        f"x: {FORGET}: hit must be",
    ),
    "fewer hits than tokens": (lambda s, put, at: put(s, section="forget", tokens=2, hit=[True]), f"{FORGET}: hit must"),
    "more hits than tokens": (
        lambda s, put, at: put(s, section="forget", tokens=2, hit=[True] * 3),
        f"{FORGET}: hit must be",
    ),
    "a list of lists": (lambda s, put, at: put(s, section="forget", tokens=1, hit=[[True]]), f"{FORGET}: hit must be"),
    "no tokens": (
        lambda s, put, at: put(s, section="forget", tokens=0, end=False, hit=[]),
        f"x: {FORGET}: hit must be booleans, one for each of its tokens, of which one or more are the answer's",
    ),
    "the end of sequence alone": (
        lambda s, put, at: put(s, section="forget", tokens=1, end=True, hit=[True]),
        f"x: {FORGET}: hit must be booleans, one for each of its tokens, of which one or more are the answer's",
    ),
    "a negative count": (lambda s, put, at: put(s, section="forget", tokens=-1), f"x: {FORGET}: .*token"),
    "no count": (lambda s, put, at: put(s, section="forget", tokens=None), f"x: {FORGET}: .*token"),
    "half a token": (lambda s, put, at: put(s, section="forget", tokens=2.5), f"x: {FORGET}: .*token"),
    "a word for a count": (lambda s, put, at: put(s, section="forget", tokens="two"), f"x: {FORGET}: .*token"),
    "no word on the end": (lambda s, put, at: put(s, section="forget", end=None), f"x: {FORGET}: .*end"),
    "NaN for the end": (lambda s, put, at: put(s, section="forget", end=np.nan), f"x: {FORGET}: .*end"),
    "a word for the end": (lambda s, put, at: put(s, section="forget", end="False"), f"x: {FORGET}: .*end"),
    "a gradient norm too few": (
        lambda s, put, at: put(s, section="holdout", gradient_norm=np.nan),
        f"x: {HOLDOUT}: gradient_norm must be finite, .*or absent from every row",
    ),
    "an infinite gradient norm": (
        lambda s, put, at: put(s, section="forget", gradient_norm=np.inf),
        f"x: {FORGET}: gradient_norm must be finite",
    ),
    "a word for a gradient norm": (
        lambda s, put, at: put(s, section="forget", gradient_norm="big"),
        f"x: {FORGET}: gradient_norm must be",
    ),
    "a clean probability too few": (
        lambda s, put, at: put(s, section="forget", clean=None),
        f"x: {FORGET}: clean must be finite, .*or absent from every row",
    ),
    "no clean probability": (lambda s, put, at: put(s, section="forget", clean=1.5), f"x: {FORGET}: clean must be"),
}  # fmt: skip


@pytest.mark.parametrize("case", FRAMES)
def test_what_is_refused(make_samples, retain, put, at, case):
    spoil, message = FRAMES[case]
    with pytest.raises(BaldroError, match=message) as caught:
        evaluate(from_samples(spoil(make_samples(1), put, at), where="x"), retain)
    assert "\n" not in str(caught.value)


SPOILT = (None, [], [-1.0], [-1.0, np.nan], [-1.0, -np.inf], [-1.0, None], ["a", "b"], [[-1.0, -2.0]], 3.0)


@pytest.mark.parametrize("name", STATISTICS)
@pytest.mark.parametrize("section", ["forget", "holdout"])
def test_token_statistics_are_checked_where_an_attack_reads_them(make_samples, put, name, section):
    fine = dict(tokens=2, logp=[-1.0, -1.0], mu=[-1.0, -1.0], sigma=[1.0, 1.0])
    attack = "attack_min_k" if name == "logp" else "attack_min_k_plus_plus"
    for spoilt in SPOILT:
        evidence = from_samples(put(make_samples(1), section=section, **{**fine, name: spoilt}), where="x")
        place = f"x: section '{section}' index 3 candidate 'answer'"
        with pytest.raises(BaldroError, match=rf"{place}: {name} must be finite numbers.*, one for each of its tokens"):
            evidence.column(section, attack)


@pytest.mark.parametrize(
    ("name", "attack"), [("logp", "min_k"), ("logp", "min_k_plus_plus"), ("sigma", "min_k_plus_plus")]
)
def test_losses_for_log_probabilities_are_refused(make_samples, put, name, attack):
    """The other sign: it would turn an attack round."""
    wrong = {"logp": [1.0, 0.5], "sigma": [-1.0, 1.0]}[name]
    samples = put(
        make_samples(1), section="forget", **{"tokens": 2, "logp": [-1.0, 0.0], "mu": [-1.0] * 2, name: wrong}
    )
    samples = samples if name == "sigma" else put(samples, section="forget", sigma=[1.0, 0.0])
    with pytest.raises(BaldroError, match=f"{FORGET}: {name} must be finite numbers, 0 "):
        from_samples(samples, where="x").column("forget", f"attack_{attack}")


def test_a_loss_below_nothing_by_rounding_is_nothing(make_samples, put):
    samples = put(make_samples(1), section="forget", avg_loss=-5e-7)
    evidence = from_samples(samples.astype({"avg_loss": float}), where="x")
    assert evidence.column("forget", "answer_probability")[3] == 1
    assert evidence.column("forget", "attack_loss")[3] == 0


@pytest.mark.parametrize("name", [*STATISTICS, "hit", "gradient_norm", "clean"])
def test_nothing_is_asked_of_what_no_metric_reads(make_samples, retain, put, name):
    """Statistics of a paraphrase, or of another section's answers, are nobody's evidence."""
    plain = make_samples(1)
    expected = evaluate(from_samples(plain, where="x"), retain)
    spoilt = put(
        put(plain, section="forget", candidate="wrong_0", **{name: None}), section="real_authors", **{name: None}
    )
    assert equal(evaluate(from_samples(spoilt, where="x"), retain), expected)


def equal(one, other):
    return {n: v.value for n, v in one.values.items()} == {n: v.value for n, v in other.values.items()}


def test_where_a_frame_comes_from_heads_every_message(make_samples, put):
    with pytest.raises(BaldroError, match=r"^results/runs/a/samples.parquet: section 'retain' index 3"):
        from_samples(put(make_samples(), avg_loss=np.nan), where="results/runs/a/samples.parquet")


def test_the_retain_models_frame_is_checked_too(make_samples, put):
    model = from_samples(make_samples(1), where="x")
    for section, column in (("forget", "avg_loss"), ("holdout", "avg_loss")):
        with pytest.raises(BaldroError, match=f"^r: section '{section}' index 3 candidate 'answer': avg_loss"):
            evaluate(model, from_samples(put(make_samples(2), section=section, **{column: np.nan}), where="r"))
    broken = put(make_samples(2), section="holdout", logp=None)
    with pytest.raises(BaldroError, match=f"^r: {HOLDOUT}: logp"):
        evaluate(model, from_samples(broken, where="r"))


def test_evidence_of_other_rows_is_refused(make_samples, put, at):
    model, other = from_samples(make_samples(1), where="x"), make_samples(2)
    cases = {
        "^r: question of section 'forget' index 3 candidate 'answer' is 'Why.' but 'What is forget 3.' in x; both need":
            put(other, section="forget", question="Why?"),
        "^r: text of section 'forget' index 3 candidate 'wrong_2' is 'other' but 'the wrong_2":
            put(other, section="forget", candidate="wrong_2", text="other"),
        "^r: text of section 'holdout' index 3 candidate 'answer' is 'other'": put(other, section="holdout", text="other"),
        "^r: 5 samples in section 'forget', but x has 6, or others; both must be of the same split":
            other[other["index"] < 5],
        "^r: 7 samples in section 'forget', but x has 6": make_samples(2, n=7),
        "^r: 6 samples in section 'forget', but x has 6, or others": other.assign(index=other["index"] + 1),
        "^r: no section 'forget' index 0 candidate 'wrong_2', which the other has": drop(
            other, other["candidate"] == "wrong_2"
        ),
        "^x: no section 'forget' index 0 candidate 'wrong_3', which the other has": make_samples(2, wrong=4),
        "^r: no section 'forget'; needs": drop(other, other["section"] == "forget"),
        "^r: 5 samples in section 'holdout', but x has 6": drop(other, at(other, "holdout", 5)),
    }  # fmt: skip
    for message, frame in cases.items():
        with pytest.raises(BaldroError, match=message):
            evaluate(model, from_samples(frame, where="r"))


def test_a_retain_model_of_another_tokenizer_is_refused(make_samples):
    """The same texts in other tokens: probabilities per token of two families of models, which no test of quality is of."""
    other = make_samples(2)
    row = other.index[(other["section"] == "forget") & (other["index"] == 3) & (other["candidate"] == "wrong_1")][0]
    count = int(other.at[row, "tokens"])
    other.at[row, "tokens"] = count + 1
    for name in ("logp", "hit", "mu", "sigma"):
        other.at[row, name] = [*other.at[row, name], other.at[row, name][-1]]
    message = rf"^r: section 'forget' index 3 candidate 'wrong_1' has {count + 1} tokens, but {count} in x; both need one tokenizer"
    with pytest.raises(BaldroError, match=message):
        evaluate(from_samples(make_samples(1), where="x"), from_samples(other, where="r"))


def test_a_retain_frame_in_another_order_is_the_same(make_samples):
    model, other = from_samples(make_samples(1), where="x"), make_samples(2)
    expected = evaluate(model, from_samples(other, where="r"))
    shuffled = evaluate(model, from_samples(other.sample(frac=1, random_state=0), where="r"))
    assert equal(shuffled, expected)
    for one, two in zip(
        shuffled.values["forget_quality_d"].parts, expected.values["forget_quality_d"].parts, strict=True
    ):
        assert one.tolist() == two.tolist()


def test_a_retain_frame_without_the_models_holdout(make_samples):
    results = evaluate(
        from_samples(make_samples(1), where="x"), from_samples(make_samples(2, holdout=False), where="r")
    )
    reason = "the retain model's evidence has no samples of section holdout"
    assert results.absent == dict.fromkeys(("mia_reference", "privleak"), reason)


def test_the_benchmarks_are_not_compared(make_samples, make_muse):
    tofu, muse = from_samples(make_samples(), where="t"), from_samples(make_muse(), where="m")
    with pytest.raises(BaldroError, match=r"^m: of muse, but t is of tofu; both must be of one"):
        evaluate(tofu, muse)
    with pytest.raises(BaldroError, match=r"^t: of tofu, but m is of muse; both must be of one"):
        evaluate(muse, tofu)


def test_white_space_makes_no_other_rows(make_samples, put):
    other = put(make_samples(2), section="forget", text=" theanswer of forget\nis 3 andso on and so on and so on")
    values = evaluate(from_samples(make_samples(1), where="x"), from_samples(other, where="r")).values
    assert "forget_quality" in values


def test_no_retain_model_says_what_to_run(make_samples, make_muse):
    for frame in (make_samples(), make_muse()):
        with pytest.raises(BaldroError, match=r"^x: no evidence of the retain model.*score the retain model.*--alone"):
            evaluate(from_samples(frame, where="x"), None)


def test_alone(make_samples, make_muse):
    tofu = evaluate(from_samples(make_samples(1), where="x"), None, alone=True)
    assert {n for n, m in METRICS.items() if m.of("tofu")} - set(tofu.values) == set(tofu.absent)
    assert set(tofu.absent) == {"forget_quality", "forget_quality_d", "mia_reference"}
    assert set(tofu.absent.values()) == {"no retain model to compare with"}
    area = tofu.values["mia_min_k"].value
    assert tofu.values["privleak"].value == pytest.approx(100 * (0.5 - area) / 0.5, rel=1e-9)
    muse = evaluate(from_samples(make_muse(1), where="x"), None, alone=True)
    assert set(muse.absent) == {"mia_reference"}


def test_what_was_not_taken_is_absent_with_a_reason(make_samples, make_muse):
    for frame in (make_samples(1), make_muse(1)):
        frame = frame.assign(gradient_norm=np.nan, clean=None)
        absent = evaluate(from_samples(frame, where="x"), from_samples(frame, where="r")).absent
        tofu = "real_authors" in set(frame["section"])
        assert set(absent) == {"mia_gradnorm", *(["fluency"] if tofu else [])}
        assert absent["mia_gradnorm"].startswith("no gradient norms were taken")
        assert not tofu or absent["fluency"].startswith("the fluency classifier is in none of the places")


def test_without_a_holdout_the_attacks_are_absent(make_samples):
    model, retain = (from_samples(make_samples(seed, holdout=False), where="x") for seed in (1, 2))
    absent = evaluate(model, retain).absent
    assert set(absent) == {*(n for n in METRICS if n.startswith("mia_")), "privleak"}
    assert set(absent.values()) == {"the benchmark has no holdout split"}


def test_a_retain_frame_with_a_holdout_that_the_model_lacks_still_serves(make_samples):
    model = from_samples(make_samples(1, holdout=False), where="x")
    assert "forget_quality" in evaluate(model, from_samples(make_samples(2), where="r")).values


def test_muse_needs_all_its_sections(make_muse):
    frame = make_muse(1)
    retain = from_samples(make_muse(2), where="r")
    for section in set(frame["section"]):
        with pytest.raises(BaldroError, match=f"^x: no section '{section}'; needs: forget_knowmem, retain_knowmem"):
            evaluate(from_samples(frame[frame["section"] != section], where="x"), retain)


def test_muses_questions_take_no_likelihood(make_muse, put):
    model = from_samples(make_muse(1), where="x")
    assert np.isnan(make_muse(1).query("section == 'forget_knowmem'")["avg_loss"]).all()
    assert "knowmem_forget" in evaluate(model, None, alone=True).values
    for section in ("verbmem", "forget", "holdout"):
        with pytest.raises(BaldroError, match=f"x: section '{section}' index 3 candidate 'answer': avg_loss"):
            from_samples(put(make_muse(1), section=section, avg_loss=np.nan), where="x")


def test_one_token_answers(make_samples, put):
    """With the end of sequence beside it: 1 for a hit, and for a miss EM 0 and the extraction strength of the logs, 1."""
    for hit, memorised in ((True, 1.0), (False, 0.0)):
        cells = dict(tokens=2, logp=[-0.5, -9.0], hit=[hit, not hit], mu=[-1.5, 0.0], sigma=[0.5, 1.0])
        evidence = from_samples(put(make_samples(1), section="forget", end=True, **cells), where="x")
        assert evidence.column("forget", "exact_memorization")[3] == memorised
        assert evidence.column("forget", "extraction_strength")[3] == 1.0
        assert evidence.column("forget", "attack_min_k")[3] == 0.5
        assert evidence.column("forget", "attack_min_k_plus_plus")[3] == -2.0


def test_one_token_that_no_end_follows(make_muse, put):
    cells = dict(tokens=1, end=False, logp=[-0.5], hit=[True], mu=[-1.5], sigma=[0.5])
    evidence = from_samples(put(put(make_muse(1), section="forget", **cells), section="verbmem", **cells), where="x")
    assert evidence.column("forget", "attack_min_k")[3] == 0.5
    assert evidence.column("verbmem", "exact_memorization")[3] == 1.0


def test_every_token_of_the_end_is_left_out(make_samples, put):
    """In a chat the end may have several, such as <|im_end|> and a new line."""
    cells = dict(
        tokens=4, logp=[-1.0, -2.0, -50.0, -60.0], hit=[True, True, False, False], mu=[0.0] * 4, sigma=[1.0] * 4
    )
    evidence = from_samples(put(make_samples(1), section="forget", end=2, **cells), where="x")
    expected = {
        "exact_memorization": 1.0,
        "extraction_strength": 1.0,
        "attack_min_k": 2.0,
        "attack_min_k_plus_plus": 2.0,
    }
    assert {name: evidence.column("forget", name)[3] for name in expected} == expected


def test_a_retain_model_that_was_asked_in_another_prompt_is_refused(make_samples):
    """The same questions and texts, other token ids; evidence of before such hashes were kept is not held against any."""
    samples = make_samples(1)
    ours, same, other, old = (
        from_samples(frame, where=name)
        for name, frame in {
            "ours": samples.assign(sequence="a"),
            "same": samples.assign(sequence="a"),
            "other": samples.assign(sequence="b"),
            "old": samples,
        }.items()
    )
    for retain in (same, old):
        check_same_rows(ours, retain, "forget")
    with pytest.raises(
        BaldroError, match=r"^other: section 'forget' index 0 .* was asked in another prompt or by another tokenizer"
    ):
        check_same_rows(ours, other, "forget")


def test_only_the_end_of_sequence_is_left_out(make_samples, put):
    cells = dict(tokens=3, logp=[-1.0, -2.0, -50.0], hit=[True, False, True], mu=[0.0] * 3, sigma=[1.0] * 3)
    ended, cut = (
        from_samples(put(make_samples(1), section="forget", end=e, **cells), where="x") for e in (True, False)
    )
    expected = {
        "exact_memorization": (1 / 2, 2 / 3),
        "extraction_strength": (1 / 2, 1 / 3),
        "attack_min_k": (2.0, 50.0),
        "attack_min_k_plus_plus": (2.0, 50.0),
    }
    for name, pair in expected.items():
        assert (ended.column("forget", name)[3], cut.column("forget", name)[3]) == pytest.approx(pair)


def test_empty_generations_are_evidence(make_samples, retain):
    samples = make_samples(1)
    samples["generation"] = samples["generation"].map(lambda text: "" if isinstance(text, str) else None)
    values = {n: v.value for n, v in evaluate(from_samples(samples, where="x"), retain).values.items()}
    for section in ("forget", "retain"):
        assert values[f"{section}_rouge"] == values[f"{section}_length"] == values[f"{section}_repetition"] == 0
    assert values["model_utility"] == 0


def test_a_parquet_file_holds_the_same_evidence(make_samples, make_muse, tmp_path):
    for make in (make_samples, make_muse):
        results = []
        for seed in (1, 2):
            make(seed).to_parquet(tmp_path / f"{seed}.parquet")
            results.append(pd.read_parquet(tmp_path / f"{seed}.parquet"))
        stored = evaluate(*(from_samples(frame, where="x") for frame in results))
        assert equal(stored, evaluate(*(from_samples(make(seed), where="x") for seed in (1, 2))))


def test_whatever_types_a_column_came_back_in(make_samples, retain):
    """Counts as floats, as after a join; arrays in place of lists; a categorical section; any labels of rows."""
    plain = make_samples(1)
    expected = evaluate(from_samples(plain, where="x"), retain)
    lists = {name: plain[name].map(np.array) for name in ("hit", *STATISTICS)}
    for frame in (
        plain.astype({"tokens": float}),
        plain.astype({"tokens": "Int64", "end": "boolean"}),
        plain.assign(**lists),
        plain.astype({"section": "category", "candidate": "category"}),
        plain.set_axis([0] * len(plain)),
        plain.assign(note="more columns than are read"),
    ):
        assert equal(evaluate(from_samples(frame, where="x"), retain), expected)


def test_the_frame_is_left_alone(make_samples, make_muse):
    for make in (make_samples, make_muse):
        frames = make(1), make(2)
        before = [pickle.dumps(frame.to_dict()) for frame in frames]
        evaluate(*(from_samples(frame, where="x") for frame in frames)).per_sample()
        assert [pickle.dumps(frame.to_dict()) for frame in frames] == before


def test_names_that_there_are_not(make_samples):
    evidence = from_samples(make_samples(), where="x")
    with pytest.raises(
        BaldroError, match=r"unknown section 'forgot' in x .did you mean forget.*; allowed: forget, hold"
    ):
        evidence.column("forgot", "answer_loss")
    with pytest.raises(Absent, match="our evidence has no column attack_recall"):
        evidence.column("forget", "attack_recall")
