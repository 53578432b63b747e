"""What the sections say: rows as they come, within a budget of time; a table on the screen, JSON and Markdown."""

import json
import platform
import signal
import subprocess
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

PACKAGES = ("torch", "transformers", "accelerate", "peft", "numpy", "pandas")
GRACE = 15.0
"""Seconds after the end of a budget in which a section may finish what it has; then it is cut off."""


class OverBudget(BaseException):
    """A section's time is over; not an Exception, so that nothing on the way takes it for a failure of its own."""


@dataclass
class Context:
    """What a section may use, and how long."""

    device: torch.device
    quick: bool
    folder: Path
    """For files of its own."""
    until: float
    """On the clock of time.monotonic."""

    def left(self) -> float:
        """Seconds."""
        return self.until - time.monotonic()


@dataclass
class Section:
    """A section's rows, each a mapping of column -> value; a row with `failed` fails the section."""

    title: str
    rows: list[dict[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    failed: bool = False
    seconds: float = 0.0


Rows = Callable[[Context], Iterator[dict[str, Any] | str]]


class Record:
    """The sections so far.

    Args:
        folder: gets gpu.json and gpu.md after each section.
    """

    def __init__(self, folder: Path, *, device: torch.device, quick: bool):
        self.folder, self.device, self.quick = folder, device, quick
        self.sections: list[Section] = []
        folder.mkdir(parents=True, exist_ok=True)

    @property
    def failed(self) -> bool:
        return any(section.failed for section in self.sections)

    def verdict(self) -> str:
        """A word on each section."""
        return "; ".join(f"{s.title}: {'FAILED' if s.failed else 'done'} in {s.seconds:.0f} s" for s in self.sections)

    def take(self, title: str, budget: float, load: Callable[[], Rows]) -> None:
        """Run a section: its rows as they come, a text as a note; an error ends it and no other.

        Args:
            budget: seconds.
            load: gives the section's function, whose import may fail too.
        """
        section, began = Section(title), time.monotonic()
        self.sections.append(section)
        print(f"\n{title} (at most {budget:.0f} s)", flush=True)
        context = Context(self.device, self.quick, self.folder, began + budget)
        try:
            with _alarm(budget + GRACE):
                for row in load()(context):
                    self._put(section, row)
        except OverBudget:
            self._put(section, f"cut off after {budget + GRACE:.0f} s; what is above is what there is")
        except ImportError as error:
            section.failed = True
            self._put(
                section, f"not run: {error}; allowed: `pip install {error.name or 'it'}`, or --sections without it"
            )
        except Exception as error:
            section.failed = True
            traceback.print_exc()
            self._put(section, f"ended by {type(error).__name__}: {str(error).partition(chr(10))[0]}")
        section.seconds = time.monotonic() - began
        self.write()

    def _put(self, section: Section, row: dict[str, Any] | str) -> None:
        if isinstance(row, str):
            section.notes.append(row)
            print(f"  {row}", flush=True)
            return
        section.failed |= bool(row.pop("failed", False))
        section.rows.append(row)
        print("  " + "  ".join(f"{name} {_text(value)}" for name, value in row.items()), flush=True)

    def head(self) -> str:
        """Card, date, commit and versions in a line."""
        return "; ".join(f"{name} {value}" for name, value in self._where().items())

    def _where(self) -> dict[str, str]:
        found = {name: _version(name) for name in PACKAGES}
        commit = _printed("git", "describe", "--always", "--dirty", "--abbrev=12") or "unknown"
        driver = _printed("nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader") if self._cuda else None
        return {
            "card": torch.cuda.get_device_name(self.device)
            if self._cuda
            else f"CPU, {torch.get_num_threads()} threads",
            **({"driver": driver} if driver else {}),
            "date": time.strftime("%Y-%m-%d %H:%M %Z"),
            "commit": commit,
            "form": "quick" if self.quick else "whole",
            "Python": platform.python_version(),
            **found,
        }

    @property
    def _cuda(self) -> bool:
        return self.device.type == "cuda"

    def write(self) -> None:
        """gpu.json and gpu.md of what there is."""
        where = self._where()
        sections = [
            {"title": s.title, "failed": s.failed, "seconds": s.seconds, "rows": s.rows, "notes": s.notes}
            for s in self.sections
        ]
        (self.folder / "gpu.json").write_text(
            json.dumps({**where, "sections": sections}, indent=1, default=str) + "\n", encoding="utf-8"
        )
        lines = [f"# {where['card']}, {where['date']}, commit {where['commit']}", ""]
        lines += ["; ".join(f"{name} {value}" for name, value in where.items()), ""]
        for s in self.sections:
            lines += [f"## {s.title}" + (" (FAILED)" if s.failed else ""), "", f"{s.seconds:.0f} s", ""]
            for table in _tables(s.rows):
                lines += [*_markdown(table), ""]
            lines += [part for note in s.notes for part in (*_quoted(note), "")]
        (self.folder / "gpu.md").write_text("\n".join(lines), encoding="utf-8")


def _tables(rows: list[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """Rows of the same columns, one after the other, are a table."""
    tables: list[list[dict[str, Any]]] = []
    for row in rows:
        if tables and list(tables[-1][0]) == list(row):
            tables[-1].append(row)
        else:
            tables.append([row])
    return tables


def _markdown(rows: list[dict[str, Any]]) -> list[str]:
    names = list(rows[0])
    lines = [f"| {' | '.join(names)} |", f"|{'---|' * len(names)}"]
    return lines + [f"| {' | '.join(_text(row[name]).replace('|', '/') for name in names)} |" for row in rows]


def _quoted(note: str) -> list[str]:
    """A note of several lines is a table of text."""
    return ["```text", *note.splitlines(), "```"] if "\n" in note else [note]


def _text(value: Any) -> str:
    """Three or four digits of a number."""
    if value is None:
        return "-"
    if not isinstance(value, float):
        return str(value)
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "absent"


def _printed(*command: str) -> str | None:
    """The first line that a command prints; None if it is not there or fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parent, check=False)
    except OSError:
        return None
    return done.stdout.strip().partition("\n")[0] or None


@contextmanager
def _alarm(seconds: float) -> Iterator[None]:
    """Raises OverBudget in the running code after so long; a kernel that is running ends first."""

    def ring(_number: int, _frame: Any) -> None:
        raise OverBudget

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
