"""Files of rows: JSON lines, an object a line, or one JSON array of objects; in UTF-8."""

import json
from pathlib import Path
from typing import Any

from baldro.durable.files import once, read_text
from baldro.errors import BaldroError

ROWS = "JSON lines in UTF-8, an object a line, or a JSON array of objects"
KINDS = {bool: "true or false", int: "a number", float: "a number", str: "a text", list: "a list", dict: "an object"}


def read(path: Path) -> list[tuple[str, dict]]:
    """The objects in a file, at least one, each with its place: `file:line`, in an array `file row i`.

    Raises:
        BaldroError: a file that cannot be read; a row that is no object, an empty line included; a key that stands twice in a row.
    """
    text = read_text(path, what=ROWS).rstrip()
    if text.lstrip().startswith("["):
        return _array(path, text)
    lines = text.split("\n")  # splitlines also splits at U+2028
    return [(f"{path}:{i}", _parse(line, f"{path}:{i}")) for i, line in enumerate(lines, 1)]


def fault(value: Any) -> str | None:
    """What keeps a value from being a text that a model can read, as the end of a sentence; None: nothing.

    >>> fault("1956"), fault(1956), fault("  ")
    (None, 'is a number (1956); allowed: text, in quotes', 'is missing or empty')
    """
    if value is None or (isinstance(value, str) and not value.strip()):
        return "is missing or empty"
    if not isinstance(value, str):
        return f"is {KINDS.get(type(value), type(value).__name__)} ({str(value)[:40]}); allowed: text, in quotes"
    try:
        value.encode("utf-8")
    except UnicodeEncodeError as error:
        return f"has half a surrogate pair ({value[error.start]!r}), which is no character; allowed: whole characters"
    return None


def _array(path: Path, text: str) -> list[tuple[str, dict]]:
    """The rows of an array, decoded one by one, so that an error names its row."""
    decoder, found = json.JSONDecoder(object_pairs_hook=once), []
    at = _skip(text, text.index("[") + 1)
    while text[at : at + 1] not in ("", "]"):
        place = f"{path} row {len(found)}"
        row, at = _decoded(lambda at=at: decoder.raw_decode(text, at), place)
        found.append((place, _checked(row, place)))
        at = _skip(text, at)
        if text[at : at + 1] not in ("", ",", "]"):
            raise BaldroError("not-json", f"{place}: {text[at : at + 20]!r} follows it; allowed: {ROWS}")
        at = _skip(text, at + 1) if text[at : at + 1] == "," else at
    if text[at:] != "]":
        raise BaldroError(
            "not-json",
            f"{path}: not JSON: the array {'goes on behind its ]' if text[at:] else 'has no end; is the file cut short?'}",
        )
    if not found:
        raise BaldroError("no-rows", f"{path}: an array without rows; allowed: {ROWS}, at least one")
    return found


def _skip(text: str, at: int) -> int:
    while text[at : at + 1] in tuple(" \n\t"):
        at += 1
    return at


def _parse(line: str, place: str) -> dict:
    if not line.strip():
        raise BaldroError("empty-line", f"{place}: an empty line; allowed: {ROWS}")
    return _checked(_decoded(lambda: json.loads(line, object_pairs_hook=once), place), place)


def _decoded(decode: Any, place: str) -> Any:
    try:
        return decode()
    except json.JSONDecodeError as error:
        raise BaldroError(
            "not-json", f"{place}: not a JSON object ({error.msg}); is a row on several lines, or the file cut short?"
        ) from None
    except RecursionError:
        raise BaldroError("not-json", f"{place}: lists or objects nested too deep") from None
    except BaldroError as error:
        raise BaldroError(error.code, f"{place}: {error}") from None


def _checked(row: Any, place: str) -> dict:
    if not isinstance(row, dict):
        raise BaldroError("not-an-object", f"{place}: {KINDS.get(type(row), type(row).__name__)}; allowed: {ROWS}")
    return row
