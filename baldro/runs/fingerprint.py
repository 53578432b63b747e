"""What a stage's numbers depend on: a hash of the syntax of its modules, so that an edited comment or docstring changes nothing."""

import ast
import hashlib
from functools import cache
from pathlib import Path

from baldro.methods.catalogue import OBJECTIVES
from baldro.runs.run import Run

PACKAGE = Path(__file__).resolve().parents[1]
NO_NUMBERS = (
    "baldro.errors",
    "baldro.places",
    "baldro.durable",
    "baldro.runs",
    "baldro.stages",
    "baldro.methods.catalogue",
    "baldro.methods.declared",
    "baldro.methods.signature",
    "baldro.methods.values",
    "baldro.benchmarks.splits",
    "baldro.models.hub",
)
"""Modules that say what is run and how it is told, not what comes out: a run's values are in its id."""


def code_of(run: Run) -> str:
    """Fingerprint of what makes a run's weights: the loop, and its own objective, variants and combiner, no others."""
    own = (
        [f"methods.objectives.{run.objective}", f"methods.variants.{run.variant}"]
        if run.objective in OBJECTIVES
        else []
    )
    own += [f"methods.variants.{run.retain_variant}", f"methods.combiners.{run.combiner}"] if run.combiner else []
    own += ["training.adapters"] if run.lora_rank else []
    return fingerprint("training.loop", "jobs.inputs", *(name.replace("-", "_") for name in own))


def fingerprint(*modules: str) -> str:
    """A hash of the code of `modules` and of all they import from baldro, comments, docstrings and layout left out.

    A method is loaded by its name, so no other module imports it: list it, and an edit of another one changes nothing.
    """
    return _fingerprint(PACKAGE, modules)


@cache
def _fingerprint(package: Path, modules: tuple[str, ...]) -> str:
    found: dict[str, Path] = {}
    queue = [f"baldro.{name}" for name in modules]
    while queue:
        name = queue.pop()
        path = _path(package, name)
        if path is None or name in found or any(name == n or name.startswith(n + ".") for n in NO_NUMBERS):
            continue
        found[name] = path
        queue += imports(path)
    lines = [f"{name} {_digest(path)}" for name, path in sorted(found.items())]
    packages = sorted({path.parent for path in found.values() if path.name == "__init__.py"})
    others = [path for folder in packages for path in sorted(folder.iterdir()) if path.suffix in (".j2", ".csv")]
    lines += [f"{path.name} {hashlib.sha256(path.read_bytes()).hexdigest()}" for path in others]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]


@cache
def imports(path: Path) -> list[str]:
    """The baldro modules that a file imports, those for type checkers only left out."""
    names = []
    for node in ast.walk(_tree(path)):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "baldro":
            names += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        elif isinstance(node, ast.Import):
            names += [alias.name for alias in node.names if alias.name.split(".")[0] == "baldro"]
    return names


def _path(package: Path, name: str) -> Path | None:
    base = package.joinpath(*name.split(".")[1:])
    for path in (base.with_suffix(".py"), base / "__init__.py"):
        if path.is_file():
            return path
    return None


@cache
def _digest(path: Path) -> str:
    return hashlib.sha256(ast.dump(_tree(path)).encode()).hexdigest()


@cache
def _tree(path: Path) -> ast.Module:
    """The syntax tree without docstrings and without `if TYPE_CHECKING:` blocks."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if not isinstance(body, list):
            continue
        kept = [child for child in body if not _is_text(child) and not _is_typing_only(child)]
        node.body = kept or [ast.Pass()]
    return tree


def _is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def _is_typing_only(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
