"""What Hydra composes for one experiment and choice of groups, ready to have single values set in it."""

from __future__ import annotations

import copy
import re
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
        file: The recipe that says so; None where an override does.
    """

    def __init__(
        self,
        key: str,
        value: Any,
        reason: str,
        *,
        node: Any = None,
        known: list[str] | None = None,
        file: str | None = None,
    ) -> None:
        super().__init__(f"{key}: {reason}")
        self.key = key
        self.value = value
        self.reason = reason
        self.node = node
        self.known = known or []
        self.file = file


class RecipeError(ConfigError):
    """A recipe that cannot be read; its message begins with the file."""


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
                raise _value_refused(error, self.nodes, key, value) from error
        return plain_values(config)


def compose_base(conf_dir: Path, overrides: Sequence[str]) -> BaseConfig:
    """Compose through Hydra.

    Args:
        conf_dir: The folder with `config.yaml`.
        overrides: In Hydra's grammar.

    Raises:
        RecipeError: Where a recipe is not YAML.
        ValueRefused: For a key or a value, in a recipe or an override, that the schema does not have.
        ConfigError: With the first line of what Hydra says.
    """
    import yaml
    from hydra import compose, initialize_config_dir
    from hydra.core.config_store import ConfigStore
    from hydra.errors import HydraException
    from omegaconf import ValueNode
    from omegaconf.errors import OmegaConfBaseException

    from s5.config.run import Config

    ConfigStore.instance().store(name="schema", node=Config)
    try:
        with initialize_config_dir(config_dir=str(conf_dir.resolve()), version_base=None):
            config = compose("config", overrides=list(overrides))
    except yaml.YAMLError as error:
        raise RecipeError(_syntax_message(error)) from error
    except (HydraException, OmegaConfBaseException, ValueError, TypeError, AttributeError) as error:
        # Not every odd override has an error of its own in Hydra: `group=null` is a ValueError.
        raise _composition_error(error, conf_dir) from error
    found = dict(_walk(config, ""))
    _refuse_other_keys(config, found)
    values = None if any(map(_depends, found.values())) else plain_values(config)
    return BaseConfig(config, values, {path: node for path, node in found.items() if isinstance(node, ValueNode)})


def _schema_nodes() -> dict[str, Any]:
    """Return the path and the node of every single value of the schema."""
    from omegaconf import OmegaConf, ValueNode

    from s5.config.run import Config

    walked = _walk(OmegaConf.structured(Config), "")
    return {path: node for path, node in walked if isinstance(node, ValueNode)}


def _composition_error(error: Exception, conf_dir: Path) -> Exception:
    """Return the error to raise for what Hydra raised."""
    from omegaconf.errors import ConfigTypeError, OmegaConfBaseException

    cause: Any = error.__cause__ or error.__context__
    recipe = re.match(r"In '([^']+)': ", str(error))
    file = shown_path(conf_dir / f"{recipe[1]}.yaml") if recipe else None
    if not isinstance(cause, OmegaConfBaseException) or not cause.full_key:
        return RecipeError(f"{file}: {first_line(cause or error)}") if file else ConfigError(first_line(error))
    if isinstance(cause, ConfigTypeError) and "deletion" in str(cause):
        return _no_deletion(cause.full_key)
    return _value_refused(cause, _schema_nodes(), cause.full_key, cause.value, file)


def _value_refused(error: Any, nodes: Mapping[str, Any], key: str, value: Any, file: str | None = None) -> ValueRefused:
    """Return the error for what OmegaConf refused at `key` or, inside a mapping that was to be set there, below it."""
    if (error.full_key or "").startswith(f"{key}."):
        key, value = error.full_key, error.value
    return ValueRefused(key, value, first_line(error), node=nodes.get(key), known=sorted(nodes), file=file)


def _no_deletion(key: str) -> ConfigError:
    return ConfigError(f"{key}: this key cannot be deleted: every run has it", hint="set it to another value")


def _refuse_other_keys(config: Any, found: Mapping[str, Any]) -> None:
    """Raise where an override has added a key that the schema lacks, or deleted a section."""
    from omegaconf import ValueNode

    known = _schema_nodes()
    for key, node in found.items():
        if isinstance(node, ValueNode) and key not in known and not any(k.startswith(f"{key}.") for k in known):
            raise ValueRefused(key, None, "unknown key", known=sorted(known))
    for key in dict.fromkeys(path.partition(".")[0] for path in known):
        if key not in found:
            raise _no_deletion(key)


def _syntax_message(error: Any) -> str:
    """Return the file, the line, the column and the problem of a recipe that is not YAML."""
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    if mark is None:
        return f"a recipe is not YAML: {first_line(error)}"
    return f"{shown_path(Path(mark.name))}: line {mark.line + 1}, column {mark.column + 1}: {error.problem}"


def shown_path(path: Path) -> str:
    """Return a path as short as it can be typed here."""
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)


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
        raise ConfigError(f"{error.full_key}: {first_line(error)}" if error.full_key else first_line(error)) from error
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
