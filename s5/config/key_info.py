"""What each key of a section means, with its default and the values it takes: from the section's dataclass itself."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import MISSING, Field, dataclass
from enum import Enum
from types import NoneType
from typing import Any, get_args, get_origin, get_type_hints

_ATTRIBUTE = re.compile(r"^ {8}([A-Za-z_]\w*(?:, [A-Za-z_]\w*)*): (.*(?:\n {12}.*)*)", re.MULTILINE)


@dataclass(frozen=True, kw_only=True)
class KeyInfo:
    """The description of a key; code in its texts is in backticks.

    Attributes:
        name: The key, such as `d_state`.
        value: The default as a plain value; an enum by its name.
        default: The default as text.
        allowed: The values that the key takes.
        meaning: The sentences of the docstring.
        science: Whether the key changes the results of a run.
    """

    name: str
    value: Any
    default: str
    allowed: str
    meaning: str
    science: bool


def key_infos(section: type, rows: Iterable[Field[Any]], prefix: str = "") -> Iterator[KeyInfo]:
    """Yield the description of each field of a section.

    Args:
        section: The dataclass.
        rows: Those of its fields that are wanted.
        prefix: The path of the section with a dot at its end, by which the messages of its checks name its keys.

    Raises:
        ValueError: If a field has no meaning in the docstring.
    """
    hints, meanings = get_type_hints(section), _meanings(section)
    for one in rows:
        hint, default = hints[one.name], _default(one)
        texts = [meanings.get(one.name, "")]
        if isinstance(hint, type) and issubclass(hint, Enum):  # its docstring explains the choices
            texts.append(_sentences(hint.__doc__ or ""))
        meaning = max(texts, key=len)
        if not meaning:
            raise ValueError(f"{section.__name__}.{one.name} has no meaning: add it to `Attributes`")
        yield KeyInfo(
            name=one.name,
            value=default.name if isinstance(default, Enum) else default,
            default=_text(default),
            allowed=_allowed(prefix, section, one, hint),
            meaning=meaning,
            science=one.metadata.get("science", True),
        )


def _meanings(section: type) -> dict[str, str]:
    """Return the meaning of each field, from the docstrings of a class and of those that it extends."""
    found: dict[str, str] = {}
    for base in reversed(section.__mro__):
        for names, text in _ATTRIBUTE.findall(base.__doc__ or ""):
            found |= dict.fromkeys(names.split(", "), _sentences(text))
    return found


def _sentences(text: str) -> str:
    """Return the first paragraph of a docstring on one line, as a user of YAML reads it."""
    line = " ".join(text.partition("\n\n")[0].split())
    return re.sub(r"\bNone\b", "`null`", line)


def _default(one: Field[Any]) -> Any:
    return one.default if one.default_factory is MISSING else one.default_factory()


def _text(value: Any) -> str:
    if isinstance(value, Enum):
        return value.name
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    return '""' if value == "" else f"{value:.4g}" if isinstance(value, float) and value > 1 else str(value)


_NAMES = {
    bool: "`true`, `false`",
    int: "whole number",
    float: "number",
    str: "text",
    list: "list of texts",
    dict: "mapping of names to numbers",
}


def _allowed(prefix: str, section: type, one: Field[Any], hint: Any) -> str:
    kinds = [kind for kind in get_args(hint) or (hint,) if kind is not NoneType]
    if kinds == [int, str]:
        return "whole number, at least 1, or `auto`"  # train.batch_size, the only such key
    (kind,) = [get_origin(hint)] if get_origin(hint) in (list, dict) else kinds
    null = ", or `null`" if NoneType in get_args(hint) else ""
    if issubclass(kind, Enum):
        return ", ".join(f"`{choice.name}`" for choice in kind if _is_allowed(section, one.name, choice))
    name = _NAMES.get(kind)
    if name is None:
        return f"a {kind.__name__}"
    return name + (_limit(f"{prefix}{one.name}", section, kind(-1)) if kind in (int, float) else "") + null


def _is_allowed(section: type, name: str, value: Any) -> bool:
    try:
        section(**{name: value})
    except ValueError:
        return False
    return True


def _limit(key: str, section: type, value: int | float) -> str:
    """Return the range of a number as the section's own checks tell it: they refuse -1 if there is a least one."""
    try:
        section(**{key.rpartition(".")[2]: value})
    except ValueError as error:
        names, _, limit = str(error).partition(" must be ")
        if key not in names:  # of a pair, the message is about the other one
            return f", at least `{names.partition('=')[0]}`"
        return ", " + re.sub(r"=[^ ,]+", "", re.split(r"[:;]", limit)[0])
    return ""
