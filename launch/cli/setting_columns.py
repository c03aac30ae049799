"""The columns that show what distinguishes one run from another."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from launch.results.format import MISSING, value_text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def short_names(keys: Sequence[str]) -> dict[str, str]:
    """Return each key's shortest ending that no other key shares: `optim.lr` becomes `lr` if no other key ends so."""
    names: dict[str, str] = {}
    for key in keys:
        parts = key.split(".")
        endings = [".".join(parts[-count:]) for count in range(1, len(parts) + 1)]
        names[key] = next((e for e in endings if not any(_ends(other, e) for other in keys if other != key)), key)
    return names


def _ends(key: str, ending: str) -> bool:
    return key == ending or key.endswith("." + ending)


def setting_keys(settings: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return every varied key, in order of appearance."""
    return list(dict.fromkeys(key for each in settings for key in each))


def setting_cells(settings: Mapping[str, Any], keys: Sequence[str]) -> list[str]:
    """Return one cell per key: a dash for a key that the row does not vary."""
    return [value_text(settings[key]) if key in settings else MISSING for key in keys]
