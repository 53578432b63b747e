"""A hash of the local files that jobs read, by names and bytes: a touch or a copy does not change it.

Times cannot tell it: a folder that another one is moved over, or a link that is turned, may be older than what was made of the last.
The hash of a large file is remembered by its size, times and inode, so that the weights of a model are read once and not in every
dry run; another time only makes it read again. It is kept in Snakemake's folder; where there is none, every process reads for itself.
"""

import hashlib
import json
import sys
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from baldro.durable.files import write_json
from baldro.errors import BaldroError

MEMORY = Path(".snakemake") / "baldro-contents.json"
"""File that keeps the hashes of large files: name -> stamp and hash."""
LARGE = 2**20
"""Bytes from which a file's hash is kept."""
LONG = 4 * 10**9
"""Bytes from which reading is announced: seconds on a local disk, a minute over a network."""
SETTLED = 3.0
"""Seconds after which a file that is written again gets another time, on file systems with coarse times too."""
TOKENIZER = (".json", ".jinja", ".txt", ".model", ".tiktoken")
"""Endings of configs, tokenizers, their vocabularies and chat templates."""
WEIGHTS = (".safetensors", ".bin", ".gguf")
INDEX = ".index.json"
"""Ending of the index of sharded weights, which belongs to the weights."""

_found: dict[tuple[str, tuple[int, ...]], str] = {}
"""(File, stamp) -> hash, in this process."""


def model_files(place: Path, *, weights: bool) -> list[Path]:
    """The files of a local model that loading may read, by name: config, tokenizer and chat templates, and the weights if wanted.

    A file that is not loaded after all may be among them; one that is loaded is never left out.

    Args:
        place: a folder as transformers writes it, or a GGUF file, which holds everything.
    """
    if not place.is_dir():
        return [place]
    endings = (*TOKENIZER, *WEIGHTS) if weights else TOKENIZER
    found = [*place.glob("[!.]*"), *place.glob("additional_chat_templates/[!.]*")]
    kept = (path for path in found if path.name.endswith(endings) and (weights or not path.name.endswith(INDEX)))
    return sorted(path for path in kept if path.is_file())


def model_content(place: Path, *, weights: bool) -> str:
    """`content` of the files that loading a local model may read; the folder's own name does not matter."""
    return content(model_files(place, weights=weights), below=place if place.is_dir() else place.parent)


def content(files: Iterable[Path], *, below: Path | None = None) -> str:
    """A hash of the names and bytes of files, whatever their order, times and owner.

    Args:
        below: the folder that the names begin in; by default they are taken as they stand.

    Raises:
        BaldroError: a file that is not there or cannot be read.
    """
    names = {str(path.relative_to(below)) if below else str(path): path for path in files}
    hashes = digests(names.values())
    lines = [f"{name} {hashes[path]}" for name, path in sorted(names.items())]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]


def digests(paths: Iterable[Path]) -> dict[Path, str]:
    """File -> SHA-256 in hexadecimal; large files are read only if they are not remembered.

    Raises:
        BaldroError: as `content`.
    """
    keys = {path: _key(path) for path in paths}
    _found.update({key: sha256 for key, sha256 in _memory().items() if key in keys.values()})
    unknown = {key: path for path, key in keys.items() if key not in _found}
    total = sum(stamp[0] for _, stamp in unknown)
    if total > LONG:
        said = "baldro: reading {:.0f} GB of model files, once, to know when they have changed"
        print(said.format(total / 1e9), file=sys.stderr, flush=True)
    with ThreadPoolExecutor(4) as pool:
        read = dict(zip(unknown, pool.map(_read, unknown.values()), strict=True))
    lasting = {key: sha256 for key, sha256 in read.items() if time.time() - max(key[1][1:3]) / 1e9 > SETTLED}
    _found.update(lasting)
    _remember({key: sha256 for key, sha256 in lasting.items() if key[1][0] >= LARGE})
    return {path: read.get(key) or _found[key] for path, key in keys.items()}


def _key(path: Path) -> tuple[str, tuple[int, ...]]:
    """Key of a file's hash: the path that links lead to, and its size, times and inode."""
    try:
        info = path.stat()
    except OSError as error:
        raise _unreadable(path, error) from None
    return str(path.resolve()), (info.st_size, info.st_mtime_ns, info.st_ctime_ns, info.st_ino)


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise _unreadable(path, error) from None


def _unreadable(path: Path, error: OSError) -> BaldroError:
    return BaldroError("not-readable", f"{path} cannot be read ({error.strerror}); allowed: a file of yours")


def _memory() -> dict[tuple[str, tuple[int, ...]], str]:
    """The hashes that are kept; none if they cannot be read, for they can be computed again."""
    with suppress(OSError, ValueError, TypeError, KeyError):
        return {
            (path, tuple(kept["stamp"])): kept["sha256"]
            for path, kept in json.loads(MEMORY.read_text(encoding="utf-8")).items()
        }
    return {}


def _remember(more: dict[tuple[str, tuple[int, ...]], str]) -> None:
    """Keep more hashes, and drop those of files that are gone."""
    if not more or not MEMORY.parent.is_dir():
        return
    known = {**_memory(), **more}
    kept = {path: {"stamp": stamp, "sha256": value} for (path, stamp), value in known.items() if Path(path).is_file()}
    with suppress(BaldroError):  # a folder of someone else
        write_json(MEMORY, kept)
