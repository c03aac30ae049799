"""A progress line on stderr: rewritten in place on a terminal, printed every 15 seconds elsewhere."""

import sys
import time
from typing import TextIO

_TERMINAL_S = 0.2
_LINES_S = 15.0


class Progress:
    """A count of finished units, shown with the total, the share and the time left.

    Args:
        what: The name of the task, for the user.
        total: The number of units.
        unit: The name of a unit, in the plural.
        stream: The output; None for stderr.
    """

    def __init__(self, what: str, total: int, unit: str = "examples", stream: TextIO | None = None) -> None:
        self._what, self._total, self._unit = what, total, unit
        self._stream = stream or sys.stderr
        self._terminal = self._stream.isatty()
        self._done = 0
        self._first = 0  # units that an earlier process has done
        self._start = self._last = time.monotonic()

    def resume_at(self, done: int) -> None:
        """Start the count at the number of units that an earlier process has finished."""
        self._done = self._first = done
        if done:
            self._write(f"{self._what}: resuming at {done:,} of {self._total:,} {self._unit}", end="\n")

    def advance(self, n: int) -> None:
        """Count n more units as finished."""
        self._done += n
        now = time.monotonic()
        if now - self._last >= (_TERMINAL_S if self._terminal else _LINES_S):
            self._last = now
            self._write(self._line(now), end="" if self._terminal else "\n")

    def finish(self) -> None:
        """Print the number of units and the time that they took."""
        seconds = time.monotonic() - self._start
        self._write(f"{self._what}: {self._done:,} {self._unit} in {seconds:.1f} s", end="\n")

    def _line(self, now: float) -> str:
        share = self._done / max(self._total, 1)
        rate = (self._done - self._first) / max(now - self._start, 1e-9)
        left = (self._total - self._done) / rate if rate else 0.0
        bar = "█" * round(20 * share) + "░" * (20 - round(20 * share)) + " " if self._terminal else ""
        clock = f"{int(left) // 3600}:{int(left) // 60 % 60:02}:{int(left) % 60:02}"
        return f"{self._what}: {bar}{share:4.0%}  {self._done:,} of {self._total:,} {self._unit}, {clock} left"

    def _write(self, text: str, end: str) -> None:
        self._stream.write(f"\r\x1b[2K{text}{end}" if self._terminal else f"{text}{end}")
        self._stream.flush()
