"""Files of others' evaluations, read and told apart.

open-unlearning's are {metric: {agg_value, value_by_index: {"0": {...}}}}; those of TOFU's own code (`original`) are, when read,
{section: {value_by_index: {"0": {column: value}}}}, so that one reader serves both.
"""

import gzip
import json
import zlib
from collections import Counter
from pathlib import Path
from typing import Any

from baldro.errors import BaldroError
from baldro.metrics.original import AGGREGATED, COLUMNS, FILES, by_sample, files_of, section_of


def read_log(path: Path) -> dict[str, Any]:
    """A log file, plain or gzip, or a folder of TOFU's. Raises BaldroError when it is not there, cut short, or no such log."""
    if path.is_dir() and (files := files_of(path)):
        read = {file.name.removesuffix(".gz"): _parsed(file) for file in files}
        content = read.get(AGGREGATED, read)
    else:
        content = _parsed(path)
    if isinstance(content, dict) and COLUMNS & set(content):
        content = {path.name: content}
        if not section_of(path.name):
            raise BaldroError(
                "section-not-named",
                f"{path}: columns of one section of TOFU's log; the name says which: {', '.join(FILES.values())} (or .gz)",
            )
    if isinstance(content, dict) and any(map(section_of, content)):
        return by_sample(content, path)
    entries = isinstance(content, dict) and [value for value in content.values() if _is_entry(value)]
    if not entries:
        raise BaldroError("no-evaluation-log", f"{path}: no evaluation log, {{metric: {{agg_value, value_by_index}}}}")
    return content


def _parsed(path: Path) -> Any:
    try:
        data = path.read_bytes()
        return json.loads(gzip.decompress(data) if path.suffix == ".gz" else data, object_pairs_hook=_once)
    except FileNotFoundError:
        raise BaldroError(
            "file-not-there",
            f"{path} is not there; allowed: a TOFU_EVAL.json or MUSE_EVAL.json, or an eval_log*.json of TOFU's, plain or .gz",
        ) from None
    except IsADirectoryError:
        raise BaldroError("no-evaluation-log", f"{path}: a folder without {AGGREGATED}") from None
    except (OSError, EOFError, zlib.error, ValueError, RecursionError) as error:
        raise BaldroError("not-json", f"{path}: not readable JSON ({error}); is the file cut short?") from None


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        name = Counter(name for name, _ in pairs).most_common(1)[0][0]
        raise ValueError(f"{name!r} stands twice in one object")
    return found


def _is_entry(value: Any) -> bool:
    return isinstance(value, dict) and ("agg_value" in value or "value_by_index" in value)
