"""What a frame of evidence must have, and what is said of one that lacks it."""

import pickle

import numpy as np
import pandas as pd
import pytest
from refusals import refused

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


# what is done to a frame, given the frame and the fixtures `put` and `at` -> code of the error, and what it names
FRAMES = {
    "no column": (lambda s, put, at: s.drop(columns=["hit", "end"]), "column-missing", "end, hit"),
    "no rows": (lambda s, put, at: s.iloc[:0], "no-rows"),
    "index not whole": (lambda s, put, at: s.astype({"index": float}), "index-not-integers", "float64"),
    "index with a hole": (lambda s, put, at: put(s.astype({"index": "Int64"}), index=3, candidate="answer") .assign(
        index=lambda f: f["index"].where(f.index > 0)), "index-not-integers", "Int64"),
    "unknown section": (
        lambda s, put, at: s.replace({"section": {"retain": "retian"}}), "unknown-section", "'retian'", "mean retain"),
    "no name of a section": (lambda s, put, at: put(s, section="retain", **{}).assign(
        section=lambda f: f["section"].where(f["section"] != "retain")), "unknown-section"),
    "missing section": (lambda s, put, at: drop(s, s["section"] == "world_facts"), "section-missing", "'world_facts'"),
    "missing answer": (lambda s, put, at: drop(s, at(s, "retain", 3)), "row-missing", RETAIN),
    "missing paraphrase": (
        lambda s, put, at: drop(s, at(s, "retain", 3, "paraphrase")),
        "row-missing", "section 'retain' index 3 candidate 'paraphrase'"),
    "missing wrong answer": (
        lambda s, put, at: drop(s, at(s, "real_authors", 2, "wrong_1")),
        "row-missing", "section 'real_authors' index 2 candidate 'wrong_1'", "wrong_0, wrong_1, wrong_2"),
    "no wrong answers": (
        lambda s, put, at: drop(s, s["candidate"].str.startswith("wrong") & s["section"].eq("retain")), "row-missing", "'wrong_0'"),
    "a gap in the wrong ones": (
        lambda s, put, at: drop(s, s["candidate"].eq("wrong_1") & s["section"].eq("retain")), "row-missing", "'wrong_1'"),
    "unknown candidate": (lambda s, put, at: s.replace({"candidate": {"wrong_1": "wrong"}}), "unknown-candidate", "'wrong'"),
    "a candidate with zeros before it": (
        lambda s, put, at: s.replace({"candidate": {"wrong_1": "wrong_01"}}), "unknown-candidate", "'wrong_01'"),
    "no name of a candidate": (
        lambda s, put, at: s.assign(candidate=s["candidate"].where(s["candidate"] != "wrong_1")), "unknown-candidate"),
    "paraphrase out of place": (
        lambda s, put, at: pd.concat([s, s[at(s, "forget", 0, "paraphrase")].assign(section="world_facts")]),
        "unknown-candidate", "section 'world_facts' index 0 candidate 'paraphrase'"),
    "twice": (lambda s, put, at: pd.concat([s, s[at(s, "retain", 3)].assign(avg_loss=1.5)]), "row-twice", RETAIN),
    "NaN loss": (lambda s, put, at: put(s, avg_loss=np.nan), "number-out-of-range", RETAIN, "avg_loss"),
    "infinite loss": (lambda s, put, at: put(s, avg_loss=np.inf), "number-out-of-range", RETAIN, "avg_loss"),
    "words for a loss": (lambda s, put, at: put(s, avg_loss="low"), "number-out-of-range", RETAIN, "avg_loss"),
    "negative loss": (
        lambda s, put, at: put(s, section="holdout", avg_loss=-0.5), "number-out-of-range", HOLDOUT, "avg_loss"),
    "no text": (lambda s, put, at: put(s, section="holdout", text=None), "text-missing", HOLDOUT, "no text"),
    "a number for a question": (lambda s, put, at: put(s, question=5), "text-missing", RETAIN, "no question"),
    "no generation": (lambda s, put, at: put(s, generation=None), "text-missing", RETAIN, "no generation"),
    "NaN generation": (lambda s, put, at: put(s, generation=np.nan), "text-missing", RETAIN, "no generation"),
    **{f"hits: {hit}, {tokens} tokens": (
        lambda s, put, at, more=dict(tokens=tokens, end=end, hit=hit): put(s, section="forget", **more),
        "token-statistics-wrong", FORGET, "hit must be booleans") for tokens, end, hit in (
            (2, True, None), (2, True, [1, 0]), (2, True, [True, None]), (2, True, [True]), (2, True, [True] * 3), (1, False, [[True]]),
            (0, False, []), (1, True, [True]))},
    **{f"{name} {value}": (
        lambda s, put, at, name=name, value=value: put(s, section="forget", **{name: value}), "not-a-count", FORGET, f"{name} must")
        for name, value in (("tokens", -1), ("tokens", None), ("tokens", 2.5), ("tokens", "two"), ("end", None), ("end", "False"))},
    "a gradient norm too few": (
        lambda s, put, at: put(s, section="holdout", gradient_norm=np.nan), "number-out-of-range", HOLDOUT, "gradient_norm"),
    "an infinite gradient norm": (
        lambda s, put, at: put(s, section="forget", gradient_norm=np.inf), "number-out-of-range", FORGET, "gradient_norm"),
    "a word for a gradient norm": (
        lambda s, put, at: put(s, section="forget", gradient_norm="big"), "number-out-of-range", FORGET, "gradient_norm"),
    "no clean probability": (
        lambda s, put, at: put(s, section="forget", clean=1.5), "number-out-of-range", FORGET, "clean", "0 to 1"),
}  # fmt: skip


@pytest.mark.parametrize("case", FRAMES)
def test_what_is_refused(make_samples, retain, put, at, case):
    spoil, code, *facts = FRAMES[case]
    with refused(code, "results/x", *facts):
        evaluate(from_samples(spoil(make_samples(1), put, at), where="results/x"), retain)


SPOILT = (None, [], [-1.0], [-1.0, np.nan], [-1.0, -np.inf], [-1.0, None], ["a", "b"], [[-1.0, -2.0]], 3.0)


@pytest.mark.parametrize("name", STATISTICS)
@pytest.mark.parametrize("section", ["forget", "holdout"])
def test_token_statistics_are_checked_where_an_attack_reads_them(make_samples, put, name, section):
    fine = dict(tokens=2, logp=[-1.0, -1.0], mu=[-1.0, -1.0], sigma=[1.0, 1.0])
    attack = "attack_min_k" if name == "logp" else "attack_min_k_plus_plus"
    for spoilt in SPOILT:
        evidence = from_samples(put(make_samples(1), section=section, **{**fine, name: spoilt}), where="x")
        with refused("token-statistics-wrong", f"section '{section}' index 3 candidate 'answer'", name):
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
    with refused("token-statistics-wrong", FORGET, name):
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


def test_the_retain_models_frame_is_checked_too(make_samples, put):
    model = from_samples(make_samples(1), where="x")
    for section, column in (("forget", "avg_loss"), ("holdout", "avg_loss")):
        with refused("number-out-of-range", f"r: section '{section}' index 3 candidate 'answer'", column):
            evaluate(model, from_samples(put(make_samples(2), section=section, **{column: np.nan}), where="r"))
    broken = put(make_samples(2), section="holdout", logp=None)
    with refused("token-statistics-wrong", f"r: {HOLDOUT}", "logp"):
        evaluate(model, from_samples(broken, where="r"))


def test_evidence_of_other_rows_is_refused(make_samples, put, at):
    model, other = from_samples(make_samples(1), where="x"), make_samples(2)
    cases = [
        (put(other, section="forget", question="Why?"), "other-rows", "r: question of", FORGET, "'Why?'", "'What is forget 3?' in x"),
        (put(other, section="forget", candidate="wrong_2", text="other"), "other-rows", "index 3 candidate 'wrong_2'", "'other'"),
        (put(other, section="holdout", text="other"), "other-rows", "r: text of", HOLDOUT),
        (other[other["index"] < 5], "other-rows", "r: 5 samples in section 'forget'", "x has 6"),
        (other.assign(index=other["index"] + 1), "other-rows", "r: 6 samples in section 'forget'"),
        (drop(other, other["candidate"] == "wrong_2"), "other-rows", "r: no section 'forget' index 0 candidate 'wrong_2'"),
        (make_samples(2, wrong=4), "other-rows", "x: no section 'forget' index 0 candidate 'wrong_3'"),
        (drop(other, other["section"] == "forget"), "section-missing", "r: no section 'forget'"),
        (drop(other, at(other, "holdout", 5)), "other-rows", "r: 5 samples in section 'holdout'", "x has 6"),
    ]  # fmt: skip
    for frame, code, *facts in cases:
        with refused(code, *facts):
            evaluate(model, from_samples(frame, where="r"))


def test_a_retain_model_of_another_tokenizer_is_refused(make_samples):
    """The same texts in other tokens: probabilities per token of two families of models, which no test of quality is of."""
    other = make_samples(2)
    row = other.index[(other["section"] == "forget") & (other["index"] == 3) & (other["candidate"] == "wrong_1")][0]
    count = int(other.at[row, "tokens"])
    other.at[row, "tokens"] = count + 1
    for name in ("logp", "hit", "mu", "sigma"):
        other.at[row, name] = [*other.at[row, name], other.at[row, name][-1]]
    with refused("other-tokens", "r: section 'forget' index 3 candidate 'wrong_1'", count + 1, f"{count} in x"):
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
    with refused("other-kind", "m: of muse", "t is of tofu"):
        evaluate(tofu, muse)
    with refused("other-kind", "t: of tofu", "m is of muse"):
        evaluate(muse, tofu)


def test_white_space_makes_no_other_rows(make_samples, put):
    other = put(make_samples(2), section="forget", text=" theanswer of forget\nis 3 andso on and so on and so on")
    values = evaluate(from_samples(make_samples(1), where="x"), from_samples(other, where="r")).values
    assert "forget_quality" in values


def test_without_a_retain_model(make_samples, make_muse):
    """Forget quality is what TOFU is about, so it needs one; of MUSE, what compares with one is absent, and not held against chance."""
    with refused("no-retain-evidence", "x", "--alone"):
        evaluate(from_samples(make_samples(), where="x"), None)
    muse = evaluate(from_samples(make_muse(1), where="x"), None)
    assert muse.absent == dict.fromkeys(("mia_reference", "privleak"), "no retain model to compare with")
    assert set(muse.values) == {n for n, m in METRICS.items() if m.of("muse")} - set(muse.absent)


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
        with refused("section-missing", "x", section):
            evaluate(from_samples(frame[frame["section"] != section], where="x"), retain)


def test_muses_questions_take_no_likelihood(make_muse, put):
    model = from_samples(make_muse(1), where="x")
    assert np.isnan(make_muse(1).query("section == 'forget_knowmem'")["avg_loss"]).all()
    assert "knowmem_forget" in evaluate(model, None, alone=True).values
    for section in ("verbmem", "forget", "holdout"):
        with refused("number-out-of-range", f"x: section '{section}' index 3 candidate 'answer'", "avg_loss"):
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
    with refused("other-tokens", "other: section 'forget' index 0"):
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
    with refused("unknown-section", "'forgot' in x", "mean forget"):
        evidence.column("forgot", "answer_loss")
    with pytest.raises(Absent, match="our evidence has no column attack_recall"):
        evidence.column("forget", "attack_recall")
