"""A model's weights -> this machine's cache, before any job needs them: what is in the cache is not downloaded again."""

import errno
import shutil
from argparse import Namespace
from collections.abc import Iterable, Iterator, Mapping
from glob import escape
from pathlib import Path

from baldro.durable.contents import model_content
from baldro.durable.files import parse_json, remove
from baldro.errors import BaldroError, unknown
from baldro.models import hub
from baldro.places import Source, parts, resolve
from baldro.plan.text import count, size
from baldro.records import model
from baldro.records import weights as record

TIMEOUT = 30.0
"""Seconds in which the hub must answer."""
TOKENIZER = "tokenizer"
"""The part of a model that has no weights."""
FULL = (errno.ENOSPC, errno.EDQUOT)
REFUSED = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR)


def run(options: Namespace) -> None:
    """What the verb's options say."""
    source = place_of(options)
    weights = options.place is not None or options.part != TOKENIZER
    if source.path is None:
        folder = hub.cached(source, weights=weights) if hub.offline() else fetch(source, weights=weights)
        commit, files = folder.name, loaded(folder, hub.listing(source, folder), weights=weights)
        known = {"commit": commit}
        _tell_moved(source, commit, options.output)
    else:
        folder, files = source.path, local(source.path, weights=weights)
        known = {"commit": None, "content": model_content(folder, weights=weights)}
    if weights and folder.is_dir():
        from baldro.models.checkpoint import check_folder  # seconds of torch, which nothing else here needs

        check_folder(folder)
    total = sum(files.values())
    if options.output:
        record.write(options.output, record.Weights(place=str(source), **known, bytes=total, files=files))
    print(f"{source}: {count(len(files), 'file')}, {size(total)}, in {folder}")


def place_of(options: Namespace) -> Source:
    """The place that the options mean: --place itself, or the first one that exists for a part of a model."""
    if options.place:
        return _place(options.place)
    if options.model and options.part:
        return _place(model.read(options.model).start(options.part))
    if not (options.name and options.definition and options.part):
        ways = "--place, or --model and --part, or --name, --definition and --part"
        raise BaldroError("no-place-given", f"no place is given; allowed: {ways}")
    definition = parse_json(options.definition, what="--definition")
    listed = {**parts(definition), **({TOKENIZER: definition[TOKENIZER]} if definition.get(TOKENIZER) else {})}
    if not listed:
        raise BaldroError("model-is-built", f"model {options.name} is built; allowed: one with source, or target")
    if options.part not in listed:
        raise unknown("part", options.part, listed, where=f"model {options.name}")
    return resolve(listed[options.part], what=f"model {options.name} ({options.part})")


def _place(place: str) -> Source:
    """A place as a command line has it: a local one begins in the working directory."""
    if place.startswith("hub:"):
        return resolve([place], what="--place")
    if not Path(place).exists():
        raise BaldroError("place-not-found", f"--place is not to be found; looked at: {place}")
    return Source(path=Path(place))


def _tell_moved(source: Source, commit: str, output: Path | None) -> None:
    """Say that a branch or tag leads to another commit than when the output was last written."""
    before = record.read(output) if output and output.is_file() else None
    if before and before.place == str(source) and before.commit not in (None, commit):
        print(f"{source} has moved: it was {before.commit}, and is {commit}; what was made of it is to be made anew")


def chosen(names: Iterable[str], *, where: object, weights: bool = True) -> list[str]:
    """Of all files of a repository those that transformers loads: the weights in one format, or their index, last; or no weights."""
    names = list(names)
    if not weights:
        return hub.small_files(names)
    first = hub.weights_file(names)
    if first is None or hub.CONFIG not in names:
        lacks = "config.json" if first else "weights that transformers loads"
        raise BaldroError(
            "no-weights-found",
            f"{where} has no {lacks}; allowed: config.json with {' or '.join(hub.WEIGHTS[::2])}, whole or in shards",
        )
    return [*hub.small_files(names), first]


def loaded(folder: Path, names: Iterable[str], *, weights: bool = True) -> dict[str, int]:
    """File -> bytes of what transformers loads from a folder, by name."""
    found = chosen(names, where=folder, weights=weights)
    if weights and found[-1].endswith(".index.json"):
        found += hub.shards(folder / found[-1])
    return {name: (folder / name).stat().st_size for name in sorted(set(found)) if (folder / name).is_file()}


def local(path: Path, *, weights: bool = True) -> dict[str, int]:
    """The same of a folder or a GGUF file, which must be there, for there is nowhere to bring it from."""
    if path.suffix == ".gguf" and path.is_file():
        with path.open("rb") as file:
            if file.read(4) != b"GGUF":
                raise BaldroError("not-gguf", f"{path} is no GGUF file; is it cut short?")
        return {path.name: path.stat().st_size}
    names = dict.fromkeys(each.relative_to(path).as_posix() for each in path.rglob("*") if each.is_file())
    alone = not weights and "tokenizer_config.json" in names  # says its class, as config.json does otherwise
    if missing := [] if alone else hub.lacking(path, names, weights=weights):
        raise BaldroError(
            "no-weights-found",
            f"{path} has no {missing[0]}; allowed: a folder of transformers, or a .gguf file",
        )
    return loaded(path, names, weights=weights)


def fetch(source: Source, *, weights: bool = True) -> Path:
    """A repository's files in the cache; returns their folder, which has the commit's name.

    A branch's name in the cache leads to a commit only when all of its files are there, so what an interrupted download leaves
    is what was.

    Raises:
        BaldroError: the hub out of reach, no such repository or revision, no permission, no room.
    """
    from huggingface_hub import HfApi, snapshot_download
    from huggingface_hub.utils import logging

    if folder := hub.ready(source, weights=weights):
        return folder
    logging.set_verbosity_error()  # the client tries several times; only the last error is told
    try:
        info = HfApi().model_info(source.hub, revision=source.revision, files_metadata=True, timeout=TIMEOUT)
        commit = Source(hub=source.hub, revision=info.sha)
        sizes = {file.rfilename: file.size for file in info.siblings or []}
        if weights:
            hub.check_no_adapters(sizes, source)
        names = chosen(sizes, where=source, weights=weights)
        if hub.CONFIG not in names:
            raise BaldroError("no-weights-found", f"{source} has no config.json; allowed: a repository with it")
        folder = _bring(commit, names, sizes)
        if weights and names[-1].endswith(".index.json"):
            names += hub.shards(folder / names[-1])
            _bring(commit, names, sizes)
        if source != commit:
            folder = Path(
                snapshot_download(source.hub, revision=source.revision, allow_patterns=list(map(escape, names)))
            )
    except BaldroError:
        raise
    except Exception as error:  # the hub's client raises many kinds; each means that something is not there
        raise told(error, source) from error
    if folder.name != info.sha or hub.lacking(folder, sizes, weights=weights):
        raise BaldroError("repository-changed", f"{source} changed during the download; run it again")
    return folder


def _bring(source: Source, names: Iterable[str], sizes: Mapping[str, int | None]) -> Path:
    """Download what of these files is not in the cache; what is there and cut short is taken anew."""
    from huggingface_hub import snapshot_download

    folder, cache = hub.snapshot(source), hub.cache()
    needed = [name for name in names if folder is None or not hub.whole(folder / name, sizes.get(name))]
    total = sum(sizes.get(name) or 0 for name in needed)
    there = next(each for each in (cache, *cache.absolute().parents) if each.is_dir())
    if total > (free := shutil.disk_usage(there).free):
        raise BaldroError(
            "disk-full",
            f"{source} needs {size(total)} and {there} has {size(free)} left; allowed: $HF_HOME on a file system with room",
        )
    if needed:
        print(f"{source}: downloading {count(len(needed), 'file')}, {size(total)}, to {cache}", flush=True)
    for name in needed if folder else ():
        remove((folder / name).resolve())  # cut short: the client would take it as it is
    return Path(snapshot_download(source.hub, revision=source.revision, allow_patterns=list(map(escape, names))))


def told(error: Exception, source: Source) -> BaldroError:
    """What the hub's client raised, as one line that says what to do."""
    from huggingface_hub import constants, errors

    site, cache, room = constants.ENDPOINT, hub.cache(), "$HF_HOME on a file system with room"
    page, access = f"{site}/{source.hub}", "`hf auth login` or $HF_TOKEN of an account that may read it"
    for cause in _causes(error):
        match cause:
            case errors.GatedRepoError():
                code, said = "access-refused", f"is gated; allowed: {access}, after asking for it at {page}"
            case errors.RevisionNotFoundError():
                code, said = "no-such-revision", f"has no such revision; allowed: a branch, tag or commit of {page}"
            case errors.RepositoryNotFoundError():
                code, said = "no-such-repository", f"is not at {site}, or private; allowed: {access}"
            case errors.HfHubHTTPError() if cause.response.status_code in (401, 403):
                code, said = "access-refused", f"is refused by {site} ({cause}); allowed: {access}"
            case _ if getattr(cause, "errno", None) in FULL or "No space left" in str(cause):
                code, said = "disk-full", f"does not fit into {cache}, which is full; allowed: {room}"
            case OSError() if cause.errno in REFUSED:
                code, said = (
                    "cache-not-writable",
                    f"cannot be stored in {cache} ({cause}); allowed: $HF_HOME in a folder of yours",
                )
            case _ if isinstance(cause, hub.no_connection()):
                why = f"cannot be brought, for {site} is out of reach ({type(cause).__name__}: {cause})"
                code, said = (
                    "hub-not-reached",
                    (
                        f"{why}; allowed: a machine with network, where it goes on with the files that are not there yet, or "
                        "HF_HUB_OFFLINE=1 to take what the cache has"
                    ),
                )
            case _:
                continue
        return BaldroError(code, f"{source} {said}")
    return BaldroError(
        "not-downloaded",
        f"{source} cannot be downloaded ({type(error).__name__}: {error}); allowed: a reachable repository",
    )


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
