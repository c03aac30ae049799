"""Run an engine's command line, and turn its failures into errors for the user."""

from __future__ import annotations

import subprocess

from launch.containers.engine.connection import unreachable
from launch.containers.programs import run_program
from launch.errors import BackendError

_ASK_S = 60.0


def ask(*words: str) -> subprocess.CompletedProcess[str]:
    """Run `docker` or `podman` and return the finished process, even if its exit code is not 0.

    Raises:
        BackendError: If the program cannot be executed or does not answer in time.
    """
    try:
        return run_program(words, timeout_s=_ASK_S)
    except subprocess.TimeoutExpired as error:
        raise BackendError(f"{words[0]} does not answer in {_ASK_S:g} s", hint="does the engine work?") from error
    except OSError as error:
        raise BackendError(
            f"{words[0]} cannot be executed: {error.strerror}", hint="`launch doctor` checks it"
        ) from error


def answer(engine: str, *words: str) -> str:
    """Return the output of an engine's command line.

    Raises:
        BackendError: If the command line cannot be executed, does not answer in time or fails.
    """
    done = ask(engine, *words)
    if done.returncode:
        raise refusal(engine, done.stderr)
    return done.stdout


def refusal(engine: str, said: str) -> BackendError:
    """Return the error for an engine whose command line failed with this output."""
    if engine == "docker":
        return unreachable(last_line(said))
    return BackendError(
        f"{engine}: {last_line(said)}", hint="is the engine running, and may you use it? `launch doctor` checks"
    )


def last_line(said: str) -> str:
    """Return the last line that a program printed; the lines before it are often unrelated warnings."""
    return said.strip().splitlines()[-1] if said.strip() else "it failed and printed nothing"
