"""Running a program to its end: an engine, a runtime, git."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence


def run_program(
    words: Sequence[str], *, timeout_s: float, environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a program without input to its end, whether it succeeds or not.

    Args:
        words: The command line.
        timeout_s: How many seconds it may take.
        environment: All of its variables; None for those of this process.

    Raises:
        OSError: If it cannot be executed.
        TimeoutExpired: If it takes too long.
    """
    return subprocess.run(
        words,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
        timeout=timeout_s,
        env=environment,
    )
