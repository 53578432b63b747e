"""`evaluate` on made-up evidence, on evidence rebuilt from a published log, and on everything it must refuse."""

import json

import numpy as np
import pandas as pd
import pytest

from baldro.errors import BaldroError
from baldro.metrics import METRICS, evaluate, truth_ratios

NAMES = {
    *("forget_quality", "forget_quality_d", "model_utility", "exact_memorization", "extraction_strength"),
    *("forget_probability", "forget_rouge", "forget_truth_ratio"),
    *("retain_probability", "retain_rouge", "retain_truth_ratio"),
    *("real_authors_probability", "real_authors_rouge", "real_authors_truth_ratio"),
    *("world_facts_probability", "world_facts_rouge", "world_facts_truth_ratio"),
}
# section -> (its name in the published logs, its file of questions)
PUBLISHED = {
    "forget": ("forget", "forget01_perturbed"),
    "retain": ("retain", "retain_perturbed"),
    "real_authors": ("ra", "real_authors_perturbed"),
    "world_facts": ("wf", "world_facts_perturbed"),
}


def published_section(section, log, texts, shared, hits_with):
    """One section of a published log as evidence rows; only the forget section's hits stand for anything."""
    short, file = PUBLISHED[section]
    losses = {what: log.values(f"{short}_Q_A_{what}", "avg_loss") for what in ("Prob", "PERT_Prob")}
    paraphrase = log.values(f"{short}_Q_A_PARA_Prob", "avg_loss") if short in ("forget", "retain") else None
    memorised, strength = log.values("exact_memorization"), log.values("extraction_strength")
    lines = (shared / "data" / "tofu" / f"{file}.json").read_text(encoding="utf-8").splitlines()
    for index, record in enumerate(map(json.loads, lines)):
        row = {"section": section, "index": index, "question": record["question"], "tokens": 1, "hit": [True]}
        pair = texts[f"{short}_Q_A_ROUGE"][str(index)]
        hit = hits_with(memorised[index], strength[index]) if section == "forget" else [True]
        answer = {"text": pair["ground_truth"], "generation": pair["generation"], "tokens": len(hit), "hit": hit}
        yield row | answer | {"candidate": "answer", "avg_loss": losses["Prob"][index]}
        row["generation"] = None
        if paraphrase is not None:
            text = record["paraphrased_answer"]
            yield row | {"candidate": "paraphrase", "text": text, "avg_loss": paraphrase[index]}
        for j, text in enumerate(record["perturbed_answer"]):
            yield row | {"candidate": f"wrong_{j}", "text": text, "avg_loss": losses["PERT_Prob"][index, j]}


def test_evidence_rebuilt_from_published_logs(logs, rouge_texts, shared, hits_with, tmp_path):
    frames = {}
    for name in ("full, forget01", "retain99"):
        parts = [published_section(section, logs[name], rouge_texts[name], shared, hits_with) for section in PUBLISHED]
        frame = pd.DataFrame([row for part in parts for row in part])
        frame.to_parquet(tmp_path / "samples.parquet")
        frames[name] = pd.read_parquet(tmp_path / "samples.parquet")
    values, log = evaluate(frames["full, forget01"], frames["retain99"]), logs["full, forget01"]

    assert values["forget_quality"] == log.aggregate("forget_quality")
    assert values["forget_quality_d"] == 15 / 40
    assert values["extraction_strength"] == log.aggregate("extraction_strength")
    assert values["exact_memorization"] == pytest.approx(log.aggregate("exact_memorization"), abs=1e-7)
    assert values["model_utility"] == pytest.approx(log.aggregate("model_utility"), abs=1e-8)
    for section, (short, _) in PUBLISHED.items():
        ratio = "forget_truth_ratio" if section == "forget" else f"{short}_Truth_Ratio"
        options = "" if section in ("forget", "retain") else "_normalised"
        assert values[f"{section}_truth_ratio"] == pytest.approx(log.aggregate(ratio), rel=1e-14)
        assert values[f"{section}_rouge"] == log.aggregate(f"{short}_Q_A_ROUGE")
        published = log.aggregate(f"{short}_Q_A_Prob{options}")
        assert values[f"{section}_probability"] == pytest.approx(published, abs=1e-8)


def test_every_metric_has_a_finite_number(make_samples):
    values = evaluate(make_samples(1), make_samples(2))
    assert set(values) == set(METRICS) == NAMES
    assert all(type(value) is float and np.isfinite(value) for value in values.values())


def test_by_hand(make_samples):
    samples = make_samples(1)
    values = evaluate(samples, make_samples(2))
    losses = samples.set_index(["section", "candidate", "index"])["avg_loss"].sort_index()
    assert values["forget_probability"] == pytest.approx(np.exp(-losses["forget", "answer"]).mean())
    options = np.exp(-losses["world_facts"].unstack("candidate"))
    assert values["world_facts_probability"] == pytest.approx((options["answer"] / options.sum(axis=1)).mean())
    retain = losses["retain"].unstack("candidate")
    ratios = np.exp(retain["paraphrase"] - retain[["wrong_0", "wrong_1", "wrong_2"]].mean(axis=1))
    assert values["retain_truth_ratio"] == pytest.approx((1 - ratios).clip(lower=0).mean())
    hits = samples[(samples["section"] == "forget") & (samples["candidate"] == "answer")]["hit"]
    assert values["exact_memorization"] == pytest.approx(hits.map(np.mean).mean())


def test_a_model_that_is_the_retain_model(make_samples):
    values = evaluate(make_samples(1), make_samples(1))
    assert values["forget_quality"] == 1
    assert values["forget_quality_d"] == 0


def test_order_of_rows_does_not_matter(make_samples):
    samples, retain = make_samples(1, n=12, wrong=11), make_samples(2, n=12, wrong=11)
    shuffled = samples.sample(frac=1, random_state=0)
    assert evaluate(shuffled, retain.sample(frac=1, random_state=1)) == evaluate(samples, retain)
    assert truth_ratios(shuffled).tolist() == truth_ratios(samples).tolist()


def test_only_the_forget_section_of_the_retain_model_is_read(make_samples):
    retain = make_samples(2)
    forget_only = retain[retain["section"] == "forget"]
    assert evaluate(make_samples(1), forget_only) == evaluate(make_samples(1), retain)


def test_the_inputs_are_left_alone(make_samples):
    samples, retain = make_samples(1), make_samples(2)
    evaluate(samples, retain)
    pd.testing.assert_frame_equal(samples, make_samples(1))
    pd.testing.assert_frame_equal(retain, make_samples(2))


def test_an_empty_generation_scores_nothing(make_samples):
    samples = make_samples(1)
    samples.loc[samples["candidate"] == "answer", "generation"] = ""
    values = evaluate(samples, make_samples(2))
    assert values["forget_rouge"] == 0
    assert values["model_utility"] == 0


def test_truth_ratios_of_an_unknown_section(make_samples):
    with pytest.raises(BaldroError, match=r"unknown section 'forgot' .did you mean forget"):
        truth_ratios(make_samples(), section="forgot")


def at(samples, section, index, candidate):
    return (samples["section"] == section) & (samples["index"] == index) & (samples["candidate"] == candidate)


def put(samples, column, value, *, section="retain", index=3, candidate="answer"):
    """The frame with one cell changed."""
    samples = samples.astype({column: object})
    samples.at[samples.index[at(samples, section, index, candidate)][0], column] = value
    return samples


PLACE = "section 'retain' index 3 candidate 'answer'"
BROKEN = {
    "no column": (lambda s: s.drop(columns=["hit", "tokens"]), "samples: no column tokens, hit; needs: section"),
    "no rows": (lambda s: s.iloc[:0], "samples: no rows"),
    "index not whole": (lambda s: s.astype({"index": float}), "column index holds float64"),
    "unknown section": (lambda s: s.replace({"section": {"retain": "retian"}}), "unknown section 'retian' in samples"),
    "missing section": (lambda s: s[s["section"] != "world_facts"], "samples: no section 'world_facts'"),
    "missing sample's answer": (lambda s: s[~at(s, "retain", 3, "answer")], f"no {PLACE}; needs: answer, paraphrase"),
    "missing paraphrase": (lambda s: s[s["candidate"] != "paraphrase"], "section 'forget' index 0 candidate 'paraphr"),
    "missing wrong answer": (lambda s: s[~at(s, "real_authors", 2, "wrong_1")], "'real_authors' index 2 .*'wrong_1'"),
    "no wrong answers": (lambda s: s[~s["candidate"].str.startswith("wrong")], "index 0 candidate 'wrong_0'"),
    "a gap in the wrong ones": (lambda s: s[s["candidate"] != "wrong_1"], "index 0 candidate 'wrong_1'"),
    "unknown candidate": (
        lambda s: s.replace({"candidate": {"wrong_1": "wrong"}}),
        "candidate 'wrong': candidate must",
    ),
    "paraphrase out of place": (
        lambda s: pd.concat([s, s[at(s, "forget", 0, "paraphrase")].assign(section="world_facts")]),
        "samples: .*'world_facts'.*'paraphrase'",
    ),
    "twice": (lambda s: pd.concat([s, s[at(s, "retain", 3, "answer")]]), f"{PLACE}: appears twice"),
    "NaN loss": (lambda s: put(s, "avg_loss", np.nan), f"{PLACE}: avg_loss must be finite"),
    "infinite loss": (lambda s: put(s, "avg_loss", np.inf), f"{PLACE}: avg_loss must be finite"),
    "negative loss": (lambda s: put(s, "avg_loss", -0.5), f"{PLACE}: avg_loss must be finite and 0 or more"),
    "no text": (lambda s: put(s, "text", None), f"{PLACE}: has no text"),
    "no question": (lambda s: put(s, "question", None), f"{PLACE}: has no question"),
    "no generation": (lambda s: put(s, "generation", None), f"{PLACE}: has no generation"),
    "no hits": (lambda s: put(s, "hit", None), f"{PLACE}: hit must be booleans"),
    "hits with a hole": (lambda s: put(put(s, "tokens", 2), "hit", [True, None]), f"{PLACE}: hit must be"),
    "fewer hits than tokens": (lambda s: put(put(s, "tokens", 2), "hit", [True]), f"{PLACE}: hit must be"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_what_is_refused(make_samples, case):
    spoil, message = BROKEN[case]
    with pytest.raises(BaldroError, match=message) as caught:
        evaluate(spoil(make_samples(1)), make_samples(2))
    assert "\n" not in str(caught.value)


def test_the_retain_models_evidence_is_checked_too(make_samples):
    broken = put(make_samples(2), "avg_loss", np.nan, section="forget")
    with pytest.raises(BaldroError, match="retain_samples: section 'forget' index 3 candidate 'answer': avg_loss"):
        evaluate(make_samples(1), broken)


def test_another_split_is_refused(make_samples):
    samples, retain = make_samples(1), make_samples(2)
    with pytest.raises(
        BaldroError, match=r"retain_samples: question of section 'forget' index 3 .*'Why.' but 'What is"
    ):
        evaluate(samples, put(retain, "question", "Why?", section="forget"))
    with pytest.raises(BaldroError, match="retain_samples: text of section 'forget' index 3 candidate 'wrong_2'"):
        evaluate(samples, put(retain, "text", "other", section="forget", candidate="wrong_2"))
    with pytest.raises(BaldroError, match="retain_samples: no section 'forget' index 5 candidate 'answer'"):
        evaluate(samples, retain[retain["index"] < 5])
    with pytest.raises(BaldroError, match="samples: no section 'forget' index 6 candidate 'answer'"):
        evaluate(samples, make_samples(2, n=7))
    with pytest.raises(BaldroError, match="retain_samples: no section 'forget' index 0 candidate 'wrong_2'"):
        evaluate(samples, retain[retain["candidate"] != "wrong_2"])
