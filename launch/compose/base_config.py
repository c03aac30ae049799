"""A config that Hydra composed, in which single values can be set quickly."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any, cast

from launch.grammar import Override
from s5.config.compose import compose_nodes, omegaconf_error
from s5.config.errors import invalid_value_error
from s5.config.nodes import depends, is_value, plain_values, walk


@dataclass(frozen=True)
class BaseConfig:
    """A composed config.

    Attributes:
        config: The config as OmegaConf's object; it must not be changed.
        values: The config as nested plain values, with enums by name; None if one value depends on another, so that
            single values cannot be set directly.
        nodes: The dotted path of every single value, with its OmegaConf node.
    """

    config: Any
    values: dict[str, Any] | None
    nodes: Mapping[str, Any]
    _sections: dict[tuple[str, ...], dict[str, Any]] = field(default_factory=dict[tuple[str, ...], dict[str, Any]])

    @classmethod
    def composed(cls, folders: Sequence[Path], overrides: Sequence[str]) -> BaseConfig:
        """Compose a config from the recipes and models in `folders` with Hydra and these overrides."""
        config = compose_nodes(overrides, folders)
        found = dict(walk(config))
        values = None if any(map(depends, found.values())) else plain_values(config)
        return cls(config, values, {path: node for path, node in found.items() if is_value(node)})

    def with_values(self, overrides: Sequence[Override]) -> dict[str, Any]:
        """Return the config as plain values with the overrides set; each must have the form `key=value`.

        Raises:
            UserError: If a key does not exist or does not allow the value.
        """
        if self.values is not None and all(o.key in self.nodes and _is_scalar(o.value) for o in overrides):
            return self._set(self.values, overrides)
        return self.updated((o.key, o.value) for o in overrides)

    def updated(self, changes: Iterable[tuple[str, Any]]) -> dict[str, Any]:
        """Return the config as plain values with `changes` set by OmegaConf itself, which is slower."""
        from omegaconf import OmegaConf
        from omegaconf.errors import OmegaConfBaseException

        config = copy.deepcopy(self.config)
        for key, value in changes:
            try:
                OmegaConf.update(config, key, value, merge=True)
            except OmegaConfBaseException as error:
                raise omegaconf_error(error, self.nodes, key, value) from error
        return plain_values(config)

    def _set(self, values: dict[str, Any], overrides: Sequence[Override]) -> dict[str, Any]:
        """Return `values` with the overrides set; configs with equal overrides of a section share that section."""
        values, changes = dict(values), dict[str, list[Override]]()
        for override in overrides:
            section, dot, _ = override.key.partition(".")
            if dot:
                changes.setdefault(section, []).append(override)
            else:
                values[override.key] = self._convert(override)
        for section, inside in changes.items():
            key = (section, *(override.text for override in inside))
            if key not in self._sections:
                self._sections[key] = self._set_inside(section, values[section], inside)
            values[section] = self._sections[key]
        return values

    def _set_inside(self, section: str, values: dict[str, Any], overrides: Sequence[Override]) -> dict[str, Any]:
        """Return a copy of a section with the overrides set."""
        values = _copied(values)
        for override in overrides:
            *path, last = override.key.removeprefix(f"{section}.").split(".")
            inner = values
            for name in path:
                inner = inner[name]
            inner[last] = self._convert(override)
        return values

    def _convert(self, override: Override) -> Any:
        """Return the override's value, converted to the type of its OmegaConf node."""
        from omegaconf.errors import ValidationError

        node: Any = self.nodes[override.key]
        try:
            converted = _converted(node, override.value)
        except ValidationError as error:
            raise invalid_value_error(override.key, override.value, node, str(error).splitlines()[0]) from error
        return converted.name if isinstance(converted, Enum) else converted


def _converted(node: Any, value: Any) -> Any:
    from omegaconf import UnionNode

    if not isinstance(node, UnionNode):
        return node.validate_and_convert(value)
    node = copy.deepcopy(node)  # a union converts only when it is set
    node._set_value(value)
    return node._value()._value()


def _is_scalar(value: Any) -> bool:
    """Return whether a value can be set without OmegaConf: not a container, an interpolation or missing."""
    return not isinstance(value, list | dict) and not (isinstance(value, str) and ("${" in value or value == "???"))


def _copied(values: dict[str, Any]) -> dict[str, Any]:
    return {
        key: _copied(cast("dict[str, Any]", value)) if isinstance(value, dict) else value
        for key, value in values.items()
    }
