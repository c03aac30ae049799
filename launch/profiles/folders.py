"""Find the files of profiles, and the folders of runs that they name, without reading YAML if possible."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

from launch.errors import LaunchError
from s5.run_dir.regular_file import read_written

PROFILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}")
# The usual form. Other forms, such as JSON, are left to the reader of YAML, which takes long to load.
_RUNS_DIR = re.compile(r"^runs_dir:[ \t]+([^\s'\"#&*!|>\[{][^\n#'\"]*?)[ \t]*(?:[ \t]#.*)?$", re.MULTILINE)
_MENTIONED = re.compile(r"^[^#\n]*\bruns_dir\b", re.MULTILINE)


def profile_folders() -> list[Path]:
    """Return the folders of profiles: `slurm/` in the working folder and next to our code, then the user's own."""
    config = os.environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config")
    return [Path("slurm"), Path(__file__).parents[2] / "slurm", Path(config) / "launch"]


def profile_files(folder: Path) -> Iterator[Path]:
    """Yield the files of the profiles in a folder, sorted; none if it cannot be read."""
    try:
        yield from sorted(
            path for path in folder.iterdir() if path.suffix == ".yaml" and PROFILE_NAME.fullmatch(path.stem)
        )
    except OSError:
        return


def runs_dirs() -> dict[str, str]:
    """Return the folder of runs of each profile that names one; profiles that are not valid are left out."""
    found: dict[str, str | None] = {}
    for path in (path for folder in reversed(profile_folders()) for path in profile_files(folder)):
        found[path.stem] = _runs_dir(path)
    return {name: os.path.abspath(folder) for name, folder in found.items() if folder is not None}


def _runs_dir(path: Path) -> str | None:
    try:
        text = read_written(path).decode(errors="replace")
        if match := _RUNS_DIR.search(text):
            return None if match[1] in ("null", "~") else os.path.expanduser(match[1])
        if _MENTIONED.search(text):
            from launch.yaml_file import Place, read_yaml

            folder = read_yaml(path, Place(str(path))).get("runs_dir")
            return os.path.expanduser(folder) if isinstance(folder, str) else None
    except (OSError, ValueError, LaunchError):
        pass
    return None
