"""A sweep file and the runs it expands to. Pure but for reading YAML; `docs/sweeps.md` is the language."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from launch.records import PublishedNumber
from launch.resources import Resources

# How often each reason of an attempt's end is tried again. A timeout counts only where the attempt made progress.
RETRY_DEFAULTS: dict[str, int] = {
    "killed": 3,
    "timeout": 20,
    "crash": 0,
    "out_of_memory": 0,
    "nan": 0,
    "user_error": 0,
    "start": 0,
}
DEFAULT_METRIC = "test/accuracy"


@dataclass(frozen=True, kw_only=True)
class RunSpec:
    """One run as the sweep file states it, before its config is composed.

    Attributes:
        experiment: The training recipe.
        overrides: Hydra overrides: the base's, the point's, the command line's; a later one wins. Without
            `experiment=` and `seed=`.
        settings: The varied keys of this run inside its sweep, as plain values; neither experiment nor seed.
        seed: The seed.
        resources: What an attempt asks for.
        command: What to execute instead of training; None for that.
        where: The place in the sweep file, for messages.
        places: Key to the place where the file (or the command line) sets it, for messages.
    """

    experiment: str
    overrides: tuple[str, ...]
    settings: dict[str, Any]
    seed: int
    resources: Resources
    command: tuple[str, ...] | None = None
    where: str = "command line"
    places: Mapping[str, str] = field(default_factory=dict[str, str], repr=False, compare=False)


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """An expanded sweep file.

    Attributes:
        name: Name of the sweep: the folder under `runs/`.
        file: The file as the user named it; None for `launch run`.
        runs: Every run, in the order of the file.
        published: Numbers of the paper.
        metric: The metric of the results table.
        retry: How often each reason of an attempt's end is tried again.
        max_parallel: How many runs may execute at once; None for as many as there are slots.
        warnings: What is suspicious and not wrong, one line each.
    """

    name: str
    file: str | None
    runs: tuple[RunSpec, ...]
    published: tuple[PublishedNumber, ...] = ()
    metric: str = DEFAULT_METRIC
    retry: dict[str, int] = field(default_factory=lambda: dict(RETRY_DEFAULTS))
    max_parallel: int | None = None
    warnings: tuple[str, ...] = ()


def load_sweep(file: Path, overrides: Sequence[str] = ()) -> Sweep:
    """Read a sweep file and expand it.

    Args:
        file: The YAML file.
        overrides: Hydra overrides of the command line; they win over the file.

    Returns:
        The sweep.

    Raises:
        SweepError: Where the file or an override cannot be understood.
    """
    raise NotImplementedError


def single_run(experiment: str, overrides: Sequence[str] = ()) -> Sweep:
    """Return a sweep of one run, named `run-<experiment>` with `-` for `/`.

    Args:
        experiment: The training recipe.
        overrides: Hydra overrides; `seed=…` chooses the seed.

    Returns:
        The sweep.
    """
    raise NotImplementedError
