"""A composed run: its record, its config and its description in the sweep file."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from launch.compose.sections import Sections
from launch.store.manifest import BLOCK
from launch.store.records import RunRecord
from launch.sweepfile.runs import RunSpec


@dataclass(frozen=True, kw_only=True)
class Run:
    """A run that is ready to be stored.

    Attributes:
        record: The record that is stored as `run.json`.
        config: The resolved config as nested plain values; runs share parts of it, so it must not be changed.
        spec: The run as the sweep file describes it.
        source: The id or the directory of the run whose parameters it starts from; None for random parameters.
        sections: The cache of results for config sections that runs share.
    """

    record: RunRecord
    config: dict[str, Any]
    spec: RunSpec
    source: str | None = None
    sections: Sections = field(default_factory=Sections, repr=False, compare=False)

    @property
    def settings(self) -> dict[str, Any]:
        """The settings that distinguish the run in its sweep: the name of its block, and the varied keys."""
        own = {} if self.spec.block is None else {BLOCK: self.spec.block}
        return {**own, **self.record.settings}

    def config_text(self) -> str:
        """Return the config as YAML, from which OmegaConf reads an equal config."""
        return self.sections.text(self.config)
