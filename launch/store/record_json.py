"""How records become JSON, and come back."""

from __future__ import annotations

import json
from dataclasses import asdict, fields
from typing import Any, TypeVar, cast

from launch.errors import StoreError
from launch.specs.container import ContainerSettings
from launch.specs.image import Image
from launch.specs.mount import Mount
from launch.specs.resources import Resources
from launch.store.files import read_bytes, store_error
from launch.store.records import (
    FORMAT_VERSION,
    AttemptRecord,
    ManifestEntry,
    ManifestHeader,
    PublishedNumber,
    RunRecord,
)
from launch.store.state import Reason

Record = TypeVar("Record", RunRecord, ManifestEntry, ManifestHeader, AttemptRecord)


def to_json(record: Any) -> dict[str, Any]:
    """Return a record's fields as plain values, ready for `json.dumps`."""
    return asdict(record)


def from_json(kind: type[Record], values: Any, where: str) -> Record:
    """Build a record from what `to_json` made of it.

    Args:
        kind: The record's class.
        values: The parsed JSON.
        where: The file, for the message.

    Returns:
        The record.

    Raises:
        StoreError: Where the version is unknown, or a field is missing, unknown or of the wrong kind.
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
    names = {f.name for f in fields(kind)}
    unknown = sorted(set(document) - names)
    if unknown:
        raise StoreError(f"{where}: unknown field {unknown[0]!r}")
    try:
        return kind(**{name: _read(name, value) for name, value in document.items()})
    except (TypeError, ValueError) as error:
        raise StoreError(f"{where}: {error}") from error


def read_json(file: str) -> object:
    """Return what a JSON file holds.

    Raises:
        StoreError: Where it cannot be read; the message names the file.
    """
    try:
        return json.loads(read_bytes(file))
    except OSError as error:
        raise store_error(error, f"read {file}") from error
    except ValueError as error:
        raise StoreError(f"{file}: not JSON: {error}") from error


def _read(name: str, value: Any) -> Any:
    """Turn the plain value of the field `name` into the field's own type."""
    if value is None:
        return None
    match name:
        case "resources":
            return Resources(**value)
        case "image":
            return Image(**value)
        case "mounts":
            return tuple(Mount(**mount) for mount in value)
        case "container":
            return ContainerSettings(**value)
        case "reason":
            return Reason(value)
        case "published":
            return tuple(PublishedNumber(**number) for number in value)
        case "overrides" | "command" | "devices" | "after" | "gives":
            return tuple(value)
        case _:
            return value
