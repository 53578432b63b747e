"""Files of others' evaluations, read and told apart: open-unlearning's logs, and those of TOFU's own first code.

open-unlearning: {metric: {agg_value, value_by_index: {"0": {...}}}}.
TOFU's (locuslab/tofu): {column: {"0": value}} of one section a file, the section in the file's name, or all of them in
eval_log_aggregated.json under those names. Read, it is {section: {value_by_index: {"0": {column: value}}}}, so that one reader serves both.
"""

import gzip
import json
import re
import zlib
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from baldro.errors import BaldroError

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
_COLUMNS = {"avg_gt_loss", "avg_paraphrased_loss", "average_perturb_loss", "truth_ratio", "rougeL_recall"}
_TEXTS = ("input", "generation", "ground_truth")


def read_log(path: Path) -> dict[str, Any]:
    """A log file, plain or gzip, or a folder of TOFU's. Raises BaldroError when it is not there, cut short, or no such log."""
    if path.is_dir() and (files := _files_of(path)):
        read = {file.name.removesuffix(".gz"): _parsed(file) for file in files}
        content = read.get(AGGREGATED, read)
    else:
        content = _parsed(path)
    if isinstance(content, dict) and _COLUMNS & set(content):
        content = {path.name: content}
        if not section_of(path.name):
            raise BaldroError(
                f"{path}: columns of one section of TOFU's log; the name says which: {', '.join(FILES.values())} (or .gz)"
            )
    if isinstance(content, dict) and any(map(section_of, content)):
        return _by_sample(content, path)
    entries = isinstance(content, dict) and [value for value in content.values() if _is_entry(value)]
    if not entries:
        raise BaldroError(f"{path}: no evaluation log; allowed: {{metric: {{agg_value, value_by_index}}}}")
    return content


def section_of(name: str) -> str | None:
    """The section that a file's name in TOFU's log stands for."""
    stem = name.removesuffix(".gz").removesuffix(".json")
    return next((section for section, pattern in _NAMED.items() if re.fullmatch(pattern, stem)), None)


def is_original(content: Mapping[str, Any]) -> bool:
    """Whether a log is of TOFU's own first code."""
    return any(map(section_of, content))


def sample_number(key: str) -> int | None:
    """A sample's number by its key in a log: 0 or more, "17", or "17.0" as data frames write it; None for anything else.

    >>> [sample_number(key) for key in ("17", "17.0", "017", "-1", "1.5")]
    [17, 17, None, None, None]
    """
    plain = key.removesuffix(".0")
    return int(plain) if re.fullmatch("(0|[1-9][0-9]{0,17})", plain) else None


def _files_of(folder: Path) -> list[Path]:
    """The logs of TOFU's code in a folder: the one that holds all, or each section's."""
    found = [file for file in sorted(folder.iterdir()) if section_of(file.name)]
    every = [file for file in (folder / AGGREGATED, folder / f"{AGGREGATED}.gz") if file.is_file()]
    return every[:1] or found


def _parsed(path: Path) -> Any:
    try:
        data = path.read_bytes()
        return json.loads(gzip.decompress(data) if path.suffix == ".gz" else data, object_pairs_hook=_once)
    except FileNotFoundError:
        raise BaldroError(
            f"{path} is not there; allowed: a TOFU_EVAL.json or MUSE_EVAL.json, or an eval_log*.json of TOFU's, plain or .gz"
        ) from None
    except IsADirectoryError:
        raise BaldroError(f"{path}: a folder is not readable as a log; allowed: one with {AGGREGATED}") from None
    except (OSError, EOFError, zlib.error, ValueError, RecursionError) as error:
        raise BaldroError(f"{path}: not readable JSON ({error}); is the file cut short?") from None


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        name = Counter(name for name, _ in pairs).most_common(1)[0][0]
        raise ValueError(f"{name!r} stands twice in one object")
    return found


def _is_entry(value: Any) -> bool:
    return isinstance(value, dict) and ("agg_value" in value or "value_by_index" in value)


def _by_sample(content: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """TOFU's log with a record a sample in place of a table a column."""
    found: dict[str, Any] = {}
    for name, columns in content.items():
        section = section_of(name)
        if section is None:
            continue
        if FILES[section] in found:
            raise BaldroError(f"{path}: {name} stands for section {section!r}, which another entry does; needs one")
        samples: dict[str, dict[str, Any]] = {}
        for column, values in columns.items() if isinstance(columns, dict) else [("", columns)]:
            if not isinstance(values, dict):
                raise BaldroError(
                    f"{path}: {name}: {column} must be {{sample's number: value}}, which says whose it is"
                )
            for key, value in values.items():
                number = sample_number(key)
                sample = samples.setdefault(key if number is None else str(number), {})
                if column in sample:
                    raise BaldroError(f"{path}: {name}: {column}: sample {key!r} stands twice; needs a value each")
                sample[column] = value
        for sample in samples.values():
            told = sample.pop("generated_text", None)
            sample |= dict(zip(_TEXTS, told, strict=False)) if isinstance(told, list) else {}
        found[FILES[section]] = {"value_by_index": samples}
    return found
