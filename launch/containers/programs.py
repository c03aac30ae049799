"""Run another program to its end, such as an engine, a runtime or git."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence

from launch.specs.environment import clean_environment


def run_program(
    words: Sequence[str], *, timeout_s: float, environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a program to its end, with empty input; return its exit code and output even if it fails.

    Args:
        words: The command line.
        timeout_s: The number of seconds that the program may take.
        environment: All variables of the program; None for those of this process, without
            the ones that no program gets.

    Raises:
        OSError: If the program cannot be executed.
        TimeoutExpired: If the program takes too long.
    """
    return subprocess.run(
        words,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
        timeout=timeout_s,
        env=clean_environment(os.environ) if environment is None else environment,
    )
