"""Build the command line of a process that runs a module of this launcher, not of another installed one. Pure."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

# The folder of this launcher's code: every process that the launcher starts must run the same code.
_HOME = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

_BOOT = "import sys; sys.path.insert(0, sys.argv.pop(1)); from {} import main; sys.exit(main(sys.argv[1:]))"


def python_command(module: str, words: Sequence[str], *, site: bool) -> list[str]:
    """Return the command line that runs a module of this launcher with the arguments `words`.

    Without `site` the process cannot import installed packages, and starts in half the time.
    """
    return [sys.executable, "-P", *([] if site else ["-S"]), "-c", _BOOT.format(module), _HOME, *words]


def isolated_command(module: str, words: Sequence[str], home: str | None = None) -> list[str]:
    """Return the command line that runs a module of the launcher, unaffected by Python's environment variables.

    A batch script may load a module system or conda, which set PYTHONHOME and PYTHONPATH. `home` is the folder with the
    launcher's code; None for the folder of this launcher's code.
    """
    return [sys.executable, "-I", "-S", "-c", _BOOT.format(module), home or _HOME, *words]
