"""What Hydra composes for one experiment and choice of groups, ready to have single values set in it."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from launch.errors import ConfigError


class ValueRefused(Exception):
    """A value that its key does not take, or a key that is not there.

    Args:
        key: The key.
        value: The value.
        reason: What OmegaConf says.
        node: The node that holds the key's value; None where there is none.
        known: Every key that there is.
    """

    def __init__(self, key: str, value: Any, reason: str, *, node: Any = None, known: list[str] | None = None) -> None:
        super().__init__(f"{key}: {reason}")
        self.key = key
        self.value = value
        self.reason = reason
        self.node = node
        self.known = known or []


@dataclass(frozen=True)
class BaseConfig:
    """A composed config.

    Attributes:
        config: OmegaConf's own object; nobody writes into it.
        values: The same as nested plain values, an enum by its name, in which single values can be set; None where
            one value depends on another.
        nodes: Dotted path of every single value to the node that holds it.
    """

    config: Any
    values: dict[str, Any] | None
    nodes: Mapping[str, Any]

    def updated(self, changes: Iterable[tuple[str, Any]]) -> dict[str, Any]:
        """Return plain values after OmegaConf itself has set `changes`, the slower of the two ways.

        Raises:
            ValueRefused: For a key that is not there or a value that it does not take.
        """
        from omegaconf import OmegaConf
        from omegaconf.errors import OmegaConfBaseException

        config = copy.deepcopy(self.config)
        for key, value in changes:
            try:
                OmegaConf.update(config, key, value, merge=True)
            except OmegaConfBaseException as error:
                node = self.nodes.get(key)
                raise ValueRefused(key, value, first_line(error), node=node, known=sorted(self.nodes)) from error
        return plain_values(config)


def compose_base(conf_dir: Path, overrides: Sequence[str]) -> BaseConfig:
    """Compose through Hydra.

    Args:
        conf_dir: The folder with `config.yaml`.
        overrides: In Hydra's grammar.

    Raises:
        ConfigError: With the first line of what Hydra says.
    """
    from hydra import compose, initialize_config_dir
    from hydra.core.config_store import ConfigStore
    from hydra.errors import HydraException
    from omegaconf import ValueNode
    from omegaconf.errors import OmegaConfBaseException

    from s5.config import Config

    ConfigStore.instance().store(name="schema", node=Config)
    try:
        with initialize_config_dir(config_dir=str(conf_dir.resolve()), version_base=None):
            config = compose("config", overrides=list(overrides))
    except (HydraException, OmegaConfBaseException, ValueError, TypeError, AttributeError) as error:
        # Not every odd override has an error of its own in Hydra: `group=null` is a ValueError.
        raise ConfigError(first_line(error)) from error
    found = dict(_walk(config, ""))
    values = None if any(map(_depends, found.values())) else plain_values(config)
    return BaseConfig(config, values, {path: node for path, node in found.items() if isinstance(node, ValueNode)})


def plain_values(config: Any) -> dict[str, Any]:
    """Return a config as nested plain values, its interpolations resolved, an enum by its name.

    Raises:
        ConfigError: Where a value is missing, or an interpolation leads nowhere.
    """
    from omegaconf import OmegaConf
    from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException

    try:
        values = OmegaConf.to_container(config, resolve=True, throw_on_missing=True, enum_to_str=True)
    except MissingMandatoryValue as error:
        raise ConfigError(f"{error.full_key}: a value is needed") from error
    except OmegaConfBaseException as error:
        raise ConfigError(first_line(error)) from error
    for text in _texts(values):
        if "${" in text:
            # config.yaml is read by OmegaConf, which would take it for an interpolation.
            raise ConfigError(f"the text {text!r} holds `${{`, which a config cannot store")
    return cast("dict[str, Any]", values)


def first_line(error: BaseException) -> str:
    """Return the innermost cause's first line: Hydra wraps what is worth knowing."""
    while error.__cause__ is not None:
        error = error.__cause__
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def _walk(config: Any, prefix: str) -> Iterator[tuple[str, Any]]:
    """Yield the path and the node of everything inside a container."""
    from omegaconf import DictConfig, ListConfig

    if not isinstance(config, DictConfig | ListConfig) or _depends(config) or cast("Any", config)._is_none():
        return
    mapping = isinstance(config, DictConfig)
    keys: Iterable[Any] = config if mapping else range(len(config))
    for key in keys:
        node: Any = cast("Any", config)._get_node(key)
        path = f"{prefix}{key}" if mapping else f"{prefix}[{key}]"
        yield path, node
        yield from _walk(node, f"{path}.")


def _depends(node: Any) -> bool:
    """Return whether a node's value is not simply its own: an interpolation, or missing."""
    return bool(node._is_interpolation() or node._is_missing())


def _texts(values: Any) -> Iterator[str]:
    if isinstance(values, str):
        yield values
    elif isinstance(values, dict):
        for key, value in cast("dict[Any, Any]", values).items():
            yield from _texts(key)
            yield from _texts(value)
    elif isinstance(values, list):
        for value in cast("list[Any]", values):
            yield from _texts(value)
