"""Write docs/settings.md: every key of the configuration with its default, its values and its meaning.

    python scripts/settings_page.py

All of it comes from the dataclasses of `s5.config`: defaults from their fields, meanings from their docstrings, limits
from the errors of their checks. A test compares the page with `page()`.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import MISSING, Field, fields
from enum import Enum
from pathlib import Path
from types import NoneType
from typing import Any, get_args, get_origin, get_type_hints

from s5.config.data import DataConfig
from s5.config.families import FAMILIES, S5Config
from s5.config.model import ModelConfig
from s5.config.run import Config
from s5.config.training import OptimConfig, TrainConfig
from s5.config.wandb import WandbConfig

PAGE = Path(__file__).parents[1] / "docs" / "settings.md"

_HEAD = """# Settings

Every key of the configuration of a run. Recipes set some of them, a sweep file under `base` and `grid`, and the command
line as `key=value`; `launch show digits/s5` prints all of them for a recipe, and with changes:
`launch show digits/s5 model=lru optim.lr=0.002`. A key that does not exist, and a value that is not allowed, is refused
before anything starts.

The defaults are those without a recipe. `null` means: not set. A key with * does not change the results, so it is not
part of a run's identity: runs that differ only in it are one run. The keys of the sweep file itself, such as `seeds`
and `resources`, are in [sweeps.md](sweeps.md).

<!-- Written by scripts/settings_page.py from the dataclasses of s5/config. -->
"""
_SECTIONS = (("data", DataConfig), ("optim", OptimConfig), ("train", TrainConfig), ("wandb", WandbConfig))
_ATTRIBUTE = re.compile(r"^ {8}([A-Za-z_]\w*(?:, [A-Za-z_]\w*)*): (.*(?:\n {12}.*)*)", re.MULTILINE)


def page() -> str:
    """Return the text of the page."""
    sections = {**dict(_SECTIONS), "model": ModelConfig}
    top = [one for one in fields(Config) if one.name not in sections]
    parts = [_HEAD, "## Top level\n", _table("", Config, top)]
    for name, section in _SECTIONS:
        parts += [f"## {name}\n", _summary(section), _table(f"{name}.", section, fields(section))]
    common = [one for one in fields(S5Config) if one.name in {f.name for f in fields(ModelConfig)}]
    parts += [
        "## model, all families\n",
        "`model=FAMILY` and `model=FAMILY-TASK` choose the [family](families.md) and its published sizes; `model.kind` "
        "says which it is.\n",
        _table("model.", S5Config, [one for one in common if one.name != "kind"]),
    ]
    shared = {one.name for one in common}
    for kind, family in FAMILIES.items():
        if family.__module__.startswith("s5."):
            own = [one for one in fields(family) if one.name not in shared]
            parts += [f"## model={kind}\n", _summary(family), _table("model.", family, own)]
    return "\n".join(parts)


def _summary(section: type) -> str:
    return (section.__doc__ or "").partition("\n")[0] + "\n"


def _table(prefix: str, section: type, rows: Iterable[Field[Any]]) -> str:
    return (
        "\n".join(["| key | default | allowed | meaning |", "|---|---|---|---|", *_rows(prefix, section, rows)]) + "\n"
    )


def _rows(prefix: str, section: type, rows: Iterable[Field[Any]]) -> Iterator[str]:
    hints, meanings = get_type_hints(section), _meanings(section)
    for one in rows:
        hint = hints[one.name]
        texts = [meanings.get(one.name, "")]
        if isinstance(hint, type) and issubclass(hint, Enum):  # its docstring explains the choices
            texts.append(_sentences(hint.__doc__ or ""))
        meaning = max(texts, key=len)
        if not meaning:
            raise ValueError(f"{section.__name__}.{one.name} has no meaning: add it to `Attributes`")
        star = "" if one.metadata.get("science", True) else " *"
        cells = (
            f"`{prefix}{one.name}`{star}",
            f"`{_text(_default(one))}`",
            _allowed(prefix, section, one, hint),
            meaning,
        )
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


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


def _allowed(prefix: str, section: type, one: Field[Any], hint: Any) -> str:
    kinds = [kind for kind in get_args(hint) or (hint,) if kind is not NoneType]
    (kind,) = [list] if get_origin(hint) is list else kinds
    null = ", or `null`" if NoneType in get_args(hint) else ""
    if issubclass(kind, Enum):
        return ", ".join(f"`{choice.name}`" for choice in kind if _is_allowed(section, one.name, choice))
    name = {bool: "`true`, `false`", int: "whole number", float: "number", str: "text", list: "list of texts"}[kind]
    return name + (_limit(f"{prefix}{one.name}", section, kind(-1)) if kind in (int, float) else "") + null


def _is_allowed(section: type, name: str, value: Any) -> bool:
    try:
        section(**{name: value})
    except ValueError:
        return False
    return True


def _limit(key: str, section: type, value: float) -> str:
    """Return the range of a number as the section's own checks tell it: they refuse -1 if there is a least one."""
    try:
        section(**{key.rpartition(".")[2]: value})
    except ValueError as error:
        names, _, limit = str(error).partition(" must be ")
        if key not in names:  # of a pair, the message is about the other one
            return f", at least `{names.partition('=')[0]}`"
        return ", " + re.sub(r"=[^ ,]+", "", re.split(r"[:;]", limit)[0])
    return ""


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
