"""One line every few seconds: how far a job is, how fast, how long it still takes. The same in a terminal, a pipe and a log."""

import sys
import time


def clock(seconds: float) -> str:
    """1:05, 2:03:04."""
    minutes, s = divmod(round(seconds), 60)
    hours, m = divmod(minutes, 60)
    return f"{hours}:{m:02d}:{s:02d}" if hours else f"{m}:{s:02d}"


class Progress:
    """Counts finished units of a job and prints lines.

    Args:
        label: what the job is, e.g. `train fictional--tiny--forget10--npo`.
        total: units of work (steps, batches).
        every: seconds between lines.
        stream: where lines go.
    """

    def __init__(self, label: str, total: int, *, unit: str = "step", every: float = 5.0, stream=None):
        self.label, self.total, self.unit, self.every = label, total, unit, every
        self.stream = sys.stderr if stream is None else stream
        self.began = self.said = time.monotonic()
        self.done = self.first = self.tokens = 0

    def resume(self, done: int) -> None:
        """Start from the units that an earlier process did, which do not count for the speed."""
        self.done = self.first = done

    def advance(self, *, tokens: int = 0, note: str = "") -> None:
        """Count one unit more; print a line if the last one is `every` seconds old."""
        self.done += 1
        self.tokens += tokens
        now = time.monotonic()
        if now - self.said >= self.every:
            self.said = now
            print(self.line(now, note), file=self.stream, flush=True)

    def rate(self) -> float:
        """Tokens per second since the job began."""
        return self.tokens / max(1e-9, time.monotonic() - self.began)

    def line(self, now: float, note: str) -> str:
        """`train RUN  step 12/60  loss 3.214  4,310 tokens/s  0:08 left`."""
        left = (now - self.began) / max(1, self.done - self.first) * (self.total - self.done)
        speed = f"{self.rate():,.0f} tokens/s" if self.tokens else ""
        parts = [self.label, f"{self.unit} {self.done}/{self.total}", note, speed, f"{clock(left)} left"]
        return "  ".join(part for part in parts if part)
