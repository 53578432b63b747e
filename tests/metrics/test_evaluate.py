"""`evaluate` on made-up evidence by hand, on evidence rebuilt from a published log, and under changes that must not matter."""

import json
import re
import zlib

import numpy as np
import pandas as pd
import pytest
from scipy.stats import hmean, ks_2samp

from baldro.benchmarks import KINDS
from baldro.metrics import METRICS, evaluate, from_samples, ratios

SHARED_NAMES = {
    *("exact_memorization", "extraction_strength", "privleak"),
    *(f"mia_{attack}" for attack in ("loss", "zlib", "min_k", "min_k_plus_plus", "gradnorm", "reference")),
}
SECTIONS = ("forget", "retain", "real_authors", "world_facts")
TOFU_NAMES = {
    *("forget_quality", "forget_quality_d", "model_utility", "fluency"),
    *(f"{section}_{what}" for section in SECTIONS for what in ("probability", "rouge", "truth_ratio")),
    *(f"{section}_{kind}" for section in SECTIONS for kind in ("rouge1_recall", "rouge1_f1", "rougeL_f1")),
    *(f"{section}_{what}" for section in ("forget", "retain") for what in ("repetition", "length")),
}
MUSE_NAMES = {"knowmem_forget", "knowmem_retain", "verbmem_forget", "verbmem_repetition", "verbmem_length"}
# section -> (its name in the published logs, its file of questions)
PUBLISHED = {
    "forget": ("forget", "forget01_perturbed"),
    "retain": ("retain", "retain_perturbed"),
    "real_authors": ("ra", "real_authors_perturbed"),
    "world_facts": ("wf", "world_facts_perturbed"),
}


def numbers(results):
    return {name: value.value for name, value in results.values.items()}


def of(*frames):
    """Every metric of the first frame, held against the second."""
    return numbers(evaluate(*(from_samples(frame, where=name) for frame, name in zip(frames, "xr", strict=True))))


def published_section(section, log, texts, shared, hits_with):
    """One section of a published log as evidence rows; only the forget section's hits stand for anything."""
    short, file = PUBLISHED[section]
    losses = {what: log.values(f"{short}_Q_A_{what}", "avg_loss") for what in ("Prob", "PERT_Prob")}
    paraphrase = log.values(f"{short}_Q_A_PARA_Prob", "avg_loss") if short in ("forget", "retain") else None
    memorised, strength = log.values("exact_memorization"), log.values("extraction_strength")
    lines = (shared / "data" / "tofu" / f"{file}.json").read_text(encoding="utf-8").splitlines()
    for index, record in enumerate(map(json.loads, lines)):
        row = {"section": section, "index": index, "question": record["question"], "end": False, "generation": None}
        row |= {"gradient_norm": np.nan, "clean": np.nan}
        pair = texts[f"{short}_Q_A_ROUGE"][str(index)]
        hit = hits_with(memorised[index], strength[index]) if section == "forget" else [True]
        zeros = {"tokens": len(hit), "hit": hit, **{name: [-1.0] * len(hit) for name in ("logp", "mu")}}
        zeros["sigma"] = [1.0] * len(hit)
        row |= zeros
        answer = {"text": pair["ground_truth"], "generation": pair["generation"]}
        yield row | answer | {"candidate": "answer", "avg_loss": losses["Prob"][index]}
        if paraphrase is not None:
            text = record["paraphrased_answer"]
            yield row | {"candidate": "paraphrase", "text": text, "avg_loss": paraphrase[index]}
        for j, text in enumerate(record["perturbed_answer"]):
            yield row | {"candidate": f"wrong_{j}", "text": text, "avg_loss": losses["PERT_Prob"][index, j]}


def test_evidence_rebuilt_from_published_logs(logs, rouge_texts, shared, hits_with, tmp_path):
    frames = []
    for name in ("full, forget01", "retain99"):
        parts = [published_section(section, logs[name], rouge_texts[name], shared, hits_with) for section in PUBLISHED]
        made = pd.DataFrame([row for part in parts for row in part])
        made.attrs = {"kind": "tofu"}
        made.to_parquet(tmp_path / "samples.parquet")
        frames.append(pd.read_parquet(tmp_path / "samples.parquet"))
    invented = [
        "tokens",
        "hit",
        "logp",
        "mu",
        "sigma",
    ]  # so many tokens as fit the first log's memorisation: one tokenizer for both
    frames[1][invented] = frames[0][invented]
    values, log = of(*frames), logs["full, forget01"]

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
        for kind in ("rouge1_recall", "rougeL_f1"):
            assert values[f"{section}_{kind}"] == np.mean(log.values(f"{short}_Q_A_ROUGE", kind))
        published = log.aggregate(f"{short}_Q_A_Prob{options}")
        assert values[f"{section}_probability"] == pytest.approx(published, abs=1e-8)


def test_which_metrics_there_are(make_samples, make_muse):
    assert set(of(make_samples(1), make_samples(2))) == TOFU_NAMES | SHARED_NAMES
    assert set(of(make_muse(1), make_muse(2))) == MUSE_NAMES | SHARED_NAMES
    choice = {
        "choice_forget",
        "choice_retain",
        "wmdp",
        "wmdp_bio",
        "wmdp_chem",
        "wmdp_cyber",
        "mmlu",
    }  # tests/jobs/test_choice.py
    further = {name for kind in ("lume", "rwku") for name in KINDS[kind].metrics}  # tests/jobs/test_lume_and_rwku.py
    assert set(METRICS) == TOFU_NAMES | MUSE_NAMES | SHARED_NAMES | choice | further


def by_candidate(samples, section, column="avg_loss"):
    rows = samples[samples["section"] == section]
    return rows.pivot(index="index", columns="candidate", values=column)


def attack_scores(samples, section, retain=None):
    """All scores but the gradient norm by plain loops; the end of sequence is the last of the tokens."""
    rows = samples[(samples["section"] == section) & (samples["candidate"] == "answer")].sort_values("index")
    scores = {"loss": rows["avg_loss"].tolist(), "gradnorm": rows["gradient_norm"].tolist()}
    scores["zlib"] = [r.avg_loss / len(zlib.compress(r.text.encode())) for r in rows.itertuples()]
    scores["min_k"], scores["min_k_plus_plus"] = [], []
    for row in rows.itertuples():
        n = row.tokens - row.end
        k = max(1, 2 * n // 5)
        standard = [(p - m) / max(s, 1e-3) for p, m, s in zip(row.logp, row.mu, row.sigma, strict=True)][:n]
        scores["min_k"].append(-sum(sorted(row.logp[:n])[:k]) / k)
        scores["min_k_plus_plus"].append(-sum(sorted(standard)[:k]) / k)
    if retain is not None:
        theirs = attack_scores(retain, section)["loss"]
        scores["reference"] = [ours - other for ours, other in zip(scores["loss"], theirs, strict=True)]
    return scores


def area(members, others):
    return sum((m < o) + (m == o) / 2 for m in members for o in others) / (len(members) * len(others))


def areas(samples, retain):
    members, others = (attack_scores(samples, section, retain) for section in ("forget", "holdout"))
    return {name: area(members[name], others[name]) for name in members}


def test_tofu_by_hand(make_samples):
    samples, retain = make_samples(0, n=9), make_samples(10, n=9)
    values, expected, r = of(samples, retain), {}, {}
    for section in SECTIONS:
        losses = by_candidate(samples, section)
        wrong = losses[["wrong_0", "wrong_1", "wrong_2"]]
        right = losses["paraphrase" if section in ("forget", "retain") else "answer"]
        r[section] = np.exp(-wrong.mean(axis=1)) / (np.exp(-right) + 1e-10)
        folded = np.minimum(r[section], 1 / r[section]) if section == "forget" else (1 - r[section]).clip(lower=0)
        expected[f"{section}_truth_ratio"] = folded.mean()
        p = np.exp(-losses["answer"])
        if section not in ("forget", "retain"):
            p = p / (p + np.exp(-wrong).sum(axis=1))
        expected[f"{section}_probability"] = p.mean()
    theirs = by_candidate(retain, "forget")
    r_retain = np.exp(theirs["paraphrase"] - theirs[["wrong_0", "wrong_1", "wrong_2"]].mean(axis=1))
    test = ks_2samp(r["forget"], r_retain)
    expected |= {"forget_quality": test.pvalue, "forget_quality_d": test.statistic}
    answers = samples[(samples["section"] == "forget") & (samples["candidate"] == "answer")]
    expected["exact_memorization"] = answers["hit"].map(lambda hits: np.mean(hits[:-1])).mean()
    expected["fluency"] = answers["clean"].mean()
    expected["forget_length"] = answers["generation"].str.split().str.len().mean()
    nine = ("probability", "rouge", "truth_ratio")
    expected["model_utility"] = hmean([values[f"{s}_{what}"] for s in SECTIONS[1:] for what in nine])
    ours = areas(samples, retain)
    expected |= {f"mia_{name}": value for name, value in ours.items()}
    reference = 1 - areas(retain, None)["min_k"]
    expected["privleak"] = (1 - ours["min_k"] - reference) / (reference + 1e-10) * 100
    assert {name: values[name] for name in expected} == pytest.approx(expected, rel=1e-6)


def test_muse_by_hand(make_muse):
    samples, retain = make_muse(0, n=9), make_muse(10, n=9)
    values = of(samples, retain)
    ours = areas(samples, retain)
    reference = 1 - areas(retain, None)["min_k"]
    expected = {f"mia_{name}": value for name, value in ours.items()}
    expected["privleak"] = (1 - ours["min_k"] - reference) / (reference + 1e-10) * 100
    verbatim = samples[samples["section"] == "verbmem"]
    expected["exact_memorization"] = verbatim["hit"].map(np.mean).mean()
    expected["verbmem_length"] = verbatim["generation"].str.split().str.len().mean()
    assert {name: values[name] for name in expected} == pytest.approx(expected, rel=1e-6)


def test_which_generations_rouge_reads(make_samples, make_muse):
    """A section whose model repeats the answer scores 1, and no other section moves."""
    for make in (make_samples, make_muse):
        plain, retain = make(1), make(2)
        before = of(plain, retain)
        for section in plain.loc[plain["generation"].notna(), "section"].unique():
            rows = (plain["section"] == section) & (plain["candidate"] == "answer")
            after = of(plain.assign(generation=plain["generation"].where(~rows, plain["text"])), retain)
            moved = {name for name in after if after[name] != before[name]}
            if "world_facts" in set(plain["section"]):
                mine = {f"{section}_{kind}" for kind in ("rouge", "rouge1_recall", "rouge1_f1", "rougeL_f1")}
                allowed = mine | {f"{section}_repetition", f"{section}_length"}
                assert ("model_utility" in moved) == (section != "forget")
            else:
                mine = {
                    {"forget_knowmem": "knowmem_forget", "retain_knowmem": "knowmem_retain"}.get(
                        section, "verbmem_forget"
                    )
                }
                allowed = mine | {"verbmem_length", "verbmem_repetition"}
            assert all(after[name] == 1 for name in mine)
            assert mine <= moved <= allowed | {"model_utility"}


def test_tofus_rouge_is_recall_and_muses_is_f1(make_samples, make_muse):
    """The answer and as much again: recall 1, F1 2/3."""
    tofu, muse = make_samples(1), make_muse(1)
    for frame in (tofu, muse):
        more = frame["text"].map(lambda text: f"{text} {' '.join(['zinc'] * len(re.findall(r'[a-z0-9]+', text)))}")
        frame["generation"] = more.where(frame["generation"].notna(), None)
    tofu, muse = of(tofu, make_samples(2)), of(muse, make_muse(2))
    for section in SECTIONS:
        assert tofu[f"{section}_rouge"] == tofu[f"{section}_rouge1_recall"] == 1
        assert tofu[f"{section}_rougeL_f1"] == tofu[f"{section}_rouge1_f1"] == pytest.approx(2 / 3)
    assert [muse[n] for n in ("knowmem_forget", "knowmem_retain", "verbmem_forget")] == pytest.approx([2 / 3] * 3)


def test_a_model_that_is_the_retain_model(make_samples, make_muse):
    tofu, muse = of(make_samples(1), make_samples(1)), of(make_muse(1), make_muse(1))
    assert (tofu["forget_quality"], tofu["forget_quality_d"]) == (1, 0)
    for values in (tofu, muse):
        assert values["privleak"] == 0
        assert values["mia_reference"] == 0.5


def test_order_of_rows_does_not_matter(make_samples, make_muse):
    for samples, retain in ((make_samples(1, 11, 11), make_samples(2, 11, 11)), (make_muse(1, 11), make_muse(2, 11))):
        assert of(*(frame.sample(frac=1, random_state=i) for i, frame in enumerate((samples, retain)))) == of(
            samples, retain
        )


def test_truth_ratios_do_not_follow_the_rows_order(make_samples):
    samples = make_samples(1, 12, 11)
    ours, shuffled = (from_samples(f, where="x") for f in (samples, samples.sample(frac=1, random_state=0)))
    for section in SECTIONS:
        assert ratios(shuffled, section).tolist() == ratios(ours, section).tolist()
        assert list(ratios(shuffled, section).index) == list(range(12))


READS = {  # section -> what may move when its numbers do
    "retain": {"retain_*", "model_utility"},
    "real_authors": {"real_authors_*", "model_utility"},
    "world_facts": {"world_facts_*", "model_utility"},
    "forget": {"forget_*", "mia_*", "privleak", "exact_memorization", "extraction_strength", "fluency"},
    "holdout": {"mia_*", "privleak"},
    "forget_knowmem": {"knowmem_forget"},
    "retain_knowmem": {"knowmem_retain"},
    "verbmem": {"verbmem_*", "exact_memorization", "extraction_strength"},
}


def test_noise_in_one_section_moves_no_metric_of_another(make_samples, make_muse):
    for make in (make_samples, make_muse):
        samples, noise, retain = make(1, 9), make(3, 9), make(2, 9)
        before = of(samples, retain)
        for section in samples["section"].unique():
            rows = samples["section"] == section
            after = of(pd.concat([samples[~rows], noise[rows]]), retain)
            moved = {name for name in after if after[name] != before[name]}
            reads = {"mia_*", "privleak"} if make is make_muse and section == "forget" else READS[section]
            stems = tuple(name.rstrip("*") for name in reads)
            assert moved, section
            assert all(name.startswith(stems) for name in moved), (section, moved)


def test_of_the_retain_model_only_forget_and_holdout_are_read(make_samples, make_muse):
    for make in (make_samples, make_muse):
        retain = make(2)
        read = retain[retain["section"].isin(["forget", "holdout"])]
        assert of(make(1), retain) == of(
            make(1), read if make is make_samples else pd.concat([read, retain.query("section == 'verbmem'")])
        )


def test_one_sample(make_samples, make_muse):
    for make, kind in ((make_samples, "tofu"), (make_muse, "muse")):
        values = of(make(1, 1), make(2, 1))
        assert set(values) == {name for name, metric in METRICS.items() if metric.of(kind)}
        assert all(np.isfinite(value) for value in values.values())


def test_indices_need_not_start_at_nothing(make_samples):
    far = (make_samples(seed).assign(index=lambda f: f["index"] * 7 + 1000) for seed in (1, 2))
    assert of(*far) == of(make_samples(1), make_samples(2))


def test_a_model_that_knows_everything(make_samples):
    samples = make_samples(1)
    right = samples["candidate"].isin(["answer", "paraphrase"])
    samples["avg_loss"] = np.where(right & (samples["section"] != "holdout"), 0.0, 30.0)
    samples["hit"] = samples["hit"].map(lambda hits: [True] * len(hits))
    samples["generation"] = samples["text"].where(samples["generation"].notna(), None)
    values = of(samples, make_samples(2))
    assert values["model_utility"] == pytest.approx(1, abs=1e-9)
    assert values["exact_memorization"] == values["extraction_strength"] == values["mia_loss"] == 1
    assert values["forget_truth_ratio"] == pytest.approx(0, abs=1e-9)
