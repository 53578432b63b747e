"""The logs of TOFU's own first code (locuslab/tofu), brought into the form of open-unlearning's, a record a sample.

There a log is {column: {"0": value}} of one section a file, the section in the file's name; eval_log_aggregated.json holds all of them
under those names.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from baldro.errors import BaldroError

PARAPHRASED = ("forget", "retain")
"""Sections of TOFU that logs judge on a paraphrase; the others on the answer itself, against its options."""
AGGREGATED = "eval_log_aggregated.json"
FILES = {
    "forget": "eval_log_forget.json",
    "retain": "eval_log.json",
    "real_authors": "eval_real_author_wo_options.json",
    "world_facts": "eval_real_world_wo_options.json",
}
"""Section -> its file as TOFU's code names it."""
_NAMED = {
    "forget": "eval_(log_forget|forget_log)",
    "retain": "eval_(log|log_retain|retain_log)",
    "real_authors": "eval_real_authors?(_wo_options)?",
    "world_facts": "eval_(real_world|world_facts)(_wo_options)?",
}
COLUMNS = {"avg_gt_loss", "avg_paraphrased_loss", "average_perturb_loss", "truth_ratio", "rougeL_recall"}
_TEXTS = ("input", "generation", "ground_truth")


def section_of(name: str) -> str | None:
    """The section that a file's name in TOFU's log stands for."""
    stem = name.removesuffix(".gz").removesuffix(".json")
    return next((section for section, pattern in _NAMED.items() if re.fullmatch(pattern, stem)), None)


def is_original(content: Mapping[str, Any]) -> bool:
    """Whether a log is of TOFU's own first code."""
    return any(map(section_of, content))


def files_of(folder: Path) -> list[Path]:
    """The logs of TOFU's code in a folder: the one that holds all, or each section's."""
    found = [file for file in sorted(folder.iterdir()) if section_of(file.name)]
    every = [file for file in (folder / AGGREGATED, folder / f"{AGGREGATED}.gz") if file.is_file()]
    return every[:1] or found


def sample_number(key: str) -> int | None:
    """A sample's number by its key in a log: 0 or more, "17", or "17.0" as data frames write it; None for anything else.

    >>> [sample_number(key) for key in ("17", "17.0", "017", "-1", "1.5")]
    [17, 17, None, None, None]
    """
    plain = key.removesuffix(".0")
    return int(plain) if re.fullmatch("(0|[1-9][0-9]{0,17})", plain) else None


def by_sample(content: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """TOFU's log with a record a sample in place of a table a column."""
    found: dict[str, Any] = {}
    for name, columns in content.items():
        section = section_of(name)
        if section is None:
            continue
        if FILES[section] in found:
            raise BaldroError("section-twice", f"{path}: {name} is a second entry for section {section!r}")
        samples: dict[str, dict[str, Any]] = {}
        for column, values in columns.items() if isinstance(columns, dict) else [("", columns)]:
            if not isinstance(values, dict):
                raise BaldroError("sample-number-missing", f"{path}: {name}: {column} must be {{sample: value}}")
            for key, value in values.items():
                number = sample_number(key)
                sample = samples.setdefault(key if number is None else str(number), {})
                if column in sample:
                    raise BaldroError("sample-twice", f"{path}: {name}: {column}: sample {key!r} stands twice")
                sample[column] = value
        for sample in samples.values():
            told = sample.pop("generated_text", None)
            sample |= dict(zip(_TEXTS, told, strict=False)) if isinstance(told, list) else {}
        found[FILES[section]] = {"value_by_index": samples}
    return found


def original_places(content: Mapping[str, Any]) -> dict[tuple[str, str], tuple[tuple[str, ...], str]]:
    """`places` of TOFU's own logs; probabilities are made of the losses that stand there."""
    found: dict[tuple[str, str], tuple[tuple[str, ...], str]] = {}
    for section, file in FILES.items():
        samples = content.get(file, {}).get("value_by_index", {}).values()
        twice = section not in PARAPHRASED and any("avg_paraphrased_loss" in sample for sample in samples)
        second = "avg_paraphrased_loss" if twice else "avg_gt_loss"  # there of the answer once more
        found |= {
            (section, "answer_loss"): ((file,), second),
            (section, "answer_probability"): ((file,), "avg_gt_loss"),
        }
        found |= {(section, f"wrong_{what}"): ((file,), "average_perturb_loss") for what in ("loss", "probability")}
        if section in PARAPHRASED:
            for what in ("loss", "probability"):
                found[section, f"paraphrase_{what}"] = ((file,), "avg_paraphrased_loss")
        found |= {(section, column): ((file,), column) for column in ("rouge1_recall", "rougeL_recall", "truth_ratio")}
    return found
