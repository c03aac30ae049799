"""Convert records to JSON and back, by the types of their fields.

Keys that this version does not know are ignored. Fields that are missing, because an older version wrote the file, get
their default. A value of the wrong type is an error that names the file, the field and the value.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import MISSING, asdict, fields, is_dataclass
from enum import StrEnum
from functools import cache
from types import NoneType, UnionType
from typing import Any, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from launch.errors import StoreError, unknown
from launch.store.files import read_bytes, store_errors
from launch.store.records import FORMAT_VERSION, JSON_NAME, OMIT_NONE
from s5.run_dir.json_file import parse_json

T = TypeVar("T")
_Reader = Callable[[Any], Any]

# Whole numbers fit into 64 bits, and a time in seconds within `_MOST` can be shown as a date.
_MOST_WHOLE = 1 << 63
_MOST = 1e16
_SHOWN_CHARS = 80

_WORDS = {
    int: "a whole number",
    float: "a number",
    str: "text",
    bool: "true or false",
    dict: "an object",
    list: "a list",
}


def to_json(record: Any) -> dict[str, Any]:
    """Return a record's fields as plain values, ready for `json.dumps`."""
    names = {field.name: field.metadata.get(JSON_NAME, field.name) for field in fields(record)}
    omitted = {f.name for f in fields(record) if f.metadata.get(OMIT_NONE) and getattr(record, f.name) is None}
    return {names[name]: value for name, value in asdict(record).items() if name not in omitted}


def encode(record: Any) -> bytes:
    """Return the content of a record's file: indented JSON."""
    return (json.dumps(to_json(record), indent=1, sort_keys=True) + "\n").encode()


def from_json(kind: type[T], values: object, where: str) -> T:
    """Return the record that `to_json` converted to these values.

    Args:
        kind: The record's class, a dataclass.
        values: The parsed JSON document.
        where: The file, for error messages.

    Raises:
        StoreError: If the version is unknown, or a field is missing or of the wrong type.
    """
    if not isinstance(values, dict):
        raise StoreError(f"{where}: not a JSON object")
    document = cast("dict[str, Any]", values)
    version = document.get("version", FORMAT_VERSION)
    if version != FORMAT_VERSION:
        raise StoreError(
            f"{where}: format version {version!r}; this launcher reads version {FORMAT_VERSION}",
            hint="use the launcher that wrote it, or a newer one",
        )
    try:
        return _build(kind, document)
    except ValueError as error:
        raise StoreError(f"{where}: {error}") from error


def read_record(kind: type[T], file: str) -> T:
    """Return the record in a file.

    Raises:
        StoreError: If the file cannot be read or is not such a record; the message names the file.
    """
    with store_errors(f"read {file}"):
        data = read_bytes(file)
    try:
        return from_json(kind, parse_json(data), file)
    except ValueError as error:
        raise StoreError(f"{file}: not JSON: {error}") from error


def _build(kind: type[T], document: Mapping[str, Any]) -> T:
    found: dict[str, Any] = {}
    for name, key, exact, read, required in _fields(kind):
        if key in document:
            value = document[key]
            # Manifests have thousands of lines: a value that already has the field's type is not converted.
            if type(value) is not exact:
                try:
                    value = read(value)
                except ValueError as error:
                    raise ValueError(f"{key}: {error}") from error
            found[name] = value
        elif required:
            raise ValueError(f"{key} is missing")
    return kind(**found)


@cache
def _fields(kind: type) -> tuple[tuple[str, str, type | None, _Reader, bool], ...]:
    """Return for each field: name, JSON key, the type that needs no conversion, reader, and whether it is required."""
    hints = get_type_hints(kind)
    return tuple(
        (
            field.name,
            field.metadata.get(JSON_NAME, field.name),
            hints[field.name] if hints[field.name] in (int, str, bool) else None,
            _reader(hints[field.name]),
            field.default is MISSING and field.default_factory is MISSING,
        )
        for field in fields(kind)
    )


def _reader(hint: Any) -> _Reader:
    """Return a function that converts a JSON value to a field's type, or raises ValueError."""
    origin, arguments = get_origin(hint), get_args(hint)
    if hint is Any:
        return lambda value: value
    if origin in (Union, UnionType):
        inner = tuple(one for one in arguments if one is not NoneType)
        return _optional(inner[0]) if len(inner) == 1 else lambda value: _one_of(inner, value)
    if origin is tuple:
        read = _reader(arguments[0])
        return lambda value: tuple(map(read, _plain(list, value)))
    if origin is dict:
        read = _reader(arguments[1])
        return lambda value: {key: read(one) for key, one in _plain(dict, value).items()}
    if is_dataclass(hint):
        return _shared(cast("type[Any]", hint))
    if issubclass(hint, StrEnum):
        return lambda value: _member(hint, value)
    if issubclass(hint, tuple):
        make = cast("Callable[..., Any]", hint)
        readers = [_reader(inner) for inner in get_type_hints(make).values()]
        return lambda value: make(*(read(one) for read, one in zip(readers, _plain(list, value), strict=True)))
    return lambda value: _plain(hint, value)


def _shared(kind: type[Any]) -> _Reader:
    """Return a reader that returns the same object for equal values: most manifest lines have the same resources."""
    known: dict[tuple[Any, ...], Any] = {}

    def read(value: Any) -> Any:
        key = tuple(_plain(dict, value).items())
        try:
            if key not in known:
                known[key] = _build(kind, value)
            return known[key]
        except TypeError:  # a value that is a JSON object itself cannot be a part of a key
            return _build(kind, value)

    return read


def _optional(hint: Any) -> _Reader:
    read = _reader(hint)
    if isinstance(hint, type) and issubclass(hint, StrEnum):
        known: dict[str, StrEnum] = {str(member): member for member in hint}
        # None for a word that only a later version knows, such as a new reason.
        return lambda value: known.get(value) if isinstance(value, str) else None
    return lambda value: None if value is None else read(value)


def _member(kind: type[StrEnum], value: Any) -> StrEnum:
    try:
        return kind(value)
    except ValueError:
        raise ValueError(unknown("word", value, list(kind))) from None


def _one_of(kinds: tuple[type, ...], value: Any) -> Any:
    if type(value) not in kinds:
        raise ValueError(f"{_shown(value)} is not {' or '.join(_WORDS[kind] for kind in kinds)}")
    return value


def _plain(kind: type, value: Any) -> Any:
    """Return a value unchanged; raise ValueError if it has the wrong type. A float field takes whole numbers too."""
    wanted = (int, float) if kind is float else kind
    if not isinstance(value, wanted) or isinstance(value, bool) is not (kind is bool):
        raise ValueError(f"{_shown(value)} is not {_WORDS[kind]}")
    if kind in (int, float) and not abs(value) <= (_MOST if kind is float else _MOST_WHOLE):  # NaN is not either
        raise ValueError(f"{_shown(value)} is not {_WORDS[kind]} in range")
    return value


def _shown(value: object) -> str:
    """Return the beginning of a value's text: a damaged value may be long."""
    try:
        text = repr(value)
    except ValueError:  # Python does not print a whole number of thousands of digits
        return "a number of thousands of digits"
    return text if len(text) <= _SHOWN_CHARS else f"{text[:_SHOWN_CHARS]}…"
