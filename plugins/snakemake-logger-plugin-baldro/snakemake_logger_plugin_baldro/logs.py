"""The logs of jobs: their ends, and what the program itself says went wrong."""

import os
import re
from collections.abc import Sequence
from pathlib import Path

LOG_TAIL_BYTES = 1 << 16
OWN_ERROR = re.compile(r"baldro [a-z]+: ")


def log_tail(path: Path, lines: int) -> list[str]:
    """The last non-empty lines of a log (0: all in its last 64 KiB), none if it cannot be read."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - LOG_TAIL_BYTES))
            text = file.read().decode(errors="replace")
    except OSError:
        return []
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)
    return [line.rstrip() for line in plain.splitlines() if line.strip()][-lines:]


def log_lines(logs: Sequence[Path], lines: int) -> list[str]:
    """The path of every log, then the end of the first that is not empty."""
    ends = filter(None, (log_tail(path, lines) for path in logs))
    return [f"log: {path}" for path in logs] + [f"| {line}" for line in next(ends, ["(empty)"] if logs else [])]


def newest_first(logs: Sequence[Path]) -> tuple[Path, ...]:
    """The logs that are there, the last written first: what failed in a group wrote it; all of them if none is there."""
    times = {path: path.stat().st_mtime for path in dict.fromkeys(logs) if path.is_file()}
    return tuple(sorted(times, key=times.get, reverse=True)) or tuple(logs)


def own_error(logs: Sequence[Path]) -> str:
    """The program's own one-line error, `baldro train: ...`; else the last line of the first log that is not empty."""
    tails = [log_tail(path, 0) for path in logs]
    own = [line for tail in tails for line in reversed(tail) if OWN_ERROR.match(line)]
    return next(iter(own), next((tail[-1] for tail in tails if tail), ""))
