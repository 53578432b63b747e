"""The house as it is: each room of baldro, its files and lines, and the rooms that it imports from.

python tests/rooms.py [FOLDER OF ANOTHER CHECKOUT]
"""

import ast
import sys
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def modules(root: Path = ROOT) -> list[Path]:
    """The source files of the package."""
    return sorted((root / "baldro").rglob("*.py"))


def room(path: Path, root: Path = ROOT) -> str:
    """The room that a file stands in: the folder below baldro, or the module itself."""
    return path.relative_to(root / "baldro").with_suffix("").parts[0]


def imported(source: str) -> set[str]:
    """Every module that a source imports, wherever in it; relative imports keep their dots."""
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = "." * node.level + (node.module or "")
            names |= {f"baldro.{alias.name}" for alias in node.names} if base == "baldro" else {base}
    return names


def arrows(root: Path = ROOT) -> dict[str, set[str]]:
    """Room -> the other rooms that it imports from."""
    found: dict[str, set[str]] = defaultdict(set)
    for path in modules(root):
        names = (name.split(".") for name in imported(path.read_text(encoding="utf-8")))
        here = room(path, root)
        found[here] |= {parts[1] for parts in names if parts[0] == "baldro" and parts[1:]} - {here}
    return found


def lines(paths: list[Path]) -> int:
    return sum(len(path.read_text(encoding="utf-8").splitlines()) for path in paths)


def table(root: Path = ROOT) -> str:
    """A line for each room, the largest first, and the sum."""
    files: dict[str, list[Path]] = defaultdict(list)
    for path in modules(root):
        files[room(path, root)].append(path)
    to = arrows(root)
    order = sorted(files, key=lambda name: -lines(files[name]))
    rows = [f"{name:12} {len(files[name]):5} {lines(files[name]):6}  {' '.join(sorted(to[name]))}" for name in order]
    total = f"{'all':12} {sum(map(len, files.values())):5} {sum(map(lines, files.values())):6}"
    return "\n".join(
        [f"{'room':12} files  lines  imports from", *rows, f"{total}  {sum(map(len, to.values()))} arrows"]
    )


if __name__ == "__main__":
    print(table(Path(sys.argv[1]).resolve() if sys.argv[1:] else ROOT))
