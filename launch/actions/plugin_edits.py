"""Describe that plug-ins were edited since runs were submitted: their names, not the paths of copies and the hashes."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from launch.errors import plural
from s5.config.plugins import plugin_folder

KEYS = frozenset({"plugins", "plugin_hash"})  # the keys of a config that an edit changes
_PLACES = re.compile(r"^plugins:.*\n(?:[- ].*\n)*", re.MULTILINE)
_HASH = re.compile(r"^plugin_hash:.*$", re.MULTILINE)


def describe_edited_plugins(configs: Iterable[tuple[str, str]], plugins: Sequence[str]) -> list[str]:
    """Return a line for each set of plug-ins that has changed since runs were submitted.

    Args:
        configs: The config of each run then and now, as YAML.
        plugins: The plug-ins of the sweep: folders, or names of entry points.
    """
    shown = {plugin_folder(place).name: _shown(place) for place in plugins}
    counts: dict[str, int] = {}
    for before, after in configs:
        if _HASH.findall(before) != _HASH.findall(after):
            words = _describe(_copies(before), _copies(after), shown)
            counts[words] = counts.get(words, 0) + 1
    return [f"{words}: {_outcome(count)}" for words, count in counts.items()]


def _describe(before: dict[str, str], after: dict[str, str], shown: dict[str, str]) -> str:
    names = {name: shown.get(name, name) for name in after}
    if set(before) != set(after):
        old, new = ([names.get(name, name) for name in copies] for copies in (before, after))
        return f"plugins: {_listed(old)} before, {_listed(new)} now"
    # A plug-in that was typed as `plugins=[FOLDER]` has no copy: its path is the same.
    edited = [names[name] for name in after if before[name] != after[name]] or list(names.values())
    one = len(edited) == 1
    return f"the plug-in{'' if one else 's'} {_listed(edited)} {'was' if one else 'were'} edited since"


def _outcome(count: int) -> str:
    if count == 1:
        return "1 run stays as it is, and runs again under a new id"
    return f"{plural(count, 'run')} stay as they are, and run again under new ids"


def _copies(config: str) -> dict[str, str]:
    """Return the places of a config's plug-ins by the names of their folders."""
    import yaml  # only if something has changed

    found = _PLACES.search(config)
    places: Sequence[str] = (yaml.safe_load(found[0])["plugins"] or ()) if found else ()
    return {Path(place).name: place for place in places}


def _listed(names: Sequence[str]) -> str:
    return " and ".join(filter(None, [", ".join(names[:-1]), *names[-1:]])) or "none"


def _shown(place: str) -> str:
    """Return a folder as it would be typed here; the name of an entry point as it is."""
    return os.path.relpath(place) if Path(place).is_relative_to(Path.cwd()) else place
