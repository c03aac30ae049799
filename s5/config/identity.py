"""Conversion between a config and plain values, and the science hash, which identifies a run. Free of JAX."""

import hashlib
import json
from collections.abc import Callable, Mapping
from copy import copy
from dataclasses import MISSING, Field, dataclass, fields, is_dataclass
from enum import Enum
from functools import cache
from typing import Any, get_type_hints

from s5.config.families import FAMILIES, S5Config, find_family
from s5.config.model import ModelConfig
from s5.config.plugins import load_plugins
from s5.config.run import Config
from s5.errors import did_you_mean

# Raise it if the meaning of a field changes, so that old results are not used as results of the new code.
SCIENCE_VERSION = 1


@dataclass(frozen=True)
class _Slot:
    """The type of a field, cached: a sweep of ten thousand runs looks up a field a million times.

    Attributes:
        section: The dataclass of a nested section; None for a value.
        choice: The enumeration of the value; None for another type.
        science: Whether the field is part of the identity.
        before: The default of a field declared `added`, in plain form; runs stored before have this value. MISSING for
            any other field.
    """

    section: type | None
    choice: type[Enum] | None
    science: bool
    before: Any


def _default(field: Field[Any]) -> Any:
    return field.default if field.default_factory is MISSING else field.default_factory()


@cache
def _slots(kind: type) -> dict[str, _Slot]:
    hints = get_type_hints(kind)
    return {
        f.name: _Slot(
            section=hints[f.name] if is_dataclass(hints[f.name]) else None,
            choice=hints[f.name] if isinstance(hints[f.name], type) and issubclass(hints[f.name], Enum) else None,
            science=f.metadata.get("science", True),
            before=_plain(_default(f)) if f.metadata.get("added") else MISSING,
        )
        for f in fields(kind)
    }


def _concrete(kind: type, values: Mapping[str, Any]) -> type:
    """Return the dataclass of these values: for `ModelConfig` the class of the family in `kind`, else `kind` itself."""
    return find_family(values.get("kind", S5Config.kind)) if kind is ModelConfig else kind


def from_dict(kind: type, values: Mapping[str, Any], path: str = "") -> Any:
    """Build a config dataclass from nested plain values, running every cross-field check.

    Args:
        kind: The dataclass, such as `Config`; for `ModelConfig` the values name the family.
        values: Plain values as `to_dict` writes them: an enum by its name, a model with its `kind`.
        path: The key path of `values` with a dot at its end, for messages; "" for a whole config.

    Returns:
        The dataclass instance.

    Raises:
        TypeError: For an unknown key.
        ValueError: If a check fails, or a model's family is unknown.
    """
    if kind is Config:
        load_plugins(values.get("plugins") or ())
    kind = _concrete(kind, values)
    slots = _slots(kind)
    for name in values:
        if name not in slots:
            raise TypeError(unknown_key(kind, name, path))
    given = {name: _value(slots[name], value, f"{path}{name}.") for name, value in values.items()}
    try:
        return kind(**given)
    except ValueError as error:
        if issubclass(kind, ModelConfig) and path not in ("", "model."):
            raise ValueError(str(error).replace("model.", path)) from error  # a model inside a model
        raise


def from_section(name: str, values: Any) -> Any:
    """Build one section of a whole config as `from_dict` does; return the values unchanged for an unknown name."""
    slot = _slots(Config).get(name)
    return _value(slot, values, f"{name}.") if slot else values


def _value(slot: _Slot, value: Any, path: str) -> Any:
    """Convert a plain value to the type of its field: a section, an enumeration, or a copy of a list or a mapping."""
    if slot.section and isinstance(value, Mapping):
        return from_dict(slot.section, value, path)
    if slot.choice and isinstance(value, str):
        return slot.choice[value]
    return copy(value) if isinstance(value, list | dict) else value


def unknown_key(kind: type, name: str, path: str) -> str:
    """Return the message about a key that a section of the config does not have.

    Args:
        kind: The section's dataclass.
        name: The key in it.
        path: The section's path with a dot at its end; "" for the root.
    """
    if issubclass(kind, ModelConfig) and any(name in _slots(other) for other in FAMILIES.values()):
        own = [key for key in _slots(kind) if key not in _slots(ModelConfig)]
        return f"{path}{name}: the family {kind.kind} has no such key; it has {', '.join(own) or 'none of its own'}"
    near = did_you_mean(f"{path}{name}", [f"{path}{key}" for key in _slots(kind)])
    return f"{path}{name}: unknown key{near}"


def to_dict(config: Any) -> dict[str, Any]:
    """Return a config dataclass as nested plain values; an enum becomes its name."""
    return {f.name: _plain(getattr(config, f.name)) for f in fields(config)}


def _plain(value: Any) -> Any:
    if is_dataclass(value):
        return to_dict(value)
    return value.name if isinstance(value, Enum) else value


def science_subset(values: Mapping[str, Any], kind: type = Config) -> dict[str, Any]:
    """Return the part of a resolved config that changes the results of a run.

    Args:
        values: The config as nested plain values.
        kind: The dataclass of the config.

    Returns:
        The same nesting, without fields declared `science=False`, and without fields declared `added` that have their
        default: so runs that were stored before such a field keep their identity.

    Raises:
        ValueError: If a model's family is unknown.
    """
    subset: dict[str, Any] = {}
    if kind is Config:
        load_plugins(values.get("plugins") or ())
    for name, slot in _slots(_concrete(kind, values)).items():
        if slot.science and name in values:
            value = values[name]
            if value == slot.before and slot.before is not MISSING:
                continue
            subset[name] = science_subset(value, slot.section) if slot.section else value
    return {name: value for name, value in subset.items() if value != {}}


def is_science(key: str) -> bool:
    """Return whether a key, such as `model.d_state`, changes the results of a run; False for an unknown key."""
    kinds: list[type] = [Config]
    for name in key.split("."):
        found = [slot for kind in kinds if (slot := _slots(kind).get(name)) and slot.science]
        if not found:
            return False
        kinds = [kind for slot in found for kind in _kinds(slot.section)]
    return True


def config_keys(kind: type = Config) -> list[str]:
    """Return the dotted key of every value of a config, of all families of models."""
    keys: list[str] = []
    for name, slot in _slots(kind).items():
        sections = _kinds(slot.section)
        keys += [f"{name}.{key}" for section in sections for key in config_keys(section)] if sections else [name]
    return list(dict.fromkeys(keys))


def _kinds(section: type | None) -> list[type]:
    """Return the possible dataclasses of a section: for a model those of all families; empty for None."""
    return list(FAMILIES.values()) if section is ModelConfig else [section] if section else []


def science_entry(name: str, value: Any) -> str:
    """Return the canonical JSON of one key and its scientific value, without braces; "" without a scientific part."""
    subset = science_subset({name: value})
    text = json.dumps(subset, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return text[1:-1]


def science_hash(values: Mapping[str, Any], entry: Callable[[str, Any], str] = science_entry) -> str:
    """Return the identity of a resolved config: SHA-256 over the canonical JSON of its scientific subset.

    Args:
        values: The config as nested plain values.
        entry: Returns the JSON of a key; `science_entry`, or a function that caches its results.

    Returns:
        64 hex digits.

    Raises:
        ValueError: If a model's family is unknown.
    """
    entries = (entry(name, values[name]) for name in sorted(values))
    config = ",".join(text for text in entries if text)
    return hashlib.sha256(f'{{"config":{{{config}}},"version":{SCIENCE_VERSION}}}'.encode()).hexdigest()
