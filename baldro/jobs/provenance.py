"""What a run was made from: what a checkpoint must agree with, and what run.json keeps."""

import hashlib
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from baldro.durable.contents import model_content
from baldro.jobs.run_inputs import RunInputs
from baldro.places import resolve
from baldro.prompts.encode import Tokens
from baldro.prompts.prompt import hash_of
from baldro.records.model import BUILD
from baldro.runs import code_of, packages_of

PACKAGES = ("torch", "transformers", "accelerate", "datasets", "peft", "numpy", "pandas", "scipy")


def identity(
    given: RunInputs,
    *,
    retain_split: str | None = None,
    reference: Path | None = None,
    alternate_reference: Path | None = None,
) -> str:
    """What a checkpoint or a trained model must have been made from to be used: everything that its numbers depend on, as JSON.

    The hyperparameters stand beside the id, which leaves out what is at its default: a changed default is another run of the same name.
    """
    parts = {
        "run": given.run.id,
        "hyperparameters": given.run.hyperparameters(),
        "start": given.start,
        "weights": _content(given.start),
        "tokenizer": _content(given.model.tokenizer, weights=False) if given.model.tokenizer else None,
        "model": given.model.as_dict(),
        "data": given.content,
        "retain_split": retain_split,
        "reference": _hash(reference),
        "alternate_reference": _hash(alternate_reference),
        "code": code_of(given.run),
    }
    return json.dumps(parts, sort_keys=True)


def with_sequences(identity: str, *kinds: Sequence[Tokens]) -> str:
    """An identity that holds the token ids of what is trained on, too: a checkpoint of other sequences is another run's.

    Whatever a prompt is made by (template, tokenizer, a version of transformers), the ids are what it comes to.
    """
    hashes = [hash_of([sequence.hash for sequence in sequences]) for sequences in kinds]
    return json.dumps({**json.loads(identity), "sequences": hashes}, sort_keys=True)


def _content(start: str, *, weights: bool = True) -> str | None:
    """What is in a model to start from: a hash of its files, or the commit of the hub; None of one that is built."""
    if start.startswith("hub:"):
        return _commit_of(start)
    return model_content(Path(start), weights=weights) if start != BUILD else None


def _commit_of(place: str) -> str:
    """The commit that a place on the hub leads to in the cache; the place itself before anything of it is there."""
    from baldro.models import hub

    source = resolve([place], what="the model")
    folder = None if source.pinned else hub.snapshot(source)
    return folder.name if folder else place


def _hash(path: Path | None) -> str | None:
    """Of a file's content; None without one."""
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16] if path and path.is_file() else None


def provenance(given: RunInputs) -> dict[str, Any]:
    """Versions, commit, data and code of a run, and the time: fields of `records.run.Trained`."""
    versions = {name: _version(name) for name in (*PACKAGES, *packages_of(given.run))}
    return {
        "versions": {"python": sys.version.split()[0], **versions},
        "commit": _commit(),
        "data": given.content,
        "code": code_of(given.run),
        "finished": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
    }


def _version(package: str) -> str | None:
    """None of what is not installed and was not needed: no reason to lose a trained model."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _commit() -> str | None:
    """None outside a checkout, and on a machine without git: no reason to lose a trained model."""
    command = ["git", "rev-parse", "HEAD"]
    try:
        git = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parent, check=False)
    except OSError:
        return None
    return git.stdout.strip() or None
