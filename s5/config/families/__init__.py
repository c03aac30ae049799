"""The model families: one dataclass each, in a module of its own; one table finds them by their `kind`.

A family that comes from outside (a plug-in) is registered with `register_family`; its YAML files lie in a folder that
`s5.config.search_path.add_conf_dir` names.
"""

from dataclasses import fields
from functools import cache
from typing import get_type_hints

from s5.config.families.lru import LRUConfig
from s5.config.families.s5 import S5Config
from s5.config.model import ModelConfig
from s5.errors import unknown

__all__ = ["FAMILIES", "LRUConfig", "S5Config", "find_family", "layer_fields", "register_family"]

FAMILIES: dict[str, type[ModelConfig]] = {kind.kind: kind for kind in (S5Config, LRUConfig)}


def register_family(config: type[ModelConfig]) -> None:
    """Add a family, so that `model=KIND` chooses it.

    Args:
        config: A dataclass that extends `ModelConfig`; the default of its field `kind` is its name.

    Raises:
        ValueError: If another class has this name.
    """
    if FAMILIES.setdefault(config.kind, config) is not config:
        raise ValueError(f"model family {config.kind!r}: {FAMILIES[config.kind].__qualname__} has this name already")


def find_family(kind: object) -> type[ModelConfig]:
    """Return the configuration class of a family.

    Args:
        kind: Its name, as it stands under `model.kind`.

    Raises:
        ValueError: If there is no such family; it may come from a plug-in that is not loaded.
    """
    found = FAMILIES.get(kind) if isinstance(kind, str) else None
    if found is None:
        raise ValueError(
            f"model.kind: {unknown('family', str(kind), FAMILIES)}; the families are {', '.join(FAMILIES)}"
        )
    return found


@cache
def layer_fields(config: type[ModelConfig]) -> tuple[str, ...]:
    """Return the fields of a family that hold another model, such as `layer` of a model made of S5 layers."""
    hints = get_type_hints(config)
    return tuple(f.name for f in fields(config) if hints[f.name] is ModelConfig)
