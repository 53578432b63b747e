"""Published evaluation logs, recomputed from their per-sample values: every aggregate that a log holds.

Always on the excerpts beside this file (numbers of open-unlearning's published evaluations, as released with BalDRO, MIT), and on
every log of the shared folder where it is there: whatever logs are put there are tried.
"""

import json
import os
import re
from pathlib import Path

import numpy as np
import pytest

from baldro.metrics import aggregates, evaluate, from_log, ratios, read_log
from baldro.metrics.published import names, places
from baldro.metrics.rouge import rouge
from baldro.metrics.utility import model_utility

EXCERPTS = Path(__file__).with_name("excerpts")
SHARED = Path(os.environ.get("BALDRO_SHARED", Path(__file__).resolve().parents[3] / "shared")) / "data" / "golden"
FILES = {
    path.name.split(".json")[0]: path for folder in (EXCERPTS, SHARED) for path in sorted(folder.glob("*_EVAL*.json*"))
}
"""A log by its name; the whole one of the shared folder in place of its excerpt."""
TO_THE_BIT = re.compile(
    "forget_quality|model_utility|.*_(probability|rouge|truth_ratio)|(know|verb)mem_.*|exact.*|extraction.*|fluency"
)


FROM_EXP = re.compile("truth_ratio|model_utility")


def is_retain(name: str) -> bool:
    return bool(re.search(r"_(retain\d\d|retrain)$", name.split("__")[0]))


def retain_log(name: str) -> Path | None:
    """The log of the retain model that a log was held against, found by its name, or by its rows; None for retain models."""
    if is_retain(name) or ("TOFU" in name and aggregates(read_log(FILES[name])).get("forget_quality") is None):
        return None  # or made without one
    if "MUSE" in name:
        return of_model(re.sub(r"^(muse_.*?_(?:News|Books))_.*", r"\1_retrain", name))
    forget = re.search(r"forget(\d\d)", name)
    for model in re.findall(r"tofu_(.*?)_(?:full|forget)", name):
        if forget and (path := of_model(f"tofu_{model}_retain{100 - int(forget[1]):02}")):
            return path
    return None


def of_model(model: str) -> Path | None:
    return next((path for name, path in FILES.items() if name.split("__")[0] == model), None)


def exp_as_theirs(content: dict, name: str) -> bool:
    """Whether this CPU's exp is that of the log's: some differ in the last bit, and so do truth ratios then."""
    recorded = content.get("forget_truth_ratio", {}).get("value_by_index")
    if not recorded or "forget_Q_A_PARA_Prob" not in content or "forget_Q_A_PERT_Prob" not in content:
        return True
    return ratios(from_log(content, where=name), "forget").tolist() == [row["score"] for row in recorded.values()]


def recomputed(name: str):
    content, retain = read_log(FILES[name]), retain_log(name)
    if retain is None:
        return content, evaluate(from_log(content, where=name), None, alone=True)
    return content, evaluate(from_log(content, where=name), from_log(read_log(retain), where=retain.name))


@pytest.mark.parametrize("name", FILES)
def test_every_aggregate(name):
    content, results = recomputed(name)
    published = aggregates(content)
    compared = 0
    exact = exp_as_theirs(content, name)
    unknown = retain_log(name) is None and not is_retain(name) and "forget_quality" in published
    lacking = {"forget_quality", "privleak"} if unknown or ("MUSE" in name and retain_log(name) is None) else set()
    for metric, value in published.items():
        if metric in lacking:  # its retain model's log is not here
            continue
        if metric not in results.values:
            per_sample = content[names("muse" if "MUSE" in name else "tofu")[metric]].get("value_by_index")
            lean = (
                metric == "forget_truth_ratio" and "forget_Q_A_PARA_Prob" not in content
            )  # what it is made of is not there
            assert metric in results.absent and (lean or not per_sample), f"{metric} is not recomputed"
            continue
        ours = results.values[metric].value
        if TO_THE_BIT.fullmatch(metric) and (exact or not FROM_EXP.search(metric)):
            assert ours == value, metric
        else:
            assert ours == pytest.approx(value, rel=1e-12, abs=1e-12), metric
        compared += 1
    assert compared >= (12 if "TOFU" in name and "_full" in name and len(content) > 25 else 1)


@pytest.mark.parametrize("name", FILES)
def test_every_column_and_its_mean(name):
    """Each recorded mean of a column, whether a metric of ours or not; attacks' means were taken in single precision."""
    content, kind = read_log(FILES[name]), "muse" if "MUSE" in name else "tofu"
    evidence, seen = from_log(content, where=name), set()
    reported = {"muse": "rougeL_f1", "tofu": "rougeL_recall"}[kind]
    for (section, column), (keys, key) in places(kind).items():
        entry = content
        for part in keys:
            entry = entry.get(part, {})
        if not entry.get("value_by_index") or key == "avg_loss" or ("ROUGE" in keys[0] and column != reported):
            continue
        values = evidence.column(section, column).to_numpy()
        mean = np.mean(values.mean(axis=1)) if values.ndim == 2 else np.mean(values)
        if column.startswith("attack_"):
            assert mean == pytest.approx(entry["agg_value"], rel=2e-6), keys
        else:
            assert mean == entry["agg_value"], keys
        seen.add(keys[0])
    with_samples = {k for k, v in content.items() if isinstance(v, dict) and (v.get("value_by_index") or "auc" in v)}
    assert with_samples - seen <= {
        "forget_truth_ratio",
        *(k for k in content if re.search("Truth_Ratio|_normalised", k)),
    }


@pytest.mark.parametrize("name", [name for name in FILES if "TOFU" in name])
def test_truth_ratios_sample_by_sample(name):
    content, results = recomputed(name)
    for section, theirs in (
        ("forget", "forget_truth_ratio"),
        ("retain", "retain_Truth_Ratio"),
        ("real_authors", "ra_Truth_Ratio"),
        ("world_facts", "wf_Truth_Ratio"),
    ):
        samples = content.get(theirs, {}).get("value_by_index")
        if samples and f"{section}_truth_ratio" in results.values:
            ours = ratios(from_log(content, where=name), section)
            theirs = [sample["score"] for sample in samples.values()]
            np.testing.assert_array_max_ulp(ours.to_numpy(), np.array(theirs), maxulp=4)  # exp differs between CPUs


@pytest.mark.parametrize("name", [name for name in FILES if "TOFU" in name])
def test_utility_is_the_harmonic_mean_of_the_nine_published_numbers(name):
    published = aggregates(read_log(FILES[name]))
    assert model_utility(published) == published["model_utility"]


def test_forget_quality_of_the_excerpt_is_a_distance_of_fifteen_samples():
    name = "tofu_Llama-3.2-1B-Instruct_full__evals_forget01__TOFU_EVAL.numeric"
    _, results = recomputed(name)
    assert results.values["forget_quality"].value == 0.006760732303569208
    assert results.values["forget_quality_d"].value == 15 / 40


def test_rouge_of_published_texts():
    rows = json.loads((EXCERPTS / "rouge.json").read_text())
    ours = rouge([row["ground_truth"] for row in rows], [row["generation"] for row in rows])
    for kind in ("rouge1_recall", "rougeL_recall", "rougeL_f1"):
        assert ours[kind].tolist() == [row[kind] for row in rows]


def test_every_log_that_is_there_is_tried(shared):
    there = set(SHARED.glob("*_EVAL*.json*"))
    assert there and there <= set(FILES.values())
