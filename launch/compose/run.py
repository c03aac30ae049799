"""A run that is composed: its record, its config and the place in the sweep file that it comes from."""

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
        record: The part of it that is stored as `run.json`.
        config: Its resolved config as nested plain values; runs share parts of it, so nothing may write into it.
        spec: The run as the sweep file describes it.
        source: The run whose parameters it starts from, by its id or its directory; None for random parameters.
        sections: The memory of the parts that runs share.
    """

    record: RunRecord
    config: dict[str, Any]
    spec: RunSpec
    source: str | None = None
    sections: Sections = field(default_factory=Sections, repr=False, compare=False)

    @property
    def settings(self) -> dict[str, Any]:
        """Return the settings that tell it from the sweep's other runs: the name of its block, and the varied keys."""
        own = {} if self.spec.block is None else {BLOCK: self.spec.block}
        return {**own, **self.record.settings}

    def config_text(self) -> str:
        """Return the config as YAML; OmegaConf reads it back equal."""
        return self.sections.text(self.config)
