"""Load the plug-ins of a sweep for its plan, and copy them to the folder of its runs, safe from later edits."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from launch.errors import ConfigError
from launch.grammar import format_value
from launch.store.files import sync_folder, temporary_beside, touch
from s5.config.plugins import (
    content_hash,
    folder_hash,
    load_plugins,
    name_copy,
    plugin_files,
    plugin_folder,
)
from s5.errors import UserError

if TYPE_CHECKING:
    from launch.store.records import RunRecord
    from launch.sweepfile.sweep import Sweep

PLUGINS = ".plugins"  # a folder next to the sweeps: `.plugins/<hash>/<name>`, mounted with the runs
_HASH_DIGITS = 16
_COPY = re.compile(rf"/{re.escape(PLUGINS)}/([0-9a-f]{{{_HASH_DIGITS}}})/")


def apply_plugins(sweep: Sweep, root: Path) -> Sweep:
    """Load the plug-ins of a sweep; return the sweep with runs that name copies of them below `root`. Writes nothing.

    Raises:
        ConfigError: If a plug-in cannot be found or imported.
    """
    if not sweep.plugins:
        return sweep
    try:
        folders = [plugin_folder(place) for place in sweep.plugins]
        load_plugins(map(str, folders))
        copies = [_copy_of(folder, root) for folder in folders]
        for folder, copy in zip(folders, copies, strict=True):
            name_copy(str(copy), folder)
        content = content_hash(map(str, folders))
    except UserError as error:
        raise ConfigError(error.message, hint=error.hint) from error
    words = (f"plugins={format_value([str(copy) for copy in copies])}", f"plugin_hash={content}")
    return replace(sweep, runs=tuple(replace(run, overrides=(*words, *run.overrides)) for run in sweep.runs))


def copy_plugins(sweep: Sweep, root: Path) -> None:
    """Copy the plug-ins of a sweep to the folders below `root` that its runs name, unless the copies exist."""
    for place in sweep.plugins:
        folder = plugin_folder(place)
        copy = _copy_of(folder, root)
        if touch(copy.parent):
            continue
        growing = Path(temporary_beside(str(copy.parent)))
        for file in plugin_files(folder):
            target = growing / folder.name / file.relative_to(folder)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, target)
        try:
            os.rename(growing, copy.parent)  # appears whole, or another process was faster
        except OSError:
            shutil.rmtree(growing)
        sync_folder(str(copy.parent.parent))


def plugin_copies(run: RunRecord) -> Iterator[str]:
    """Yield the hashes in the paths of a run's plug-ins: the names of their folders in `.plugins`."""
    for word in run.overrides:
        if word.startswith("plugins="):
            yield from _COPY.findall(word)


def _copy_of(folder: Path, root: Path) -> Path:
    return root.absolute() / PLUGINS / folder_hash(folder)[:_HASH_DIGITS] / folder.name
