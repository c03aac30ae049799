"""Questions to an engine's command line, and what it means that it refuses to answer."""

from __future__ import annotations

import subprocess

from launch.containers.engine.connection import address, unreachable
from launch.errors import BackendError

_ASK_S = 60.0


def ask(*words: str) -> subprocess.CompletedProcess[str]:
    """Return what a command line of `docker` or `podman` says, whether it succeeds or not.

    Raises:
        BackendError: If it cannot be executed, or says nothing for long.
    """
    try:
        return subprocess.run(
            words, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=_ASK_S
        )
    except subprocess.TimeoutExpired as error:
        raise BackendError(f"{words[0]} does not answer in {_ASK_S:g} s", hint="is the engine well?") from error
    except OSError as error:
        raise BackendError(f"{words[0]} cannot be executed: {error.strerror}", hint="`launch doctor` looks") from error


def refusal(engine: str, said: str) -> BackendError:
    """Return what it means that an engine refuses a question.

    Args:
        engine: `docker` or `podman`.
        said: What its command line printed.
    """
    if engine == "docker":
        return unreachable(address(), RuntimeError(last_line(said)))
    return BackendError(
        f"{engine}: {last_line(said)}", hint="is the engine running, and may you use it? `launch doctor` looks"
    )


def last_line(said: str) -> str:
    """Return what a program said last; before it stand warnings that have nothing to do with its failure."""
    return said.strip().splitlines()[-1] if said.strip() else "it failed and printed nothing"
