"""Records as the launcher writes them: a test gives the values that matter to it, the others have defaults."""

from dataclasses import dataclass, replace
from typing import Any

from launch.specs.resources import Resources
from launch.store.processes import boot_id, host
from launch.store.records import AttemptRecord, ManifestEntry, ManifestHeader, RunRecord

GONE = 4_000_000  # above the largest pid there can be

_RUN = RunRecord(
    run_id="digits-s0-00000000",
    experiment="digits",
    overrides=(),
    settings={},
    seed=0,
    science_version=1,
    science_hash="0" * 64,
)
_HEADER = ManifestHeader(
    sweep="a",
    generation=0,
    why="submit",
    file=None,
    backend="local",
    profile="local",
    runtime="bare",
    snapshot=None,
    metric="test/accuracy",
    retry={},
    published=(),
    created=1.0,
    words=(),
)
_ATTEMPT = AttemptRecord(
    attempt=0,
    generation=1,
    backend="local",
    profile="local",
    runtime="bare",
    image=None,
    snapshot=None,
    resources=Resources(),
    command=("true",),
    threads=1,
    devices=(0,),
    host=host(),
    boot_id=boot_id(),
    pid=GONE,
    pid_start=1,
    job_id=None,
    started=1.0,
)


@dataclass(frozen=True)
class Planned:
    """A run to be stored, with the text of its configuration."""

    record: RunRecord
    text: str = "model:\n  dropout: 0.0\nwandb:\n  mode: disabled\n"

    @property
    def settings(self) -> dict[str, Any]:
        return self.record.settings

    def config_text(self) -> str:
        return self.text


def run_record(**facts: Any) -> RunRecord:
    """Return the record in a run's `run.json`."""
    return replace(_RUN, **facts)


def manifest_header(**facts: Any) -> ManifestHeader:
    """Return the first line of a generation."""
    return replace(_HEADER, **facts)


def manifest_entry(record: RunRecord) -> ManifestEntry:
    """Return the line of a run in a generation."""
    return ManifestEntry(
        run_id=record.run_id,
        experiment=record.experiment,
        settings=record.settings,
        seed=record.seed,
        resources=Resources(),
    )


def attempt_record(**facts: Any) -> AttemptRecord:
    """Return the record in the `attempt.json` of an attempt whose supervisor is gone."""
    return replace(_ATTEMPT, **facts)
