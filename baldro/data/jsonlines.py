"""Files of JSON lines: an object a line."""

import json
from pathlib import Path

from baldro.errors import BaldroError


def read(path: Path) -> list[tuple[str, dict]]:
    """The objects in a file, at least one, each with its place: `file:line`.

    Raises:
        BaldroError: a file that cannot be read; a line that is no object, an empty one included.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BaldroError(f"{path}: cannot be read as text ({error}); allowed: JSON lines in UTF-8") from None
    lines = text.removesuffix("\n").split("\n")  # splitlines also splits at U+2028
    return [(f"{path}:{i}", _parse(line, f"{path}:{i}")) for i, line in enumerate(lines, 1)]


def _parse(line: str, place: str) -> dict:
    try:
        row = json.loads(line)
    except json.JSONDecodeError as error:
        raise BaldroError(f"{place}: not a JSON object ({error.msg}); is the file cut short?") from None
    if not isinstance(row, dict):
        raise BaldroError(f"{place}: {type(row).__name__}; allowed: a JSON object with question and answer")
    return row
