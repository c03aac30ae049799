"""Cancelling sweeps and runs: what is queued never starts, what runs is asked to stop."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from launch.actions.orphans import StuckContainer, end_orphans
from launch.backends.choose import find_backend
from launch.errors import StoreError
from launch.profiles.profile import Profile
from launch.store.cancel_mark import write_cancelled
from launch.store.files import fault_point
from launch.store.manifest import Manifest
from launch.store.state import OVER, State
from launch.store.store import Store
from launch.store.view import RunView


@dataclass(frozen=True, kw_only=True)
class Cancellation:
    """What came of a request to cancel.

    Attributes:
        views: The runs that were cancelled.
        unended: Those of which something may still be at work, also of what was cancelled before.
    """

    views: list[RunView]
    unended: list[StuckContainer]


def cancel(store: Store, targets: Sequence[str]) -> Cancellation:
    """Cancel sweeps or runs: what is queued never starts, what runs is asked to stop.

    Args:
        store: Where the runs lie.
        targets: Names of sweeps, run ids, or `sweep/run_id`.

    Raises:
        LaunchError: For a target that is neither.
    """
    chosen = [view for target in targets for view in _targets(store, target)]
    views = [view for view in chosen if view.state not in OVER]
    for view in views:
        write_cancelled(view.run_dir, view.generation)
    fault_point("cancel.marked")
    # Looked at again: whatever began before the mark is seen here, whatever begins after it sees the mark.
    names = {(view.sweep, view.run_id) for view in views}
    after = [view for sweep in dict.fromkeys(view.sweep for view in views) for view in store.sweep(sweep).views()]
    after = [view for view in after if (view.sweep, view.run_id) in names]
    for sweep in dict.fromkeys(view.sweep for view in after):
        own = [view for view in after if view.sweep == sweep]
        # A sweep that was begun on one machine may have been taken up on another.
        state = store.sweep(sweep).state()
        for profile in _all_profiles(state.manifest):
            find_backend(profile).stop(state, own)
    before = [view for view in chosen if view.state is State.CANCELLED]
    return Cancellation(views=after, unended=end_orphans([*after, *before]))


def _targets(store: Store, target: str) -> list[RunView]:
    """Return the views of what a target names."""
    if target in store.sweeps():
        return store.sweep(target).views()
    sweep, _, run_id = target.rpartition("/")
    for name in [sweep] if sweep else store.sweeps():
        own = store.sweep(name)
        listed = own.manifest().listed.get(run_id)
        if listed is not None:
            return [own.view(run_id)]
    raise StoreError(f"no sweep and no run {target!r} under {store.root}", hint="`launch status` lists the sweeps")


def _all_profiles(manifest: Manifest) -> list[Profile]:
    """Return as much of the profiles of all of a sweep's generations as says who schedules, each backend once."""
    headers = {header.backend: header for header in manifest.headers.values()}
    return [
        Profile(name=header.profile, backend=header.backend)
        for header in headers.values() or [manifest.newest_header()]
    ]
