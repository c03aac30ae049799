"""What a supervisor tells the process that started it."""

from __future__ import annotations

from enum import IntEnum


class Outcome(IntEnum):
    """A supervisor's exit code: what is to become of the run."""

    DONE = 0  # the run has a result
    FAILED = 1  # it failed, or it is cancelled
    STORE_ERROR = 74  # the run directory cannot be read or written
    RETRY = 75  # it stopped before its end; another attempt goes on
    BUSY = 76  # another process works on it
