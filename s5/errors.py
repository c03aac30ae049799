"""Exceptions of a run, one line of text to stderr, and suggestions for a misspelt word."""

import sys
from collections.abc import Iterable


class UserError(Exception):
    """An error that the user can fix, such as a wrong value in the config; printed without a traceback.

    Args:
        message: The problem, with the key or file and its value.
        hint: What to type or change.
    """

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        _show_hint(self)


class NonFiniteLoss(Exception):
    """Raised if the training loss is nan or infinite."""

    hint = "lower optim.lr and optim.ssm_lr, or warm up for longer"

    def __init__(self, message: str) -> None:
        super().__init__(message)
        _show_hint(self)


class PeerLost(Exception):
    """Raised if another process of the run has ended, or has never started."""

    hint = "start all processes of the run again; it continues from its last checkpoint"

    def __init__(self, message: str) -> None:
        super().__init__(message)
        _show_hint(self)


class Stopped(Exception):
    """Raised when the process was asked to stop and has written a checkpoint."""


def _show_hint(error: UserError | NonFiniteLoss | PeerLost) -> None:
    """Let the traceback in a Python program, or in a notebook, show the hint."""
    if error.hint:
        error.add_note(f"hint: {error.hint}")


def say(message: str) -> None:
    """Print one line to stderr, and flush it, since the process may be killed next."""
    sys.stderr.write(message + "\n")
    sys.stderr.flush()


def nearest(word: str, words: Iterable[str]) -> str | None:
    """Return the word of `words` that is most similar to `word`; None if no word is similar."""
    import difflib  # only on the way to an error

    words = list(words)
    found = difflib.get_close_matches(word, words, n=1, cutoff=0.55)
    if found or len(word) < 2:
        return found[0] if found else None
    # A part of a longer name: `lr` for `optim.lr`, `cpus` for `cpus_per_task`.
    return min((other for other in words if word in other), key=len, default=None)


def shortened(words: Iterable[str], word: object = "", most: int = 12) -> str:
    """Return words joined by commas: all, or the `most` most similar to `word`, and how many more there are."""
    import difflib  # only on the way to an error

    words = list(words)
    if len(words) <= most:
        return ", ".join(words)
    near = set(difflib.get_close_matches(str(word), words, n=most, cutoff=0.0))
    shown = [other for other in words if other in near]
    return f"{', '.join(shown)} and {len(words) - len(shown)} more"


def did_you_mean(word: object, words: Iterable[str]) -> str:
    """Return the end of a message about an unknown word: `; did you mean x?`, or "" if no word is similar."""
    near = nearest(word, words) if isinstance(word, str) else None
    return f"; did you mean {near}?" if near else ""


def unknown(kind: str, word: str, words: Iterable[str]) -> str:
    """Return the message about an unknown word: `unknown profile 'x'; did you mean y?`."""
    return f"unknown {kind} {word!r}{did_you_mean(word, words)}"
