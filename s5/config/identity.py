"""A config as plain values, in both directions, and the part of it that is a run's identity. Free of JAX."""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, dataclass, fields, is_dataclass
from enum import Enum
from functools import cache
from typing import Any, get_type_hints

from s5.config.families import FAMILIES, S5Config, find_family
from s5.config.model import ModelConfig
from s5.config.plugins import load_plugins
from s5.config.run import Config
from s5.errors import did_you_mean

# Raise it when a field's meaning changes so that old results must not be taken for new ones.
SCIENCE_VERSION = 1


@dataclass(frozen=True)
class _Slot:
    """What a field holds, looked up once: a sweep of ten thousand runs asks a million times.

    Attributes:
        before: The plain value that means what was so before the field existed; MISSING if it always existed.
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
    """Return the dataclass of these values: that of its family for a model."""
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
        ValueError: If a check refuses the values, or a model's family is unknown.
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
    """Return what `from_dict` makes of one key of a whole config; the values themselves if there is no such key."""
    slot = _slots(Config).get(name)
    return _value(slot, values, f"{name}.") if slot else values


def _value(slot: _Slot, value: Any, path: str) -> Any:
    """Turn a plain value into what its field asks for."""
    if slot.section and isinstance(value, Mapping):
        return from_dict(slot.section, value, path)
    if slot.choice and isinstance(value, str):
        return slot.choice[value]
    return list(value) if isinstance(value, list) else value


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
    """Return the part of a resolved config that changes the numbers of a run.

    Args:
        values: The config as nested plain values.
        kind: The dataclass that describes it.

    Returns:
        The same nesting without the fields declared `science=False`, and without those that were added later and
        have their default: a run that was stored before keeps its identity.

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
    """Return whether a key, such as `model.d_state`, changes the numbers of a run; False for an unknown key."""
    kinds: list[type] = [Config]
    for name in key.split("."):
        found = [slot for kind in kinds if (slot := _slots(kind).get(name)) and slot.science]
        if not found:
            return False
        kinds = [kind for slot in found for kind in _kinds(slot.section)]
    return True


def _kinds(section: type | None) -> list[type]:
    """Return the dataclasses that a section can have: those of all families for a model."""
    return list(FAMILIES.values()) if section is ModelConfig else [section] if section else []


def science_entry(name: str, value: Any) -> str:
    """Return one key of a whole config and its scientific value as canonical JSON, "" if it has none."""
    subset = science_subset({name: value})
    text = json.dumps(subset, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return text[1:-1]


def science_hash(values: Mapping[str, Any], entry: Callable[[str, Any], str] = science_entry) -> str:
    """Return the identity of a resolved config: SHA-256 over the canonical JSON of its scientific subset.

    Args:
        values: The config as nested plain values.
        entry: What returns the JSON of a key, such as `science_entry` with a memory.

    Returns:
        64 hex digits.

    Raises:
        ValueError: If a model's family is unknown.
    """
    entries = (entry(name, values[name]) for name in sorted(values))
    config = ",".join(text for text in entries if text)
    return hashlib.sha256(f'{{"config":{{{config}}},"version":{SCIENCE_VERSION}}}'.encode()).hexdigest()
