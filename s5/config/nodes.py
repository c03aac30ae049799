"""The nodes of OmegaConf's config object: their plain values, and a walk over them."""

from collections.abc import Iterator
from typing import Any, cast

from s5.config.errors import InvalidConfig
from s5.errors import UserError


def plain_values(config: Any) -> dict[str, Any]:
    """Return a composed config as nested plain values: interpolations are resolved, an enum becomes its name.

    Raises:
        InvalidConfig: If a value is missing, or an interpolation refers to a key that does not exist.
        UserError: If a text contains `${`.
    """
    from omegaconf import OmegaConf
    from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException

    try:
        values = OmegaConf.to_container(config, resolve=True, throw_on_missing=True, enum_to_str=True)
    except MissingMandatoryValue as error:
        raise InvalidConfig(str(error.full_key), "a value is needed") from error
    except OmegaConfBaseException as error:
        raise InvalidConfig(
            str(error.full_key or ""),
            first_line(error),
            hint="`${KEY}` is replaced by the value of another key of the config",
        ) from error
    for text in _texts(values):
        if "${" in text:
            # OmegaConf reads config.yaml, and would read this text as an interpolation.
            raise UserError(f"the text {text!r} contains `${{`, which a config cannot store")
    return cast("dict[str, Any]", values)


def walk(config: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the path and the node of every key and item inside one of OmegaConf's containers, at any depth."""
    from omegaconf import DictConfig, ListConfig

    if not isinstance(config, DictConfig | ListConfig) or depends(config) or cast("Any", config)._is_none():
        return
    mapping = isinstance(config, DictConfig)
    keys: Any = config if mapping else range(len(config))
    for key in keys:
        node: Any = cast("Any", config)._get_node(key)
        path = f"{prefix}{key}" if mapping else f"{prefix}[{key}]"
        yield path, node
        yield from walk(node, f"{path}.")


def is_value(node: Any) -> bool:
    """Return whether a node is a single value: no section, list or mapping."""
    from omegaconf import UnionNode, ValueNode

    return isinstance(node, ValueNode | UnionNode)


def depends(node: Any) -> bool:
    """Return whether a node has no value of its own, since it is an interpolation or missing."""
    return bool(node._is_interpolation() or node._is_missing())


def first_line(error: BaseException) -> str:
    """Return the first line of an error's innermost cause, since Hydra wraps the error that explains the problem."""
    while error.__cause__ is not None:
        error = error.__cause__
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


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
