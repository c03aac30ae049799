"""Errors that a user can fix, and messages to stderr: whole lines, flushed."""

import sys
from collections.abc import Iterable


class UserError(Exception):
    """A config, a data set or a device that a run cannot use; printed without a traceback.

    Args:
        message: What is wrong with which value.
        hint: What to type or change.
    """

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class NonFiniteLoss(Exception):
    """The training loss is no longer finite."""


class PeerLost(Exception):
    """Another process of the run ended, or never started."""


class Stopped(Exception):
    """The process was asked to stop and has written a checkpoint."""


def say(message: str) -> None:
    """Print one line to stderr; flushed, since a kill may follow."""
    sys.stderr.write(message + "\n")
    sys.stderr.flush()


def nearest(word: str, words: Iterable[str]) -> str | None:
    """Return the one of `words` that looks most like `word`, or None if none does."""
    import difflib  # only on the way to an error

    words = list(words)
    found = difflib.get_close_matches(word, words, n=1, cutoff=0.55)
    if found or len(word) < 2:
        return found[0] if found else None
    # A part of a longer name: `lr` for `optim.lr`, `cpus` for `cpus_per_task`.
    return min((other for other in words if word in other), key=len, default=None)


def did_you_mean(word: object, words: Iterable[str]) -> str:
    """Return the end of a message about an unknown word: `; did you mean x?`, or "" if no word is near."""
    near = nearest(word, words) if isinstance(word, str) else None
    return f"; did you mean {near}?" if near else ""


def unknown(kind: str, word: str, words: Iterable[str]) -> str:
    """Return the message about an unknown word: `unknown profile 'x'; did you mean y?`."""
    return f"unknown {kind} {word!r}{did_you_mean(word, words)}"
