"""The interpreter that a profile names for training, as far as this machine can know of it."""

from __future__ import annotations

import os
import shutil

from launch.profiles.slurm import SlurmSettings


def describe_missing_interpreter(site: SlurmSettings) -> str | None:
    """Return a sentence if this machine does not have the interpreter of `python:`; None if it has.

    A name that is found on the PATH only after `setup` cannot be looked for here: then the answer is None too.
    """
    python = site.python
    if python is None or (os.sep not in python and (site.setup or shutil.which(python))):
        return None
    if os.sep not in python:
        return f"python: {python} is not on the PATH of this machine"
    if os.path.isfile(python) and os.access(python, os.X_OK):
        return None
    found = "is not a program that can be executed" if os.path.exists(python) else "does not exist"
    return f"python: {python} {found} on this machine"
