"""A YAML writer for configs. OmegaConf, and any other YAML reader, reads the same values from its text.

The writers of OmegaConf and PyYAML take a millisecond per config, too long for a sweep of ten thousand runs. PyYAML
also writes a text such as "1e-3" without quotes, and OmegaConf would read a number.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, cast

_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_/-]*")
# Words that some version of YAML reads as a value other than text.
_NOT_TEXT = frozenset({"true", "false", "yes", "no", "on", "off", "y", "n", "null", "nan", "inf"})
_SURROGATES = re.compile(r"\\ud([89ab][0-9a-f]{2})\\ud([c-f][0-9a-f]{2})")


def yaml_text(config: Mapping[str, Any]) -> str:
    """Return plain values as YAML.

    Args:
        config: Nested plain values: mappings, lists, text, numbers, true, false, None.

    Returns:
        Block style, two spaces per level, in the config's own order.
    """
    return "".join(_lines(config, ""))


def _lines(config: Mapping[str, Any], indent: str) -> Iterator[str]:
    for key, value in config.items():
        if isinstance(value, dict) and value:
            yield f"{indent}{_scalar(key, str)}:\n"
            yield from _lines(cast("dict[str, Any]", value), indent + "  ")
        else:
            yield f"{indent}{_scalar(key, str)}: {_flow(value)}\n"


def _flow(value: Any) -> str:
    """Return a value on one line."""
    if isinstance(value, dict):
        items = cast("dict[Any, Any]", value).items()
        return "{" + ", ".join(f"{_flow(k)}: {_flow(v)}" for k, v in items) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_flow(v) for v in cast("Sequence[Any]", value)) + "]"
    if isinstance(value, float):
        return _float(value)  # not cached, since 0.0 and -0.0 are equal keys of a cache
    return _scalar(value, value.__class__)


@lru_cache(maxsize=8192)
def _scalar(value: Any, kind: Any) -> str:
    """Return a scalar as YAML; `kind` is its type, since 1 and True are otherwise equal keys of the cache."""
    if value is None:
        return "null"
    if kind is bool:
        return "true" if value else "false"
    if kind is int:
        return str(value)
    if kind is str:
        return value if _WORD.fullmatch(value) and value.lower() not in _NOT_TEXT else _quoted(value)
    raise TypeError(f"a config contains a {kind.__name__}, which is not a plain value")


def _float(value: float) -> str:
    if not math.isfinite(value):
        return ".nan" if math.isnan(value) else ".inf" if value > 0 else "-.inf"
    text = repr(value)
    # YAML 1.1 reads 1e-05 as text: a float needs a decimal point.
    return text if "." in text else text.replace("e", ".0e")


def _quoted(text: str) -> str:
    """Return a double-quoted scalar. JSON and YAML have the same escapes, except for characters beyond 16 bits."""
    text = json.dumps(text).replace("\x7f", "\\x7f")
    return _SURROGATES.sub(lambda pair: f"\\U{_code_point(*pair.groups()):08x}", text)


def _code_point(high: str, low: str) -> int:
    return 0x10000 + ((int("d" + high, 16) - 0xD800) << 10) + (int("d" + low, 16) - 0xDC00)
