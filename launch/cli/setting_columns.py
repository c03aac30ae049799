"""The columns that show what distinguishes one run from another."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from launch.results.table import MISSING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def short_names(keys: Sequence[str]) -> dict[str, str]:
    """Return each key's shortest ending that no other key shares: `optim.lr` becomes `lr` where that is clear."""
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
    """Return one cell per key; a key that the row does not vary is missing."""
    return [value_text(settings[key]) if key in settings else MISSING for key in keys]


def value_text(value: Any) -> str:
    """Return a setting's value as it would be typed."""
    match value:
        case str():
            return value
        case bool() | None:
            return json.dumps(value)
        case float():
            exact = repr(value)
            return exact if len(exact) <= 10 else f"{value:.6g}"
        case _:
            return json.dumps(value, ensure_ascii=False, default=str)
