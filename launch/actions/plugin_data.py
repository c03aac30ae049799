"""Read the data of plug-ins before anything starts, if they are small: only a plug-in's `load` can check them."""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from launch.errors import ConfigError
from launch.self_command import python_command
from s5.catalog import DataError, check_available, data_fingerprint
from s5.config.plugins import plugin_dataset
from s5.run_dir.result import Exit

if TYPE_CHECKING:
    from launch.compose.run import Run

_MOST_FILES = 2000
_MOST_BYTES = 50_000_000
_MOST_SECONDS = 20.0
_KEYS = ("data.root", "data.name", "data.zero_shot")
_ERROR = re.compile(r"^error: (.*?)(?:\n\nhint: (.*))?\Z", re.DOTALL | re.MULTILINE)


def check_plugin_data(
    plugins: Sequence[str], runs: Sequence[Run], python: str | None, environment: Mapping[str, str]
) -> tuple[list[ConfigError], list[str]]:
    """Read the data of plug-ins in another process, as `launch data prepare` does: the launcher has no NumPy.

    Args:
        plugins: The plug-ins of the sweep: folders, or names of entry points.
        runs: Composed runs that are to execute.
        python: The interpreter that trains; None if this machine does not have it, as inside an image.
        environment: The variables of the process.

    Returns:
        The errors in the data, and a line for each data set that was not read.
    """
    errors: list[ConfigError] = []
    unread: list[str] = []
    for (name, root), run in _datasets(runs).items():
        words = [name, *(word for place in plugins for word in ("--plugins", place))]
        words += ["--root", root] if root else []
        reason = "this machine does not have the Python that trains"
        if python is not None and not (reason := _too_large(name, root)):
            found = _read(python, words, environment)
            if isinstance(found, ConfigError):
                place = next((run.spec.places[key] for key in _KEYS if key in run.spec.places), run.spec.where)
                errors.append(ConfigError(f"{place}: {found.message}", hint=found.hint))
            reason = found if isinstance(found, str) else ""
        if reason:
            command = shlex.join(["launch", "data", "prepare", *words])
            unread.append(f"data.name={name}: the plug-in's data were not read ({reason}): `{command}` checks them")
    return errors, unread


def _datasets(runs: Sequence[Run]) -> dict[tuple[str, str | None], Run]:
    """Return the data sets of plug-ins and their folders, each with a run; without those that are missing anyway."""
    wanted: dict[tuple[str, str | None], Run] = {}
    for run in runs:
        data: Mapping[str, Any] = run.config["data"] if run.record.command is None else {}
        for name in (data.get("name"), data.get("zero_shot")):
            if name is not None:
                wanted.setdefault((name, data["root"]), run)
    return {key: run for key, run in wanted.items() if plugin_dataset(key[0]) is not None and _is_there(*key)}


def _is_there(name: str, root: str | None) -> bool:
    try:
        check_available(name, root)
    except DataError:
        return False  # told by `launch.compose.preflight`
    return True


def _too_large(name: str, root: str | None) -> str:
    """Return why a folder is not read while the user waits; "" if it may be, or if there is no folder to look at."""
    found = data_fingerprint(name, root)
    if found is None or (found["files"] <= _MOST_FILES and found["bytes"] <= _MOST_BYTES):
        return ""
    return f"they have more than {_MOST_FILES:,} files or {_MOST_BYTES // 1_000_000} MB"


def _read(python: str, words: Sequence[str], environment: Mapping[str, str]) -> ConfigError | str | None:
    """Return the error in the data; a text if they could not be read here; None if they are right."""
    command = [python, *python_command("s5.data.prepare", words, site=True)[1:]]
    try:
        done = subprocess.run(
            command,
            env=dict(environment),
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=_MOST_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"it takes longer than {_MOST_SECONDS:.0f} s"
    except OSError as error:
        return f"{python}: {error.strerror}"
    told = _ERROR.search(done.stderr.rstrip()) if done.returncode == Exit.USER_ERROR else None
    if told is not None and "ModuleNotFoundError" not in told[1]:
        return ConfigError(told[1], hint=told[2])
    # A missing package may be there where the run executes, after the profile's `setup`.
    return None if done.returncode == 0 else told[1] if told else done.stderr.strip().rpartition("\n")[2]
