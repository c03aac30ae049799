"""The hint for a name that is unknown because the plug-in that has it was not named."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator
from importlib.metadata import entry_points
from pathlib import Path

from s5.catalog import DataError, dataset_info
from s5.config.plugins import FILE, GROUP, plugin_folder
from s5.config.search_path import PIPELINE
from s5.errors import UserError

DATA = "data"  # stands for a data set; the other kinds are groups of `conf`


def is_unknown(dataset: str) -> bool:
    """Return whether no loaded plug-in and not the catalog has a data set of this name."""
    try:
        dataset_info(dataset)
    except DataError:
        return True
    return False


def with_plugins(hint: str | None, kind: str, name: object, places: tuple[Path, ...] = ()) -> str:
    """Return a hint that also tells how to name a plug-in; if one that has the name is found, it is named.

    Args:
        hint: The hint of the error.
        kind: `data`, or the group of the name, such as `experiment` or `model`.
        name: The unknown name.
        places: Folders to look in besides the current folder, such as that of the sweep file.
    """
    found = [word for word, folder in _plugins(places) if isinstance(name, str) and _has(folder, kind, name)]
    if found:
        words = " or ".join(f"`--plugins {shlex.quote(word)}`" for word in dict.fromkeys(found))
        return f"a plug-in has {name}: add {words}, or name it in the sweep file under `plugins:`"
    installed = ", ".join(point.name for point in entry_points(group=GROUP))
    others = "`--plugins PLUGIN`, or `plugins:` in the sweep file, adds those of a plug-in"
    others += f" (installed: {installed})" if installed else ""
    head = (hint or "").removesuffix("; a plug-in can bring others: docs/extending.md")
    return f"{head}; {others}" if head else others


def _plugins(places: tuple[Path, ...]) -> Iterator[tuple[str, Path]]:
    """Yield the word for `--plugins` and the folder of each plug-in that is installed, or lies in a folder."""
    for point in entry_points(group=GROUP):
        try:
            yield point.name, plugin_folder(point.name)
        except (UserError, ImportError, ValueError):
            continue
    for place in dict.fromkeys((Path(), *places)):
        try:
            folders = [place, *sorted(entry for entry in place.iterdir() if entry.is_dir())]
        except OSError:
            continue
        yield from ((os.fspath(folder), folder) for folder in folders if (folder / FILE).is_file())


def _has(folder: Path, kind: str, name: str) -> bool:
    """Return whether a plug-in has a recipe, a model file, a family or a data set, without importing it."""
    if kind != DATA and (folder / "conf" / kind / f"{name}.yaml").is_file():
        return True
    try:
        text = (folder / FILE).read_text(errors="replace")
    except OSError:
        return False
    return kind not in ("experiment", PIPELINE) and (f'"{name}"' in text or f"'{name}'" in text)
