"""Files and folders that are written whole or not at all, and files that are read or refused in one line."""

import codecs
import glob
import json
import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from baldro.errors import BaldroError, placed

if TYPE_CHECKING:
    import pandas as pd


@contextmanager
def whole(path: Path, *, check: Callable[[], None] | None = None) -> Iterator[Path]:
    """A place beside `path` to write a file or a folder to; at the end it is on the disk and takes the name, after an error it is gone.

    The place has a name of its own (`NAME.RANDOM.part`): two processes that write the same file never write into one another.

    Args:
        check: called at last, before the name is taken; what it raises leaves `path` as it was.

    Raises:
        BaldroError: the place cannot be written; what `check` raises.
    """
    beside = path.with_name(f"{path.name}.{secrets.token_hex(4)}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield beside
        _flush(beside)
        if check:
            check()
        _rename(beside, path)
    except OSError as error:
        if check:
            check()  # that another process took the place away explains the error
        raise BaldroError(
            "not-writable", f"{path} cannot be written ({error.strerror or error}); allowed: a folder of yours"
        ) from None
    finally:
        remove(beside)


def sweep(path: Path, *, before: int) -> None:
    """Remove what processes that were killed while they wrote `path` left beside it: parts last written before a time, in ns."""
    for part in path.parent.glob(f"{glob.escape(path.name)}.*part"):
        with suppress(FileNotFoundError):
            if part.stat().st_mtime_ns < before:
                remove(part)


def remove(path: Path) -> None:
    """Delete a file or a folder, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink()


def link(source: Path, target: Path) -> None:
    """Hard links to a file, or to every file of a folder, which take no more disk; copies where the file system has no links."""
    if source.is_dir():
        target.mkdir()
        for path in source.iterdir():
            link(path, target / path.name)
        return
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def write_text(path: Path, text: str) -> None:
    """Store a text, whole or not at all."""
    with whole(path) as beside:
        beside.write_text(text, encoding="utf-8", newline="")


def write_json(path: Path, value: Any) -> None:
    """Store a value as JSON, whole or not at all."""
    write_text(path, json.dumps(value, indent=2) + "\n")


MARKS = {
    codecs.BOM_UTF32_LE: "UTF-32",
    codecs.BOM_UTF32_BE: "UTF-32",
    codecs.BOM_UTF16_LE: "UTF-16",
    codecs.BOM_UTF16_BE: "UTF-16",
}
"""Byte-order mark -> encoding; UTF-32's little-endian mark begins with UTF-16's, so it comes first."""


def read_text(path: Path, *, what: str = "a text in UTF-8") -> str:
    """A text in UTF-8, whatever the locale: without a byte-order mark at its head, its lines ended by line feeds.

    Args:
        what: what the file should be, for errors.

    Raises:
        BaldroError: a file that cannot be read; another encoding, with the first line that shows it.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise BaldroError("not-readable", f"{path}: cannot be read ({error.strerror}); allowed: {what}") from None
    other = next((name for mark, name in MARKS.items() if data.startswith(mark)), None)
    if other or b"\0" in data[:4]:  # UTF-16 without a mark: every other byte of a plain text is none
        raise BaldroError("not-utf-8", f"{path}: is in {other or 'UTF-16, it seems'}; allowed: {what}, saved as UTF-8")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        place = f"{path}:{data.count(10, 0, error.start) + 1}"
        raise BaldroError(
            "not-utf-8", f"{place}: byte 0x{data[error.start]:02x} is not UTF-8; allowed: {what}, saved as UTF-8"
        ) from None
    return text.replace("\r\n", "\n").replace("\r", "\n")


def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object from its pairs (`object_pairs_hook`), in which no key stands twice; json.loads alone would keep the last.

    Raises:
        BaldroError: a key that stands twice.
    """
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise BaldroError("key-stands-twice", f"key {key!r} stands twice; allowed: once")
        found[key] = value
    return found


def read_json(path: Path) -> Any:
    """Read a JSON file; a missing one, or one that is cut short, is an error."""
    if not path.exists():
        raise BaldroError("file-missing", f"{path} is not there; allowed: a file that an earlier verb wrote")
    try:
        return json.loads(read_text(path, what="JSON in UTF-8"))
    except json.JSONDecodeError as error:
        raise BaldroError(
            "not-json", f"{path}:{error.lineno}: not JSON ({error.msg}); is the file cut short?"
        ) from None


def parse_json(text: str, *, what: str) -> dict[str, Any]:
    """Read the JSON object in a command line's option."""
    try:
        with placed(what):
            value = json.loads(text, object_pairs_hook=once)
    except json.JSONDecodeError as error:
        said = f"{what} is not JSON ({error.msg}): {text[:60]!r}; allowed: a JSON object"
        raise BaldroError("not-json", said) from None
    if not isinstance(value, dict):
        raise BaldroError("not-a-json-object", f"{what} is {type(value).__name__}; allowed: a JSON object")
    return value


def read_table(path: Path) -> "pd.DataFrame":
    """Read a parquet file; a missing one, or one that is cut short, is an error."""
    import pandas as pd
    import pyarrow as pa

    try:
        return pd.read_parquet(path)
    except FileNotFoundError:
        raise BaldroError("file-missing", f"{path} is not there; allowed: a file that an earlier verb wrote") from None
    except (OSError, pa.ArrowException) as error:
        raise BaldroError("not-parquet", f"{path}: not a parquet file ({error}); is the file cut short?") from None


def _flush(path: Path) -> None:
    """Write a file, or a folder and all in it, from memory to the disk."""
    if path.is_dir():
        for each in path.iterdir():
            _flush(each)
    _sync(path)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError:
        if not path.is_dir():  # some file systems know no such thing for a folder
            raise
    finally:
        os.close(handle)


def _rename(beside: Path, path: Path) -> None:
    """Rename `beside` to `path`; an old folder of that name is moved away first, not emptied file by file."""
    old = beside.with_suffix(".old.part")
    if path.is_dir():
        path.replace(old)
    beside.replace(path)
    remove(old)
    _sync(path.parent)
