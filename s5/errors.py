"""The mistakes a user can mend, and how the training side speaks: whole lines to stderr, flushed."""

import sys


class UserError(Exception):
    """A config, a data set or a device that a run cannot work with; printed without a traceback.

    Args:
        message: What is wrong with which value.
        hint: What to type or change.
    """

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class NotANumber(Exception):
    """The training loss is not finite any more."""


class PeerGone(Exception):
    """Another process of the run is gone, or never came."""


class Stopped(Exception):
    """The process was asked to stop, and what it has done is in a checkpoint."""


def say(message: str) -> None:
    """Write one line for a person; flushed, since a kill may follow it."""
    sys.stderr.write(message + "\n")
    sys.stderr.flush()
