"""The errors that a user can cause, with their exit codes."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from enum import IntEnum

from s5.errors import did_you_mean as did_you_mean
from s5.errors import nearest as nearest
from s5.errors import unknown as unknown


class ExitCode(IntEnum):
    """The exit code of a `launch` command."""

    OK = 0
    SOME_FAILED = 1
    USAGE = 2
    UNREACHABLE = 3


class LaunchError(Exception):
    """A mistake that the user can correct: printed as a message and a hint, never as a traceback.

    Args:
        message: What is wrong, with the file, the key and the value, if any.
        hint: What to type or change.
        python_hint: What to change in a Python program, if that is something else.
    """

    exit_code: ExitCode = ExitCode.USAGE

    def __init__(self, message: str, *, hint: str | None = None, python_hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.python_hint = python_hint or hint
        if self.python_hint:  # the traceback in a Python program shows notes
            self.add_note(f"hint: {self.python_hint}")


class FileError(LaunchError):
    """An invalid YAML file.

    Args:
        file: The file, as the user named it.
        key: The path of the key inside it, such as `grid.optim.lr`.
        message: What is wrong with the value and what is allowed.
        hint: What to type or change.
    """

    def __init__(self, file: str, key: str | None, message: str, *, hint: str | None = None) -> None:
        place = f"{file}: {key}" if key else file
        super().__init__(f"{place}: {message}", hint=hint)
        self.file = file
        self.key = key


class SweepError(FileError):
    """An error in a sweep file or in an override on the command line; for an override, `file` is `command line`."""


class ProfileError(FileError):
    """An invalid profile, or one that names something that does not exist."""


class ConfigError(LaunchError):
    """A value that the configuration of an experiment does not allow."""


class StoreError(LaunchError):
    """A file of the run directories that cannot be read or written, or is not valid."""


class BackendError(LaunchError):
    """The scheduler or the container engine cannot be reached."""

    exit_code = ExitCode.UNREACHABLE


@contextmanager
def collect_errors(errors: list[LaunchError]) -> Generator[None]:
    """Catch a LaunchError that is raised inside and append it to `errors`: a plan shows all errors at once."""
    try:
        yield
    except LaunchError as error:
        errors.append(error)


def raise_all(errors: Sequence[LaunchError]) -> None:
    """Raise if there are errors: the only error, or one error with all messages and hints.

    Raises:
        LaunchError: Its exit code is UNREACHABLE if that is the code of all errors, else USAGE.
    """
    if len(errors) == 1:
        raise errors[0]
    if errors:
        told = [error.message + (f"\n  hint: {error.hint}" if error.hint else "") for error in errors]
        codes = {error.exit_code for error in errors}
        kind = BackendError if codes == {ExitCode.UNREACHABLE} else ConfigError
        raise kind(f"{len(errors)} problems must be solved first:\n\n" + "\n\n".join(told))


def plural(count: int, noun: str) -> str:
    """Return `1 run`, `2 runs`, `1,000 runs`."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def printable(text: str) -> str:
    """Return `text` with control characters escaped, so that it is one line and cannot control the terminal."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "backslashreplace").decode() for c in text)
