"""Read a YAML file strictly, and keep the place of each value for messages.

Values have the types that Hydra gives them: `1e-3` is a number; `yes`, `on`, `012`, `1:30` and dates are text. A
key that appears twice is an error; a usual YAML parser would silently keep the last value.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import yaml

from launch.errors import FileError, SweepError, did_you_mean, nearest, printable
from launch.grammar import MAX_DIGITS, MAX_KEY
from s5.config.yaml_limits import check_extent
from s5.run_dir.regular_file import UnfitFile, read_written

_SHOWN = 10

# The C parser is ten times faster. PyYAML's wheels contain it, but a build from source may not.
_Base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Loader(_Base):
    """A safe loader that reads values as YAML 1.2 does, and raises an error for a duplicate key."""

    yaml_implicit_resolvers: Any = {}  # noqa: RUF012  PyYAML fills it per class

    def flatten_mapping(self, node: Any) -> None:
        # PyYAML calls this before it replaces merge keys `<<`, and again when an anchor is used. Only in the first call
        # are the keys those of the file.
        if not getattr(node, "checked", False):
            node.checked = True
            seen: set[str] = set()
            for key, _ in node.value:
                if not isinstance(key, yaml.ScalarNode):
                    raise yaml.MarkedYAMLError(None, None, "a key that is a list or a mapping", key.start_mark)
                if (text := key.value) in seen:
                    problem = f"the key {text!r} appears twice in one mapping"
                    raise yaml.MarkedYAMLError(None, None, problem, key.start_mark)
                if len(text) > MAX_KEY:
                    problem = f"a key of {len(text):,} characters; at most {MAX_KEY} are allowed"
                    raise yaml.MarkedYAMLError(None, None, problem, key.start_mark)
                seen.add(text)
        _Base.flatten_mapping(self, node)

    def plain(self, node: Any) -> Any:
        """Return the value of a boolean, a number or null; a tag such as `!!int` may stand before any text."""
        kind = node.tag.rpartition(":")[2]
        text = self.construct_scalar(node)
        kinds = ("int", "float") if kind == "float" else (kind,)
        if not any(_PATTERNS[one].fullmatch(text) for one in kinds):
            problem = f"{describe(text)} is not a value of the type !!{kind}"
            raise yaml.MarkedYAMLError(None, None, problem, node.start_mark)
        if kind == "int" and sum(map(str.isdigit, text)) > MAX_DIGITS:
            problem = f"a number of {len(text):,} digits; at most {MAX_DIGITS} are allowed"
            raise yaml.MarkedYAMLError(None, None, problem, node.start_mark)
        return getattr(_Base, f"construct_yaml_{kind}")(self, node)

    def unknown_tag(self, node: Any) -> Any:
        """Raise for a tag of a type that no key has, such as `!!binary`, `!!set` or one of a program's own."""
        tag = node.tag.replace("tag:yaml.org,2002:", "!!")
        problem = f"the tag {describe(tag)} is not allowed here; remove it, or use one of {', '.join(_TAGS)}"
        raise yaml.MarkedYAMLError(None, None, problem, node.start_mark)


_PATTERNS: dict[str, re.Pattern[str]] = {}
_TAGS = ("!!str", "!!int", "!!float", "!!bool", "!!null", "!!seq", "!!map")

for _tag, _pattern, _first in (
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("int", r"[-+]?(?:0|[1-9](?:_?[0-9])*)", "-+0123456789"),
    (
        "float",
        r"[-+]?(?:[0-9](?:_?[0-9])*\.[0-9_]*(?:[eE][-+]?[0-9]+)?|\.[0-9][0-9_]*(?:[eE][-+]?[0-9]+)?"
        r"|[0-9](?:_?[0-9])*[eE][-+]?[0-9]+|\.(?:inf|Inf|INF))|\.(?:nan|NaN|NAN)",
        "-+0123456789.",
    ),
    ("merge", r"<<", "<"),
):
    _PATTERNS[_tag] = re.compile(rf"^(?:{_pattern})$")
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", _PATTERNS[_tag], list(_first))
for _tag in ("bool", "int", "float", "null"):
    _Loader.add_constructor(f"tag:yaml.org,2002:{_tag}", _Loader.plain)
for _tag in ("binary", "timestamp", "set", "omap", "pairs"):
    _Loader.add_constructor(f"tag:yaml.org,2002:{_tag}", _Loader.unknown_tag)
_Loader.add_constructor(None, _Loader.unknown_tag)


@dataclass(frozen=True)
class Place:
    """A place in a YAML file, with methods that check a value and raise errors with this place.

    Attributes:
        file: The path of the file as the user typed it.
        path: The path of the key, such as `blocks[1].grid.optim.lr`; empty for the whole file.
        kind: The class of the errors.
    """

    file: str
    path: str = ""
    kind: type[FileError] = SweepError

    def __str__(self) -> str:
        return f"{self.file}: {self.path}" if self.path else self.file

    def key(self, name: object) -> Place:
        """Return the place of a key inside this one."""
        name = printable(str(name))
        return replace(self, path=f"{self.path}.{name}" if self.path else name)

    def item(self, index: int) -> Place:
        """Return the place of a list's item inside this one."""
        return replace(self, path=f"{self.path}[{index}]")

    def error(self, message: str, hint: str | None = None) -> FileError:
        """Return an error with this place."""
        return self.kind(self.file, self.path or None, message, hint=hint)

    def mapping(self, value: Any) -> dict[str, Any]:
        """Return `value` if it is a mapping whose keys are text, else raise."""
        if not isinstance(value, dict):
            raise self.error(f"{describe(value)} is not a mapping `key: value`")
        for key in cast("dict[Any, Any]", value):
            if not isinstance(key, str):
                raise self.error(f"the key {key!r} is not text", "put quotes around it")
        return cast("dict[str, Any]", value)

    def known_keys(self, value: Mapping[str, Any], known: Iterable[str]) -> None:
        """Raise if `value` has a key that is not in `known`; the message shows the nearest key and all keys."""
        allowed = list(known)
        for key in value:
            if key not in allowed:
                message = f"unknown key{did_you_mean(key, allowed)}"
                raise self.key(key).error(message, f"the keys here are {', '.join(allowed)}")

    def sequence(self, value: Any) -> list[Any]:
        """Return `value` if it is a list, else raise."""
        if not isinstance(value, list):
            raise self.error(f"{describe(value)} is not a list")
        return cast("list[Any]", value)

    def text(self, value: Any, hint: str = "put quotes around it", kind: str = "text") -> str:
        """Return `value` if it is printable text, else raise; the message says that it is not `kind`."""
        if not isinstance(value, str) or not value or not value.isprintable():
            raise self.error(f"{describe(value)} is not {kind}", hint)
        return value

    def whole(self, value: Any, least: int, most: int | None = None, hint: str | None = None) -> int:
        """Return `value` if it is a whole number from `least` to `most`, else raise."""
        if (
            isinstance(value, bool)
            or not isinstance(value, int)
            or not least <= value <= (value if most is None else most)
        ):
            end = "" if most is None else f" to {most}"
            raise self.error(f"{describe(value)} is not a whole number from {least}{end}", hint)
        return value

    def choice(self, value: Any, allowed: Iterable[str], kind: str = "value", hint: str = "one of") -> str:
        """Return `value` if it is allowed, else raise; the hint is `hint`, followed by all allowed words."""
        words = list(allowed)
        if value not in words:
            message = f"unknown {kind} {describe(value)}{did_you_mean(value, words)}"
            raise self.error(message, f"{hint} {', '.join(words)}")
        return value


def describe(value: Any) -> str:
    """Return a short description of a YAML value for a message."""
    if value is None:
        return "nothing"
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "…"


def read_yaml(path: Path, place: Place) -> dict[str, Any]:
    """Read a YAML file whose document is a mapping.

    Raises:
        FileError: If the file is missing, unreadable, empty, not UTF-8, not YAML, or not a mapping, or if it exceeds a
            limit of `s5.config.yaml_limits` or `launch.grammar`.
    """
    return parse_yaml(_read_text(path, place), place)


def parse_yaml(text: str, place: Place) -> dict[str, Any]:
    """Return the content of a YAML file, as `read_yaml` does."""
    try:
        check_extent(cast("Any", yaml).parse(text, Loader=_Loader))
        value = yaml.load(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        raise _syntax_error(error, text, place) from error
    except (yaml.YAMLError, RecursionError, ValueError, TypeError) as error:
        raise place.error(
            f"not YAML: {printable(str(error).splitlines()[0] if str(error) else repr(error))}"
        ) from error
    if value is None:
        raise place.error("the file is empty")
    return place.mapping(value)


def _read_text(path: Path, place: Place) -> str:
    try:
        return read_written(path).decode("utf-8-sig")
    except FileNotFoundError as error:
        raise place.error("no such file", _nearby(path)) from error
    except IsADirectoryError as error:
        raise place.error("this is a folder; a YAML file is needed", _listed(path)) from error
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise place.error(f"line {line}: not UTF-8 text", "save the file as UTF-8") from error
    except UnfitFile as error:
        raise place.error(str(error)) from error
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise place.error(f"cannot be read: {reason}") from error


def _nearby(path: Path) -> str | None:
    """Return a hint with the YAML file in the same folder whose name is most similar to that of `path`."""
    near = nearest(path.name, _names(path.parent))
    return f"did you mean {printable(str(path.parent / near))}?" if near else _listed(path.parent)


def _listed(folder: Path) -> str | None:
    """Return a hint that lists the YAML files in a folder; None without such files."""
    names = _names(folder)
    shown = ", ".join(map(printable, names[:_SHOWN])) + (" …" if len(names) > _SHOWN else "")
    return f"the YAML files there are {shown}" if names else None


def _names(folder: Path) -> list[str]:
    try:
        return sorted(entry.name for entry in folder.iterdir() if entry.suffix in (".yaml", ".yml"))
    except OSError:
        return []


def _syntax_error(error: yaml.MarkedYAMLError, text: str, place: Place) -> FileError:
    """Return the error for a syntax error, with the line and column of the problem."""
    mark = error.problem_mark or error.context_mark
    where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
    problem = error.problem or "not YAML"
    if error.context and error.context_mark:
        problem += f" {error.context} from line {error.context_mark.line + 1}"
    hint = None
    lines = text.splitlines()
    line = lines[mark.line] if mark and mark.line < len(lines) else ""
    if "\t" in line[: len(line) - len(line.lstrip())] or "'\\t'" in problem:
        hint = "indent with spaces; YAML allows no tabs"
    return place.error(f"{where}{printable(problem)}", hint)
