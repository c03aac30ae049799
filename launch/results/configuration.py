"""Read what a run's numbers depend on: the scientific part of its config without the seed, and its command."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from s5.config.identity import science_subset
from s5.errors import UserError
from s5.run_dir.json_file import parse_json
from s5.run_dir.regular_file import read_regular
from s5.run_dir.result import CONFIG, RUN

if TYPE_CHECKING:
    from launch.store.view import RunView

SOURCE = "train.init_from"
SOURCE_HASH = "train.init_hash"

_SEED = re.compile(r"^seed:.*\n?", re.MULTILINE)
# The source of a run that starts from a run of its sweep has a hash that depends on the seed. The label does not.
_SOURCE_IN_SWEEP = re.compile(r"""^(  init_from: (?!['"]?/)(.*)\n)  init_hash: (?!null).*$""", re.MULTILINE)
_SECTION = re.compile(r"\n(?=[A-Za-z_\"'])")


@dataclass(frozen=True, kw_only=True)
class Configuration:
    """What a run's numbers depend on, except the seed.

    Attributes:
        key: A text that is equal for equal configurations.
        science: The values that change numbers, by dotted key. Values that older versions did not have are missing.
        values: Every value of the config, by dotted key.
        overridden: The keys that the sweep file or the command line set when the run was stored.
        command: The words of the command; None for a training.
        has_source: Whether it starts from another run's parameters.
    """

    key: str
    science: Mapping[str, Any]
    values: Mapping[str, Any]
    overridden: frozenset[str]
    command: tuple[str, ...] | None
    has_source: bool

    @property
    def choices(self) -> frozenset[str]:
        """The overrides that choose a file, such as `model`: they explain why many other values differ."""
        return frozenset(key for key in self.overridden if key not in self.values)


def read_configuration(view: RunView) -> Configuration | None:
    """Return the configuration of a run; None if its files cannot be read."""
    try:
        record = parse_json(read_regular(Path(view.run_dir, RUN)))
        text, parameters = _seedless(Path(view.run_dir, CONFIG)), record.get("parameters")
        if parameters is None:
            values, science = _values(_SOURCE_IN_SWEEP.sub(r"\1  init_hash: \2", text))
        else:  # a program: all its parameters count
            values = science = parameters
        if parameters is None and not science:
            return None
        words, overrides = record.get("command"), record["overrides"]
        choices = [text for text in overrides if text.partition("=")[0] not in values]
        return Configuration(
            key=json.dumps([record["science_version"], words, sorted(science.items())], default=str),
            science=science,
            values=values,
            overridden=frozenset(
                text if text in choices else text.partition("=")[0].lstrip("+~") for text in overrides
            ),
            command=None if words is None else tuple(words),
            has_source=science.get(SOURCE_HASH) is not None,
        )
    except (OSError, ValueError, TypeError, KeyError, AttributeError, UserError):
        return None


def read_configurations(views: Iterable[RunView]) -> dict[str, Configuration]:
    """Return the configuration of each run that can be read, by sweep and run id joined with `/`."""
    found = {key_of(view): read_configuration(view) for view in views}
    return {key: configuration for key, configuration in found.items() if configuration is not None}


def key_of(view: RunView) -> str:
    """Return the name of a run among the runs of several sweeps."""
    return f"{view.sweep}/{view.run_id}"


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the values in nested mappings with their dotted keys."""
    if isinstance(value, Mapping):
        for key, inner in cast("Mapping[Any, Any]", value).items():
            yield from leaves(inner, f"{path}.{key}" if path else str(key))
    else:
        yield path, value


def _seedless(file: Path) -> str:
    return _SEED.sub("", file.read_text())


@lru_cache(maxsize=4096)
def _values(text: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return all values of a config and the scientific ones; cached, as runs often differ only in their seed."""
    config: dict[str, Any] = {}
    for section in _SECTION.split(text):
        config |= _parse(section)
    return dict(leaves(config)), dict(leaves(science_subset(config)))


@lru_cache(maxsize=4096)
def _parse(section: str) -> dict[str, Any]:
    """Return one section of a config: most runs of a sweep share all sections but one or two."""
    import yaml  # slow to load, and commands without a table do not need it

    loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        return yaml.load(section, loader) or {}
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from error
