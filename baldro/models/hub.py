"""Which files of a repository loading needs, and whether this machine's cache of the hub has them; `baldro download` fills it.

The cache is huggingface_hub's own: $HF_HUB_CACHE, else $HF_HOME/hub. Nothing here asks the hub: compute jobs run with
HF_HUB_OFFLINE=1, which huggingface_hub reads when it is imported.
"""

import re
from collections.abc import Iterable, Mapping
from hashlib import sha1
from pathlib import Path

from baldro.durable.contents import TOKENIZER as SMALL
from baldro.durable.contents import digests, model_files
from baldro.durable.files import read_json
from baldro.errors import BaldroError
from baldro.places import Source

CONFIG = "config.json"
WEIGHTS = ("model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json")
"""Where transformers looks for weights, in its order; it loads the first that is there and no other."""
TOKENIZER = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "chat_template.jinja")  # fmt: skip
"""Files of a tokenizer that transformers reads where the repository has them; vocabularies have many names."""
ADAPTERS = ("adapter_config.json", "adapter_model.safetensors", "adapter_model.bin")
"""Files of adapters beside a model: peft would put them into it as it is loaded."""


def no_connection() -> type[Exception]:
    """Class of error that the hub's client raises when a connection fails or breaks off."""
    from huggingface_hub.utils import httpx

    return httpx.TransportError


def offline() -> bool:
    """Whether the hub is switched off for this process (HF_HUB_OFFLINE=1)."""
    import huggingface_hub

    return huggingface_hub.is_offline_mode()


def cache() -> Path:
    """The folder of downloaded repositories."""
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE)


def weights_file(names: Iterable[str]) -> str | None:
    """The file that transformers would load weights from, or the index of such files; None if it would find none."""
    return next((name for name in WEIGHTS if name in set(names)), None)


def small_files(names: Iterable[str]) -> list[str]:
    """A repository's config, tokenizer and chat templates; files in other folders, such as copies in other formats, are left out."""
    near = [name for name in names if "/" not in name or name.startswith("additional_chat_templates/")]
    return [name for name in near if name.endswith(SMALL) and not name.endswith(".index.json")]


def shards(index: Path) -> list[str]:
    """The files that an index of weights names."""
    table = read_json(index)
    if not isinstance(table, dict) or not isinstance(table.get("weight_map"), dict):
        raise BaldroError("not-an-index", f"{index} is no index of weights; allowed: a JSON object with weight_map")
    return sorted(set(table["weight_map"].values()))


def check_no_adapters(names: Iterable[str], where: object) -> None:
    """Check that no adapters lie beside a model.

    Raises:
        BaldroError: adapters lie beside it.
    """
    found = sorted(set(ADAPTERS) & set(names))
    if found:
        raise BaldroError(
            "adapters-beside-model",
            f"{where} holds adapter weights ({', '.join(found)}) beside the model; allowed: a folder of the model with its adapters "
            "merged into it (peft: merge_and_unload), or without these files",
        )


def lacking(folder: Path, sizes: Mapping[str, int | None], *, weights: bool) -> list[str]:
    """Files that loading needs and that a folder lacks, or has in part.

    Args:
        folder: where the files are to be.
        sizes: file -> bytes, or None where that is not known; all files of the repository.
        weights: the model is to be loaded, not its tokenizer.
    """
    names = [CONFIG]
    if weights:
        first = weights_file(sizes) or WEIGHTS[0]
        names.append(first)
        if first.endswith(".index.json") and (folder / first).is_file():
            names += shards(folder / first)
    else:
        names += [name for name in TOKENIZER if name in sizes]
    return [name for name in names if not whole(folder / name, sizes.get(name))]


def whole(path: Path, size: int | None) -> bool:
    """Whether a file exists, with all its bytes if their number is known. The cache's files are links, which may be broken."""
    return path.is_file() and size in (None, path.stat().st_size)


def snapshot(source: Source) -> Path | None:
    """The cache's folder of a repository at a revision; None if nothing of it is there."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        return Path(snapshot_download(source.hub, revision=source.revision, local_files_only=True, allow_patterns=[]))
    except LocalEntryNotFoundError:
        return None


def at_commit(source: Source) -> Source:
    """The commit that a branch or tag leads to in the cache, after something of it was loaded."""
    return source if source.pinned else Source(hub=source.hub, revision=_present(source).name)


def ready(source: Source, *, weights: bool) -> Path | None:
    """The cache's folder of a commit, if the commit's listing says that it is complete, so that the hub need not be asked; else None."""
    folder = snapshot(source) if source.pinned else None
    sizes = _tree(source, folder) if folder else None
    if not sizes or [name for name in small_files(sizes) if not (folder / name).is_file()] + lacking(
        folder, sizes, weights=weights
    ):
        return None
    _check_unedited(source, folder, weights=weights)
    return folder


def listing(source: Source, folder: Path) -> dict[str, int | None]:
    """File -> bytes of a repository whose snapshot is `folder`, by the cache's listing; without one, the folder's files."""
    return _tree(source, folder) or {
        p.relative_to(folder).as_posix(): None for p in folder.rglob("*") if not p.is_dir()
    }


def _tree(source: Source, folder: Path) -> dict[str, int | None] | None:
    """File -> bytes of a commit, from the listing that snapshot_download keeps; None without one."""
    from huggingface_hub import get_cached_repo_tree
    from huggingface_hub.errors import CachedRepoTreeNotFoundError

    try:
        return {file.path: file.size for file in get_cached_repo_tree(source.hub, revision=folder.name)}
    except CachedRepoTreeNotFoundError:
        return None


def cached(source: Source, *, weights: bool) -> Path:
    """The cache's folder of a repository, checked to hold what loading needs: a model's weights, or its tokenizer.

    Raises:
        BaldroError: which file is not there, or that none is, and how to bring it.
    """
    folder = _present(source)
    missing = lacking(folder, listing(source, folder), weights=weights)
    if missing:
        more = f" (and {len(missing) - 1} more)" if len(missing) > 1 else ""
        state = "not whole in" if (folder / missing[0]).is_file() else "not in"
        raise BaldroError("not-in-cache", f"{source}: {missing[0]}{more} is {state} {_where(source)}")
    _check_unedited(source, folder, weights=weights)
    return folder


def _check_unedited(source: Source, folder: Path, *, weights: bool) -> None:
    """Raise an error if a file of the cache is not what the hub gave under its commit."""
    for path in model_files(folder, weights=weights):
        if not _is_as_given(path):
            raise BaldroError(
                "edited-in-cache",
                f"{source}: {path.name} was changed in the cache, and is not what the hub gave; allowed: remove {path.resolve()} and "
                f"`baldro download --place {source}`, or a copy of {folder} as a local place of the model",
            )


def _is_as_given(path: Path) -> bool:
    """Whether a file has the hash that the cache names it by; True in a cache without links, which has no such names."""
    if not path.is_symlink():
        return not any(beside.is_symlink() for beside in path.parent.iterdir())
    blob = path.resolve()
    if re.fullmatch(r"[0-9a-f]{64}", blob.name):
        return digests([blob])[blob] == blob.name
    if not re.fullmatch(r"[0-9a-f]{40}", blob.name):
        return True
    content = blob.read_bytes()  # git's own hash, or a mirror's
    return blob.name in (sha1(b"blob %d\0" % len(content) + content).hexdigest(), sha1(content).hexdigest())


def _present(source: Source) -> Path:
    """As `snapshot`, but an error if nothing of it is there."""
    folder = snapshot(source)
    if folder is None:
        raise BaldroError("not-in-cache", f"{source}: nothing of it is in {_where(source)}")
    return folder


def _where(source: Source) -> str:
    why = " (HF_HUB_OFFLINE=1: the hub is switched off, as in compute jobs)" if offline() else ""
    return (
        f"the cache {cache()}{why}; allowed: `baldro download --place {source}` or the experiment started on a machine with network, "
        "and $HF_HOME on a file system that the nodes share"
    )
