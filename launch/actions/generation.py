"""The manifest generation of a submission: an equal generation that exists already, or a new one."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from launch.store.manifest import Manifest, same_but_for_time
from launch.store.records import ManifestEntry, ManifestHeader, Trigger, row_of

if TYPE_CHECKING:
    from launch.actions.container_plan import ContainerOptions
    from launch.compose.run import Run
    from launch.profiles.profile import Profile
    from launch.store.snapshot import Snapshot
    from launch.store.sweep_state import SweepState
    from launch.sweepfile.sweep import Sweep


def entry_of(run: Run) -> ManifestEntry:
    """Return the manifest entry of a run."""
    record = run.record
    return ManifestEntry(
        run_id=record.run_id,
        experiment=record.experiment,
        settings=run.settings,
        seed=record.seed,
        resources=run.spec.resources,
        provides=run.spec.dependencies.provides,
        requires=run.spec.dependencies.requires,
    )


def with_option_words(sweep: Sweep, only: str | None, options: ContainerOptions | None, *, reuse: bool) -> Sweep:
    """Return a sweep whose words also have the options of its submission, as one would type them."""
    words = [] if only is None else ["--only", only]
    if options is not None:
        for name, value in (("--runtime", options.runtime), ("--image", options.image)):
            words += [] if value is None else [name, value]
        words += [word for mount in options.mounts for word in ("--mount", mount)]
    return replace(sweep, words=(*sweep.words, *words, *(["--reuse"] if reuse else [])))


def header_of(sweep: Sweep, profile: Profile, snapshot: Snapshot, *, complete: bool) -> ManifestHeader:
    """Return the header of a submission's generation; its number and its containers are set later."""
    return ManifestHeader(
        sweep=sweep.name,
        generation=0,
        why=Trigger.SUBMIT,
        file=sweep.file,
        folder=None if sweep.file is None else os.getcwd(),
        backend=profile.backend,
        profile=profile.name,
        runtime=profile.runtime,
        snapshot=snapshot.hash,
        commit=snapshot.commit,
        metric=sweep.metric,
        retry=sweep.retry,
        published=sweep.published,
        created=time.time(),
        max_parallel=sweep.max_parallel,
        after=sweep.after,
        complete=complete,
        words=sweep.words,
    )


def freeze_or_reuse(
    state: SweepState, header: ManifestHeader, entries: Sequence[ManifestEntry]
) -> tuple[SweepState, int]:
    """Find the generation with this header and these entries, or add it; return the state and the number."""
    manifest = state.manifest
    for generation in sorted(manifest.headers, reverse=True):
        found = manifest.headers[generation]
        if not same_but_for_time(found, header):
            break  # this generation supersedes all earlier ones
        if found.why == Trigger.SUBMIT:
            if _lists(manifest, generation, entries):
                return state, generation
            if found.complete or _replaces(manifest, generation, entries):
                break  # this generation would supersede an older one even if that were reused
    return state.freeze(header, entries)


def _lists(manifest: Manifest, generation: int, entries: Sequence[ManifestEntry]) -> bool:
    """Return whether a generation lists exactly these runs, and no newer one lists them with other resources."""
    return manifest.run_ids[generation] == tuple(entry.run_id for entry in entries) and all(
        manifest.listed[entry.run_id].entry == entry for entry in entries
    )


def _replaces(manifest: Manifest, generation: int, entries: Sequence[ManifestEntry]) -> bool:
    """Return whether a generation has other runs under the settings of these runs, as after an edit of the file."""
    own = {entry.run_id for entry in entries}
    rows = {row_of(entry.experiment, entry.settings) for entry in entries}
    others = [manifest.listed[run_id].entry for run_id in manifest.run_ids[generation] if run_id not in own]
    return any(row_of(other.experiment, other.settings) in rows for other in others)
