"""The config of a run: Hydra's composition, once per choice of groups, and the run's identity. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from launch.records import RunRecord
from launch.sweep import RunSpec


@dataclass(frozen=True, kw_only=True)
class Run:
    """A run that is ready to be stored.

    Attributes:
        record: What it is.
        config: Its resolved config as nested plain values.
        spec: What the sweep file said.
    """

    record: RunRecord
    config: dict[str, Any]
    spec: RunSpec

    def config_text(self) -> str:
        """Return the config as YAML; OmegaConf reads it back equal."""
        raise NotImplementedError


class Composer:
    """Composes, checks and identifies runs.

    Args:
        conf_dir: The folder with `config.yaml`; None for that of the `s5` package.

    Attributes:
        warnings: What `plan_all` found suspicious: specs that are one run.
    """

    def __init__(self, conf_dir: Path | None = None) -> None:
        self.conf_dir = conf_dir
        self.warnings: list[str] = []

    def plan(self, spec: RunSpec) -> Run:
        """Compose one run.

        Raises:
            ConfigError: Where a key, a value or a combination is not allowed; it names the sweep file's place.
        """
        raise NotImplementedError

    def plan_all(self, specs: Iterable[RunSpec]) -> list[Run]:
        """Compose every run, each once: specs with the same numbers are one run."""
        raise NotImplementedError


def check_data(runs: Iterable[Run]) -> None:
    """Refuse runs whose data set's files are not here.

    Raises:
        LaunchError: Naming what is missing, where it was looked for, its address and checksum.
    """
    raise NotImplementedError
