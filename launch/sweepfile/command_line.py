"""Read the overrides that follow a sweep file or an experiment on the command line. They win over the file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, cast

from launch.errors import printable
from launch.grammar import Choices, GrammarError, Interval, Override, key_problem, parse_override
from launch.sweepfile.blocks import read_resources, read_seeds
from launch.sweepfile.values import without_force
from launch.yaml_file import Place
from s5.config.search_path import PIPELINE

_PLACE = Place("command line")


@dataclass(frozen=True, kw_only=True)
class CommandLine:
    """The overrides of the command line.

    Attributes:
        experiments: The value of `experiment=…`; None to keep the file's experiments.
        seeds: The value of `seed=…` or `seeds=…`; None to keep the file's seeds.
        resources: The values of `resources.KEY=…`, by KEY.
        texts: Every other override as text, by its key without prefix.
        values: The plain values of the overrides in `texts`, by key.
    """

    experiments: tuple[str, ...] | None = None
    seeds: tuple[int, ...] | None = None
    resources: dict[str, Any] = field(default_factory=dict[str, Any])
    texts: dict[str, str] = field(default_factory=dict[str, str])
    values: dict[str, Any] = field(default_factory=dict[str, Any])


def read_command_line(arguments: Sequence[str]) -> CommandLine:
    """Read `key=value` arguments. If a key is given twice, the last argument wins.

    Args:
        arguments: Overrides in Hydra's grammar, and also `seeds=3` (0, 1, 2), `seed=7`, `seed=0,5`, `experiment=…`
            and `resources.timeout_min=…`.

    Raises:
        SweepError: If an argument is not valid.
    """
    fixed: dict[str, Any] = {}
    resources: dict[str, Any] = {}
    texts: dict[str, str] = {}
    values: dict[str, Any] = {}
    for argument in arguments:
        override, key = _parse(argument)
        if key in ("seed", "seeds"):
            is_count = key == "seeds" and isinstance(override.value, int)
            fixed["seeds"] = read_seeds(override.value if is_count else _several(override.value), _PLACE.key(key))
        elif key == "experiment":
            fixed["experiments"] = tuple(str(value) for value in _several(override.value))
        elif key.startswith("resources."):
            name = key.removeprefix("resources.")
            resources |= read_resources({name: override.value}, _PLACE.key("resources"))
        else:
            if isinstance(override.value, Choices | Interval):
                hint = f"vary {printable(key)} under grid in a sweep file; only seed and experiment take several here"
                raise _PLACE.key(key).error("several values on the command line", hint)
            texts.pop(key, None)  # a key that is typed again moves to the end
            texts[key], values[key] = argument, override.value
    return CommandLine(**fixed, resources=resources, texts=texts, values=values)


def named_task(line: CommandLine) -> tuple[str, CommandLine]:
    """Return the task that the overrides of a single run name, and the other overrides.

    Raises:
        SweepError: If they name none, or several.
    """
    if line.experiments is not None:
        if len(line.experiments) > 1:
            raise _PLACE.key("experiment").error(
                f"{', '.join(line.experiments)} are several experiments, and this command trains one run",
                "`launch sweep FILE` trains several: `experiment: [A, B]` in FILE",
            )
        return "".join(line.experiments), replace(line, experiments=None)
    name = line.values.get(PIPELINE)
    if isinstance(name, list):
        raise _PLACE.key(PIPELINE).error("several values on the command line", "`pipeline: [A, B]` in a sweep file")
    if not isinstance(name, str):
        raise _PLACE.error("the experiment is missing", "name a recipe, such as digits/s5, or pipeline=mnist")
    texts, values = ({key: each[key] for key in each if key != PIPELINE} for each in (line.texts, line.values))
    return f"{PIPELINE}/{name}", replace(line, texts=texts, values=values)


def _parse(argument: str) -> tuple[Override, str]:
    place = _PLACE.key(argument)
    name = argument.partition("=")[0]
    if "=" not in argument and not argument.startswith("~"):
        raise place.error("not an override", "overrides are key=value")
    if problem := key_problem(name):
        raise place.error(*problem)
    try:
        return parse_override(argument), without_force(name)
    except GrammarError as error:
        raise place.error(f"not in Hydra's override grammar: {error}", "quote the value: \"key='a value'\"") from error


def _several(value: Any) -> list[Any]:
    if isinstance(value, Choices):
        return list(value.values)
    return cast("list[Any]", value) if isinstance(value, list) else [value]
