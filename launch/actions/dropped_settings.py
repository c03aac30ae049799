"""Warn about variables of the shell that look like settings of the runs, and do not reach them."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from launch.specs.environment import dropped_settings

if TYPE_CHECKING:
    from launch.profiles.profile import Profile


def describe_dropped_settings(profile: Profile, runtime: str) -> list[str]:
    """Return a warning about the variables that name options of sbatch, and one about the others."""
    names = dropped_settings(os.environ, backend=profile.backend, runtime=runtime)
    options = [name for name in names if name.startswith("SBATCH_")]
    variables = [name for name in names if name not in options]
    where = profile.file or "a profile"
    warnings: list[str] = []
    if options:
        warnings.append(f"not used: {', '.join(options)}; {where} and `resources` of the sweep say what sbatch gets")
    if variables:
        warnings.append(f"not used: {', '.join(variables)}; `env` in {where} sets variables for the runs")
    return warnings
