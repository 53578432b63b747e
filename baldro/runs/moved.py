"""Branches and tags of the hub that have moved since a model was described. Runs stay at the commit that they began with; this says so.

The hub is not asked: what another program brought to this machine's cache meanwhile is what a run could otherwise take.
"""

import json
import os
from contextlib import suppress
from pathlib import Path

from baldro.places import Source, described, find
from baldro.runs.experiment import Experiment


def moved(experiment: Experiment, folder: Path = Path("results/models")) -> list[str]:
    """A line for each place of the experiment's models that leads to another commit than their description has.

    Args:
        folder: where `baldro model` wrote the descriptions; a model without one has not begun.
    """
    lines = []
    for name, definition in experiment.models.items():
        described_in = folder / f"{name}.json"
        starts = _starts(described_in)
        for part, places in described(definition).items():
            source = find(places, what=f"model {name} ({part})")
            before, now = starts.get(part, ""), cached_commit(source)
            if now and before.startswith(f"hub:{source.hub}@") and before != f"hub:{source.hub}@{now}":
                lines.append(
                    f"{source} has moved: {described_in} has commit {before.rpartition('@')[2]}, and so have its runs, new ones too; the "
                    f"cache of this machine has {now}. To make all of the model anew with that, delete {described_in}"
                )
    return lines


def cached_commit(source: Source | None) -> str | None:
    """The commit that a branch or tag leads to in this machine's cache of the hub; None of a commit, a local place, or if nobody knows.

    As in `baldro.models.hub`, without the hub's client, which takes half a second to import.
    """
    if source is None or source.hub is None or source.pinned:
        return None
    home = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "huggingface"
    home = Path(os.environ.get("HF_HOME") or home).expanduser()
    cache = Path(os.environ.get("HF_HUB_CACHE") or os.environ.get("HUGGINGFACE_HUB_CACHE") or home / "hub").expanduser()
    with suppress(OSError):
        ref = cache / f"models--{source.hub.replace('/', '--')}" / "refs" / source.revision
        return ref.read_text(encoding="utf-8").strip()
    return None


def _starts(path: Path) -> dict[str, str]:
    with suppress(OSError, ValueError):
        found = json.loads(path.read_text(encoding="utf-8"))
        return found.get("starts", {}) if isinstance(found, dict) else {}
    return {}
