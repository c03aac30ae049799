"""A config as plain values: there, back, and the part of it that is a run's identity. Free of JAX."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields, is_dataclass
from enum import Enum
from functools import cache
from typing import Any, get_type_hints

from s5.config.run import Config

# Raise it when a field's meaning changes so that old results must not be taken for new ones.
SCIENCE_VERSION = 1


@dataclass(frozen=True)
class _Slot:
    """What a field holds, looked up once: a sweep of ten thousand runs asks a million times.

    Attributes:
        before: The plain value that says what was so before the field was there; MISSING where it was always there.
    """

    section: type | None
    choice: type[Enum] | None
    science: bool
    before: Any


@cache
def _slots(kind: type) -> dict[str, _Slot]:
    hints = get_type_hints(kind)
    return {
        f.name: _Slot(
            section=hints[f.name] if is_dataclass(hints[f.name]) else None,
            choice=hints[f.name] if isinstance(hints[f.name], type) and issubclass(hints[f.name], Enum) else None,
            science=f.metadata.get("science", True),
            before=_plain(f.default) if f.metadata.get("added") else MISSING,
        )
        for f in fields(kind)
    }


def from_dict(kind: type, values: Mapping[str, Any]) -> Any:
    """Build a config dataclass from nested plain values, running every cross-field check.

    Args:
        kind: The dataclass, such as `Config`.
        values: Plain values as `to_dict` writes them: an enum by its name.

    Returns:
        The dataclass instance.

    Raises:
        TypeError: For an unknown key.
        ValueError: Where a check refuses the values.
    """
    slots = _slots(kind)
    return kind(**{name: _value(slots.get(name), value) for name, value in values.items()})


def _value(slot: "_Slot | None", value: Any) -> Any:
    """Turn a plain value into what its field asks for."""
    if slot and slot.section and isinstance(value, Mapping):
        return from_dict(slot.section, value)
    if slot and slot.choice and isinstance(value, str):
        return slot.choice[value]
    return list(value) if isinstance(value, list) else value


def to_dict(config: Any) -> dict[str, Any]:
    """Return a config dataclass as nested plain values; an enum becomes its name."""
    return {f.name: _plain(getattr(config, f.name)) for f in fields(config)}


def _plain(value: Any) -> Any:
    if is_dataclass(value):
        return to_dict(value)
    return value.name if isinstance(value, Enum) else value


def science_subset(values: Mapping[str, Any], kind: type = Config) -> dict[str, Any]:
    """Return the part of a resolved config that changes the numbers of a run.

    Args:
        values: The config as nested plain values.
        kind: The dataclass that describes it.

    Returns:
        The same nesting without the fields declared `science=False`, and without those that were added later and
        have their default: a run that was stored before keeps its identity.
    """
    subset: dict[str, Any] = {}
    for name, slot in _slots(kind).items():
        if slot.science and name in values:
            value = values[name]
            if value == slot.before and slot.before is not MISSING:
                continue
            subset[name] = science_subset(value, slot.section) if slot.section else value
    return {name: value for name, value in subset.items() if value != {}}


def science_hash(values: Mapping[str, Any]) -> str:
    """Return the identity of a resolved config: SHA-256 over the canonical JSON of its scientific subset.

    Args:
        values: The config as nested plain values.

    Returns:
        64 hex digits.
    """
    document = {"version": SCIENCE_VERSION, "config": science_subset(values)}
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()
