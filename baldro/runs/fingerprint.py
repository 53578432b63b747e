"""What a stage's numbers depend on: a hash of the code of the modules that make them, which are listed here.

An entry is a module, a package with all that is in it (its templates and tables too), or a package's own file (`package.__init__`). A test
holds each list against what the stage really imports. Not listed is what makes no number: configs, checks, locks, progress.
"""

import hashlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from baldro.methods.catalogue import OBJECTIVES
from baldro.runs.run import Run
from baldro.runs.source import digest, imports

PACKAGE = Path(__file__).resolve().parents[1]
DATA = (".csv", ".j2")
"""Files of a package that are no Python and make numbers or pages."""

OPENED = (
    *("models.__init__", "models.checkpoint", "models.forward", "models.heads", "models.norms", "models.packing"),
    *("models.places", "models.scratch"),
    *("records.benchmark", "jobs.run_inputs", "jobs.inputs", "prompts"),
)
"""From files to a model and token ids: what every stage begins with that holds a model."""
BENCHMARK = (
    *("benchmarks.__init__", "benchmarks.definition", "benchmarks.harness", "benchmarks.section"),
    "records.benchmark",
)
"""What a benchmark says of itself."""
MODULES: dict[str, tuple[str, ...]] = {
    "benchmark": (*BENCHMARK, "places"),
    "model": (
        *("models.checkpoint", "models.description", "models.heads", "models.norms", "models.places"),
        *("models.scratch", "places", "prompts.encode", "prompts.prompt", "prompts.render", "prompts.template"),
    ),
    "train": (
        *OPENED,
        *("methods.objectives.__init__", "methods.combiners.__init__"),
        *("methods.variants.__init__", "methods.variants.online"),
        *("training.devices", "training.loop", "training.optimizer", "training.order", "training.pieces"),
        *("training.schedule", "training.shards", "training.state", "training.update"),
    ),
    "adapters": ("training.adapters",),
    "rounding": ("training.rounding",),
    "reference": (*OPENED, "scoring.cache", "scoring.likelihood", "scoring.several"),
    "refusals": ("benchmarks.idk",),
    "score": (
        *(*OPENED, *BENCHMARK),
        *("scoring.__init__", "scoring.cache", "scoring.decoder", "scoring.drafts", "scoring.generation"),
        *("scoring.gradients", "scoring.likelihood", "scoring.prepare", "scoring.room", "scoring.several"),
        "scoring.table",
    ),
    "quantised": ("models.quantised",),
    "fluency": ("scoring.fluency",),
    "harness": ("scoring.harness",),
    "metrics": (
        *BENCHMARK,
        *("metrics", "stats.__init__", "stats.arrays", "stats.bootstrap", "stats.distance"),
        *("stats.intervals", "stats.redraws"),
    ),
    "report": (
        *BENCHMARK,
        *("analysis", "metrics", "report", "slurm", "stats"),
    ),
}
"""Stage, or an addition that some of its jobs have -> modules of baldro that make its numbers."""


def code_of(run: Run) -> str:
    """Fingerprint of what makes a run's weights: the loop, and its own objective, variants and combiner, no others."""
    own = [f"objectives.{run.objective}", f"variants.{run.variant}"] if run.objective in OBJECTIVES else []
    own += [f"variants.{run.retain_variant}", f"combiners.{run.combiner}"] if run.combiner else []
    more = ["adapters"] * bool(run.lora_rank) + ["rounding"] * (run.precision == "bf16-stochastic")
    more += ["refusals"] * (run.method.answers == "idk")
    return fingerprint("train", *more, own=tuple(f"methods.{name.replace('-', '_')}" for name in own))


def fingerprint(*stages: str, own: tuple[str, ...] = ()) -> str:
    """A hash of the code of stages' modules: the same for other comments, docstrings, messages and layout, on every Python.

    Args:
        stages: keys of MODULES.
        own: modules that are loaded by their name (a method, a kind of benchmark); each with the modules of its room that it imports.
    """
    return _fingerprint(PACKAGE, stages, own)


@cache
def _fingerprint(package: Path, stages: tuple[str, ...], own: tuple[str, ...]) -> str:
    paths = {path for stage in stages for path in listed(MODULES[stage], package)}
    paths |= {path for name in own for path in _with_room(name, package)}
    lines = sorted(f"{path.relative_to(package).as_posix()} {digest(path)}" for path in paths)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]


def listed(entries: tuple[str, ...], package: Path) -> set[Path]:
    """The files of a list's entries."""
    return {path for entry in entries for path in _files(package, entry)}


def _files(package: Path, entry: str) -> Iterator[Path]:
    base = package.joinpath(*entry.split("."))
    if base.is_dir():
        yield from (path for path in base.rglob("*") if path.suffix in (".py", *DATA))
    else:
        yield base.with_suffix(".py")


def _with_room(name: str, package: Path) -> set[Path]:
    """The file of a module, or of a package, and those of its room that it imports, and so on; own files of what holds it are listed."""
    base = package.joinpath(*name.split("."))
    found, queue = set(), [base / "__init__.py" if base.is_dir() else base.with_suffix(".py")]
    room, above = package / name.split(".")[0], {folder / "__init__.py" for folder in base.parents}
    while queue:
        path = queue.pop()
        if path not in found:
            found.add(path)
            queue += [each for each in imported(path, package) if room in each.parents and each not in above]
    return found


def imported(path: Path, package: Path) -> set[Path]:
    """The files of baldro that a file imports; a package's own file only where a name is taken from it."""
    return {file for name in imports(path.read_text(encoding="utf-8")) if (file := _file(name, package))}


def _file(name: str, package: Path) -> Path | None:
    """The file of a module, or of the module that a name stands in."""
    parts = name.split(".")[1:]
    for base in (package.joinpath(*parts), package.joinpath(*parts[:-1])):
        for path in (base.with_suffix(".py"), base / "__init__.py"):
            if path.is_file():
                return path
    return None
