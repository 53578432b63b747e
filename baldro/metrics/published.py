"""Published evaluation logs (open-unlearning's TOFU_EVAL.json and MUSE_EVAL.json, TOFU's own eval_log*.json) as evidence.

A log is as `read_log` gives it: {metric: {agg_value, value_by_index: {"0": {...}}}}; attacks hold one such entry each for `forget` and
`holdout`; a log of TOFU's own has an entry a section. A value that a log gives as null (an answer that its tokenizer left without
a token) is left out, as its own aggregates leave it out. Samples keep the log's order, in which its means were summed.
Known mismatch: TOFU's own code has no 1e-10 in its denominators, and in its truth ratios of real authors and world facts the answer's
loss of a second pass in other batches; we take that loss, and the 1e-10 of all other logs.
"""

import json
import math
import re
from collections import Counter
from collections.abc import Mapping
from functools import cache
from typing import Any

import numpy as np
import pandas as pd

from baldro.benchmarks import KINDS, forms
from baldro.benchmarks.definition import ATTACKS, MEMBERSHIP
from baldro.errors import BaldroError
from baldro.metrics.collapse import length, repetition
from baldro.metrics.evidence import Absent, Evidence
from baldro.metrics.original import PARAPHRASED, is_original, original_places, sample_number

SHORT = {"forget": "forget", "retain": "retain", "real_authors": "ra", "world_facts": "wf"}
ROUNDING = 1e-6  # of values taken in single precision
Place = tuple[tuple[str, ...], str]
"""(keys that lead to an entry, key of the value in each of its samples)."""

_ROUGE = {kind: kind for kind in ("rouge1_recall", "rougeL_recall", "rougeL_f1")}
_TEXT = {"repetition": repetition, "length": length}


def _tofu() -> dict[tuple[str, str], Place]:
    found: dict[tuple[str, str], Place] = {}
    for section, short in SHORT.items():
        for candidate, key in (("answer", "Prob"), ("paraphrase", "PARA_Prob"), ("wrong", "PERT_Prob")):
            if candidate == "paraphrase" and section not in PARAPHRASED:
                continue
            found[section, f"{candidate}_loss"] = ((f"{short}_Q_A_{key}",), "avg_loss")
            found[section, f"{candidate}_probability"] = ((f"{short}_Q_A_{key}",), "prob")
        found |= {(section, column): ((f"{short}_Q_A_ROUGE",), key) for column, key in _ROUGE.items()}
    return {**found, ("forget", "clean"): (("forget_Q_A_gibberish",), "score")}


def _muse() -> dict[tuple[str, str], Place]:
    entries = {"forget_knowmem": "forget_knowmem", "retain_knowmem": "retain_knowmem", "verbmem": "forget_verbmem"}
    return {
        (section, column): ((f"{entry}_ROUGE",), name)
        for section, entry in entries.items()
        for column, name in _ROUGE.items()
    }


def _tofu_names() -> dict[str, str]:
    found = {"forget_quality": "forget_quality", "model_utility": "model_utility", "fluency": "forget_Q_A_gibberish"}
    for section, short in SHORT.items():
        options = "" if section in PARAPHRASED else "_normalised"
        found[f"{section}_probability"] = f"{short}_Q_A_Prob{options}"
        found[f"{section}_rouge"] = f"{short}_Q_A_ROUGE"
        found[f"{section}_truth_ratio"] = "forget_truth_ratio" if section == "forget" else f"{short}_Truth_Ratio"
    return found


PLACES = {"tofu": _tofu(), "muse": _muse()}
"""Kind of benchmark -> (section, column) -> where a log holds it, but for what all logs have."""
NAMES = {
    "tofu": _tofu_names(),
    "muse": {
        "knowmem_forget": "forget_knowmem_ROUGE",
        "knowmem_retain": "retain_knowmem_ROUGE",
        "verbmem_forget": "forget_verbmem_ROUGE",
    },
}
"""Kind of benchmark -> our metric's name -> a log's, but for those that all logs have."""


def _layout(kind: str) -> str:
    layout = next((form for form in forms(kind) if form in PLACES), None)
    if layout is None:
        raise BaldroError(
            "no-published-logs", f"kind {kind} has no published logs; allowed: {', '.join(PLACES)}, forms of them"
        )
    return layout


def places(kind: str) -> dict[tuple[str, str], Place]:
    """(section, column) -> where a log of a kind of benchmark holds it. Raises BaldroError where there are no such logs."""
    found, memorised = dict(PLACES[_layout(kind)]), KINDS[kind].memorised
    found |= {(memorised, name): ((name,), "score") for name in ("exact_memorization", "extraction_strength")}
    for section in ("forget", "holdout"):
        found |= {(section, f"attack_{attack}"): ((f"mia_{attack}", section), "score") for attack in ATTACKS}
    return found


def ratio_places(content: Mapping[str, Any]) -> dict[tuple[str, str], Place]:
    """(section, truth_ratio) -> where a log holds it per sample, which it is asked for only where it lacks the losses."""
    old = "forget_Truth_Ratio" in content and "forget_truth_ratio" not in content
    told = {"forget": "forget_Truth_Ratio" if old else "forget_truth_ratio"}
    return {
        (name, "truth_ratio"): ((told.get(name, f"{short}_Truth_Ratio"),), "score") for name, short in SHORT.items()
    }


def kind_of(content: Mapping[str, Any]) -> str | None:
    """tofu or muse, by the names that only one of them has; None where a log has none of these (attacks alone, say)."""
    if is_original(content):
        return "tofu"
    if any(re.search("knowmem|verbmem", name) for name in content):
        return "muse"
    return "tofu" if any(re.search("_Q_A_|ruth_|forget_quality|model_utility", name) for name in content) else None


def from_log(content: Mapping[str, Any], *, where: str, kind: str | None = None) -> Evidence:
    """A published log as evidence. Raises BaldroError naming `where`, the metric and the sample of what is broken.

    kind: of the log that it is held against, for a log that does not show its own; then tofu.
    """
    kind = kind_of(content) or kind or "tofu"
    known = original_places(content) if is_original(content) else places(kind)
    known |= ratio_places(content) if "forget_truth_ratio" in names(kind) and not is_original(content) else {}

    def compute(section: str, name: str) -> pd.Series | pd.DataFrame:
        if name in _TEXT:
            rows = texts(section)
            if "generation" not in rows:
                raise Absent(f"the log has no generations ({where})")
            return pd.Series(_TEXT[name](rows["generation"].tolist()), index=rows.index.get_level_values("index"))
        if (section, name) not in known:
            whose = "TOFU's own" if is_original(content) else "published"
            raise Absent(f"{whose} logs have no {name} of {section}")
        keys, key = known[section, name]
        samples, place = _samples(content, keys, where), f"{where}: {'.'.join(keys)}"
        for index in sorted(set(texts(section).index.get_level_values("index")) ^ set(samples)):
            raise BaldroError("samples-differ", f"{place}: sample {index} is not in every entry of its section")
        found = _values(samples, key, place, lists=name.startswith("wrong_"))
        if not name.startswith("attack_"):  # its score may be anything
            _check_range(found, key, place, high=math.inf if key.endswith("_loss") or name == "truth_ratio" else 1.0)
        return np.exp(-found) if name.endswith("_probability") and key.endswith("_loss") else found

    @cache
    def texts(section: str) -> pd.DataFrame:
        return _texts(content, known, section, where)

    return Evidence(kind=kind, where=where, compute=compute, texts=texts)


def aggregates(content: Mapping[str, Any]) -> dict[str, float]:
    """What a log itself says: our metric's name -> its aggregate, nulls left out. Raises BaldroError on anything but numbers."""
    found = {}
    for ours, theirs in names(kind_of(content) or "tofu").items():
        theirs = "forget_Truth_Ratio" if theirs == "forget_truth_ratio" and theirs not in content else theirs
        value = content[theirs].get("agg_value") if isinstance(content.get(theirs), Mapping) else None
        if value is not None and not _number(value):
            raise BaldroError("not-a-number", f"{theirs}: agg_value is {str(value)[:60]!r}; needs a number or null")
        if value is not None:
            found[ours] = float(value)
    return found


def names(kind: str) -> dict[str, str]:
    """Our metric's name -> a log's."""
    return {name: name for name in ("exact_memorization", "extraction_strength", *MEMBERSHIP)} | NAMES[_layout(kind)]


def _samples(content: Mapping[str, Any], keys: tuple[str, ...], where: str) -> dict[int, Mapping[str, Any]]:
    """The samples of an entry by their number, in the log's order."""
    entry: Any = content
    for key in keys:
        entry = entry.get(key) if isinstance(entry, Mapping) else None
    name = ".".join(keys)
    if not isinstance(entry, Mapping) or entry.get("value_by_index") in (None, {}):
        raise Absent(f"the log has no {name} ({where})")
    samples = entry["value_by_index"]
    if not isinstance(samples, Mapping) or not all(isinstance(sample, Mapping) for sample in samples.values()):
        raise BaldroError("log-ill-formed", f"{where}: {name}: value_by_index must be {{index: {{name: value}}}}")
    found: dict[int, Mapping[str, Any]] = {}
    for index, sample in samples.items():
        number = sample_number(index)
        if number is None or number in found:
            raise BaldroError("sample-number-missing", f"{where}: {name}: sample {index!r}; needs a number, once")
        found[number] = sample
    return found


def _values(samples: Mapping[int, Mapping[str, Any]], key: str, where: str, *, lists: bool) -> pd.Series | pd.DataFrame:
    """A number of each sample (as many numbers of each with `lists`), nulls left out; Absent where no sample has one."""
    if not any(key in sample for sample in samples.values()):
        raise Absent(f"the log has no {key} in {where.rpartition(': ')[2]} ({where.rpartition(': ')[0]})")
    for index, sample in samples.items():
        if key not in sample:
            raise BaldroError("value-missing", f"{where}: sample '{index}' has no {key}; every sample needs one")
    kept = {index: sample[key] for index, sample in samples.items() if sample[key] is not None}
    if not kept:
        raise BaldroError("no-values", f"{where}: {key}: no values but null; needs a number in one sample or more")
    count = Counter(len(value) for value in kept.values() if isinstance(value, list)).most_common(1)
    length = count[0][0] if count else 0
    for index, value in kept.items():
        numbers = value if isinstance(value, list) else [value]
        shaped = isinstance(value, list) == lists and (not lists or len(value) == length > 0)
        if not shaped or not all(_number(number) and math.isfinite(number) for number in numbers):
            needs = f"a list of {length or 'one or more'} finite numbers" if lists else "a finite number"
            said = json.dumps(value)[:60]
            raise BaldroError("not-a-number", f"{where}: {key} of sample {index} is {said}; needs {needs}")
    array = np.array(list(kept.values()), dtype=np.float64)
    return (pd.DataFrame if lists else pd.Series)(array, index=list(kept))


def _check_range(values: pd.Series | pd.DataFrame, key: str, where: str, *, high: float) -> None:
    """Losses and truth ratios are 0 or more (high: infinite), shares and probabilities 0 to 1."""
    bad = ~((values >= -ROUNDING) & (values <= high + ROUNDING)).to_numpy().reshape(len(values), -1).all(axis=1)
    if bad.any():
        at = values.index[int(bad.argmax())]
        needs = "0 or more" if high == math.inf else "0 to 1"
        raise BaldroError("number-out-of-range", f"{where}: {key} of sample {at} is {values.loc[at]}; needs {needs}")


def _number(value: Any) -> bool:
    return type(value) is float or (type(value) is int and abs(value) < 2**63)


def _texts(
    content: Mapping[str, Any], known: Mapping[tuple[str, str], Place], section: str, where: str
) -> pd.DataFrame:
    """A row per sample; true answers and generations where the log holds texts (the logs' own question is a whole prompt)."""
    names = sorted((name for part, name in known if part == section), key=lambda name: not name.startswith("rouge"))
    for name in names:  # entries with texts first
        try:
            samples = _samples(content, known[section, name][0], where)
        except Absent:
            continue
        index = pd.MultiIndex.from_tuples([(i, "answer") for i in samples], names=["index", "candidate"])
        columns = {}
        for ours, theirs in (("text", "ground_truth"), ("generation", "generation")):
            told = [sample.get(theirs) for sample in samples.values()]
            if all(isinstance(text, str) for text in told):
                columns[ours] = told
        return pd.DataFrame(columns, index=index)
    raise Absent(f"the log has no samples of {section} ({where})")
