"""The outcome that a supervisor reports to the process that started it."""

from __future__ import annotations

from enum import IntEnum


class Outcome(IntEnum):
    """A supervisor's exit code, which decides whether the run is started again."""

    DONE = 0  # the run has a result
    FAILED = 1  # it failed, or it is cancelled
    STORE_ERROR = 74  # the run directory cannot be read or written
    RETRY = 75  # it stopped before it was done; another attempt continues it
    BUSY = 76  # another process works on it
