"""What a run was made from: what a checkpoint must agree with, and what run.json keeps."""

import json
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

from baldro.cli.inputs import Given
from baldro.grid import code_of

PACKAGES = ("torch", "transformers", "accelerate", "datasets", "numpy", "pandas", "scipy")


def identity(given: Given) -> str:
    """What a checkpoint must have been made from to be continued: run, start, data and code."""
    place = Path(given.start)
    weights = [place] if place.is_file() else sorted(place.glob("*.safetensors"))
    stamps = [f"{p.name}:{p.stat().st_size}:{p.stat().st_mtime_ns}" for p in weights]
    definition = json.dumps(given.model, sort_keys=True)
    return " ".join([given.run.id, given.start, definition, *stamps, given.content, code_of(given.run)])


def provenance(given: Given) -> dict[str, Any]:
    """Versions, commit, data and code of a run."""
    git = subprocess.run(
        ["git", "rev-parse", "HEAD"], capture_output=True, text=True, cwd=Path(__file__).parent, check=False
    )
    return {
        "versions": {"python": sys.version.split()[0], **{name: version(name) for name in PACKAGES}},
        "commit": git.stdout.strip() or None,
        "data": given.content,
        "code": code_of(given.run),
        "finished": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
    }
