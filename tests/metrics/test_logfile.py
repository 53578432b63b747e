"""Logs of others in further forms: keys as data frames write them, truth ratios alone, the files of TOFU's first code."""

import copy
import gzip
import json
from pathlib import Path

import numpy as np
import pytest
from refusals import refused
from scipy.stats import hmean, ks_2samp

from baldro.metrics import aggregates, evaluate, from_log, from_samples, ratios, read_log
from baldro.metrics.export import to_log
from baldro.metrics.original import FILES

from .test_published import made_up, numbers

ORIGINAL = Path(__file__).with_name("excerpts") / "eval_log_aggregated.json"
"""Made up, in the form of locuslab/tofu's logs: five samples to forget, three of each other section."""


@pytest.fixture
def original():
    return json.loads(ORIGINAL.read_text())


def write(path, content):
    path.write_text(json.dumps(content))
    return path


def column(section, name):
    return np.array(list(section[name].values()))


def recomputed(content):
    """What TOFU's own code makes of its log: no 1e-10, and truth ratios of the second pass of an answer."""
    values = {}
    for section, file in FILES.items():
        told = content[file]
        probability, wrong = np.exp(-column(told, "avg_gt_loss")), column(told, "average_perturb_loss")
        ratio = np.exp(column(told, "avg_paraphrased_loss") - wrong.mean(axis=1))
        if "real" in file:
            probability = probability / (probability + np.exp(-wrong).sum(axis=1))
        values[f"{section}_probability"] = probability.mean()
        values[f"{section}_rouge"] = column(told, "rougeL_recall").mean()
        folded = np.minimum(ratio, 1 / ratio) if section == "forget" else np.maximum(0, 1 - ratio)
        values[f"{section}_truth_ratio"] = folded.mean()
    values["model_utility"] = hmean([value for name, value in values.items() if not name.startswith("forget")])
    return values


def shifted(content, by=0.4):
    """Another model's log."""
    other = copy.deepcopy(content)
    for section in other.values():
        section["avg_paraphrased_loss"] = {key: value + by for key, value in section["avg_paraphrased_loss"].items()}
    return other


def test_tofus_own_log(original, tmp_path):
    retain = shifted(original)
    results = evaluate(
        from_log(read_log(ORIGINAL), where="a"),
        from_log(read_log(write(tmp_path / FILES["forget"], retain)), where="b"),
    )
    for name, value in recomputed(original).items():
        assert results.values[name].value == pytest.approx(value, rel=1e-8), name
    ours, theirs = (
        np.exp(column(c[FILES["forget"]], "avg_paraphrased_loss"))
        / np.exp(column(c[FILES["forget"]], "average_perturb_loss").mean(axis=1))
        for c in (original, retain)
    )
    assert results.values["forget_quality"].value == ks_2samp(ours, theirs).pvalue
    assert results.values["forget_length"].value == 4, "It may be ..."
    assert results.absent["mia_loss"] == "TOFU's own logs have no attack_loss of forget"
    assert aggregates(read_log(ORIGINAL)) == {}


def test_one_file_a_section(original, tmp_path):
    """In a folder, all of them; one by itself gives its own section's metrics, packed too."""
    whole = numbers(evaluate(from_log(read_log(ORIGINAL), where="a"), None, alone=True))
    for name, section in original.items():
        write(tmp_path / name, section)
    assert numbers(evaluate(from_log(read_log(tmp_path), where="a"), None, alone=True)) == whole
    packed = tmp_path / "eval_log_forget.json.gz"
    packed.write_bytes(gzip.compress(json.dumps(original[FILES["forget"]]).encode()))
    for path in (tmp_path / FILES["forget"], packed):
        alone = numbers(evaluate(from_log(read_log(path), where="a"), None, alone=True))
        assert alone == {name: value for name, value in whole.items() if name.startswith("forget_")}
    with refused("section-not-named", "renamed.json", "eval_log_forget.json"):
        read_log(write(tmp_path / "renamed.json", original[FILES["forget"]]))


def test_an_original_log_as_one_of_open_unlearnings(original):
    evidence = from_log(read_log(ORIGINAL), where="a")
    results = evaluate(evidence, None, alone=True)
    again = evaluate(from_log(to_log(evidence, results), where="b"), None, alone=True)
    assert numbers(again) == numbers(results)


def spoil_list(content):
    content[FILES["forget"]]["avg_paraphrased_loss"] = [1.0, 2.0, 3.0, 4.0, 5.0]


def spoil_words(content):
    content[FILES["forget"]]["avg_paraphrased_loss"]["3"] = "high"


def spoil_sign(content):
    content[FILES["forget"]]["average_perturb_loss"]["3"][1] = -2.0


def spoil_gap(content):
    del content[FILES["forget"]]["avg_paraphrased_loss"]["3"]


def spoil_key(content):
    content[FILES["forget"]]["avg_paraphrased_loss"]["3.0"] = 1.0


def spoil_section(content):
    content["eval_forget_log"] = content[FILES["forget"]]


@pytest.mark.parametrize(
    ("spoil", "code", "facts"),
    [
        (spoil_list, "sample-number-missing", ["avg_paraphrased_loss"]),
        (spoil_words, "not-a-number", ["avg_paraphrased_loss of sample 3", '"high"']),
        (spoil_sign, "number-out-of-range", ["average_perturb_loss of sample 3"]),
        (spoil_gap, "value-missing", ["sample '3'", "avg_paraphrased_loss"]),
        (spoil_key, "sample-twice", ["avg_paraphrased_loss", "'3.0'"]),
        (spoil_section, "section-twice", ["eval_forget_log", "'forget'"]),
    ],
)
def test_what_is_broken_in_an_original_log(original, tmp_path, spoil, code, facts):
    spoil(original)
    path = write(tmp_path / ORIGINAL.name, original)
    with refused(code, path, *facts):
        evaluate(from_log(read_log(path), where=str(path)), None, alone=True)


def test_an_original_log_of_truth_ratios_alone(original):
    told = original[FILES["forget"]]["truth_ratio"]
    content = {FILES["forget"]: {"value_by_index": {key: {"truth_ratio": value} for key, value in told.items()}}}
    assert ratios(from_log(content, where="a"), "forget").tolist() == list(told.values())


def renamed(value, name):
    """A log whose sample keys are written another way."""
    if not isinstance(value, dict):
        return value
    return {
        key: {name(index): sample for index, sample in part.items()} if key == "value_by_index" else renamed(part, name)
        for key, part in value.items()
    }


def test_keys_as_data_frames_write_them():
    plain, retain = made_up(1), from_log(made_up(2), where="r")
    floats = renamed(plain, lambda index: f"{index}.0")
    assert list(floats["mia_loss"]["forget"]["value_by_index"])[:2] == ["0.0", "1.0"]
    ours, theirs = (evaluate(from_log(content, where="a"), retain) for content in (floats, plain))
    assert numbers(ours) == numbers(theirs)
    mixed = plain | {"forget_Q_A_PARA_Prob": floats["forget_Q_A_PARA_Prob"]}
    assert numbers(evaluate(from_log(mixed, where="a"), retain)) == numbers(theirs)
    twice = plain["forget_Q_A_Prob"]["value_by_index"]
    twice["3.0"] = twice["3"]
    with refused("sample-number-missing", "a: forget_Q_A_Prob", "'3.0'"):
        evaluate(from_log(plain, where="a"), retain)


def test_the_excerpts_of_others(shared):
    """Of a fork whose sample keys are floats, and of one that keeps truth ratios alone."""
    floats = read_log(shared / "faults/logs/float_keys.json")
    recorded = [sample["score"] for sample in floats["forget_truth_ratio"]["value_by_index"].values()]
    assert ratios(from_log(floats, where="a"), "forget").tolist() == pytest.approx(recorded, rel=1e-6)
    lean = read_log(shared / "faults/logs/lean.json")
    results = evaluate(from_log(lean, where="a"), None, alone=True)
    assert numbers(results) == {"forget_truth_ratio": lean["forget_truth_ratio"]["agg_value"]}


def test_a_lean_log_against_a_whole_one(logs, shared):
    """The published quality of a model against a retain model comes out of the truth ratios of both alone."""
    model, retain = logs["full, forget05"].content, logs["retain95"].content
    lean = [{name: log[name] for name in ("forget_truth_ratio",)} for log in (model, retain)]
    for pair in ((model, lean[1]), (lean[0], retain), lean):
        results = evaluate(*(from_log(content, where="a") for content in pair))
        assert results.values["forget_quality"].value == pytest.approx(model["forget_quality"]["agg_value"], rel=1e-12)


@pytest.mark.parametrize("old", [False, True])
def test_truth_ratios_of_every_section(old):
    """Raw, as the losses give them; folded by section, and in the order of the log. An older name of the forget set's entry, too."""
    names = {"forget": "forget_Truth_Ratio" if old else "forget_truth_ratio", "retain": "retain_Truth_Ratio"}
    names |= {"real_authors": "ra_Truth_Ratio", "world_facts": "wf_Truth_Ratio"}
    log = {name: {"value_by_index": {"1": {"score": 0.5}, "0": {"score": 2.0}}} for name in names.values()}
    values = evaluate(from_log(log, where="a"), None, alone=True).values
    assert values["forget_truth_ratio"].value == pytest.approx(0.5)
    assert [values[f"{name}_truth_ratio"].value for name in list(names)[1:]] == [0.25, 0.25, 0.25]
    assert values["retain_truth_ratio"].per_sample.index.tolist() == [1, 0]
    log[names["forget"]]["value_by_index"]["1"]["score"] = -0.5
    with refused("number-out-of-range", "score of sample 1", -0.5):
        evaluate(from_log(log, where="a"), None, alone=True)


def test_a_column_that_no_sample_has():
    """Of a fork without ROUGE-1: its metric is absent, and all others stay."""
    plain, retain = made_up(1), from_log(made_up(2), where="r")
    before = numbers(evaluate(from_log(plain, where="a"), retain))
    for sample in plain["forget_Q_A_ROUGE"]["value_by_index"].values():
        del sample["rouge1_recall"]
    results = evaluate(from_log(plain, where="a"), retain)
    assert results.absent["forget_rouge1_recall"] == "the log has no rouge1_recall in forget_Q_A_ROUGE (a)"
    assert numbers(results) == {name: value for name, value in before.items() if name != "forget_rouge1_recall"}


def test_wrong_answers_of_another_number():
    plain, retain = made_up(1), made_up(2)
    for sample in retain["forget_Q_A_PERT_Prob"]["value_by_index"].values():
        sample |= {key: values[:3] for key, values in sample.items()}
    with refused("unequal-wrong-answers", "r: 3", "5 in a"):
        evaluate(from_log(plain, where="a"), from_log(retain, where="r"))


def test_our_evidence_against_truth_ratios_alone(make_samples):
    model, retain = make_samples(1, 12), from_samples(make_samples(2, 12), where="r")
    told = ratios(retain, "forget")
    lean = {"forget_truth_ratio": {"value_by_index": {f"{index}.0": {"score": r} for index, r in told[::-1].items()}}}
    for other in (retain, from_log(lean, where="lean.json")):
        value = evaluate(from_samples(model, where="x"), other).values["forget_quality_d"]
        assert value.value == pytest.approx(ks_2samp(ratios(from_samples(model, where="x"), "forget"), told).statistic)
        assert value.parts[1].tolist() == told.tolist(), "pairs of one sample stand at one place"
