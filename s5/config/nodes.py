"""The nodes of OmegaConf's config object: their plain values, and a walk over them."""

import os
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import Any, cast

from s5.config.errors import InvalidConfig
from s5.errors import UserError
from s5.run_dir.secret import is_secret

_SECRET_HINT = "let the run read it from its environment; W&B reads ~/.netrc"


def plain_values(config: Any) -> dict[str, Any]:
    """Return a composed config as nested plain values: interpolations are resolved, an enum becomes its name.

    Raises:
        InvalidConfig: If a value is missing, or an interpolation refers to a key that does not exist or to a secret.
        UserError: If a text contains `${`.
    """
    from omegaconf import OmegaConf
    from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException

    refused: list[str] = []
    try:
        with _no_secrets(refused):
            values = OmegaConf.to_container(config, resolve=True, throw_on_missing=True, enum_to_str=True)
    except MissingMandatoryValue as error:
        raise InvalidConfig(str(error.full_key), "a value is needed") from error
    except OmegaConfBaseException as error:
        if refused:  # OmegaConf keeps only the words of a resolver's error
            raise InvalidConfig(str(error.full_key or ""), refused[0], hint=_SECRET_HINT) from None
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


@contextmanager
def _no_secrets(refused: list[str]) -> Generator[None]:
    """Let `${oc.env:NAME}` refuse secrets inside the `with` block: the value would be stored in config.yaml.

    Args:
        refused: The problem is appended to it when a secret is refused.
    """
    from omegaconf import OmegaConf
    from omegaconf.resolvers import oc

    def read(name: str, *default: str | None) -> str | None:
        if is_secret(name, os.environ.get(name, "")):
            refused.append(f"`${{oc.env:{name}}}` looks like a secret, and everybody can read config.yaml")
            raise ValueError(refused[-1])
        return oc.env(name, *default)

    OmegaConf.register_new_resolver("oc.env", read, replace=True)
    try:
        yield
    finally:  # a program that uses this package has the usual resolver
        OmegaConf.register_new_resolver("oc.env", oc.env, replace=True)


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
