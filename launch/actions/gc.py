"""Delete what no run needs any longer: old checkpoints, unused snapshots, plug-ins and images, temporary files."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import stat
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from launch.actions.orphans import StuckContainer, end_orphans
from launch.actions.plugins import PLUGINS, plugin_copies
from launch.containers.images.convert import note_of
from launch.containers.images.prune import find_left, find_made, hide_image, is_being_made
from launch.errors import StoreError
from launch.store.attempts import ATTEMPT, find_attempt
from launch.store.files import SNAPSHOTS
from launch.store.manifest import generation_numbers, read_header
from launch.store.record_json import read_record
from launch.store.records import AttemptRecord, ManifestHeader, RunRecord
from launch.store.state import State
from launch.store.store import REMOVED
from s5.run_dir.numbers import is_number
from s5.run_dir.result import CHECKPOINTS, RUN, attempt_dirs

if TYPE_CHECKING:
    from launch.store.store import Store, SweepStore
    from launch.store.view import RunView

# Anything younger than this may belong to a command that still runs: a command makes a snapshot before it writes the
# manifest that names the snapshot, and it uses temporary files for a moment.
GRACE_S = 3600.0
_TEMPORARY = (".tmp", ".old")


@dataclass(frozen=True, kw_only=True)
class Garbage:
    """One file or folder that can be deleted."""

    path: Path
    size: int  # its size in bytes
    kind: str  # `checkpoint`, `snapshot`, `plugin`, `image`, `temporary`, or of a deletion: `removed`, `run`
    image: Path | None = None  # for a temporary file of a conversion: the path of the converted image; else None


def end_containers(store: Store, sweeps: Sequence[str]) -> list[StuckContainer]:
    """End the containers of lost runs, and return those that could not be ended."""
    return end_orphans(view for name in sweeps for view in store.sweep(name).views() if view.state is State.LOST)


def find_garbage(store: Store, sweeps: Sequence[str], *, now: float | None = None) -> list[Garbage]:
    """Return everything that can be deleted, sorted by path: nothing that a running or unfinished run needs.

    Args:
        store: The run directories.
        sweeps: The sweeps whose succeeded runs lose old checkpoints. A copy of code or an image is garbage only if no
            sweep of the store refers to it.
        now: The time in seconds since the epoch; None for the clock.
    """
    moment = time.time() if now is None else now
    found: list[Garbage] = []
    found += (_garbage(path, "removed") for path in _children(store.root) if path.name.startswith(REMOVED))
    for name in sweeps:
        sweep = store.sweep(name)
        found += _removed_runs(sweep, moment)
        for view in sweep.views():
            if view.state == State.SUCCEEDED:
                found += _of_run(view, moment)
    found += _copies(store, SNAPSHOTS, "snapshot", moment)
    found += _copies(store, PLUGINS, "plugin", moment)
    found += _images(store, moment)
    return sorted(found, key=lambda item: str(item.path))


def _removed_runs(sweep: SweepStore, now: float) -> Iterator[Garbage]:
    """Yield the runs of a sweep that a `launch rm` has not finished to delete."""
    removed = sweep.state().manifest.removed
    for path in _children(sweep.path):
        if path.name.startswith(REMOVED):
            yield _garbage(path, "removed")
        elif path.name in removed and _is_older(path, now):
            yield _garbage(path, "run")


def _of_run(view: RunView, now: float) -> Iterator[Garbage]:
    """Yield the old checkpoints and the leftover temporary files of a succeeded run.

    A checkpoint contains the best model so far and the last state, so the newest complete checkpoint is enough to
    evaluate or to fine-tune.
    """
    folders = attempt_dirs(Path(view.run_dir))
    whole = [path for folder in folders for path in _children(folder / CHECKPOINTS) if is_number(path.name)]
    whole.sort(key=lambda path: (int(path.name), int(path.parent.parent.name)))
    yield from (_garbage(path, "checkpoint") for path in whole[:-1])
    for folder in (Path(view.run_dir), *folders, *(each / CHECKPOINTS for each in folders)):
        for path in _children(folder):
            if path.name.startswith(".") and path.suffix in _TEMPORARY and _is_older(path, now):
                yield _garbage(path, "temporary")


def _copies(store: Store, folder: str, kind: str, now: float) -> Iterator[Garbage]:
    """Yield the copies of code in a folder that no run refers to."""
    there = [path for path in _children(store.root / folder) if _is_older(path, now)]
    used = _used(store, kind) if there else ()
    for path in there:
        if path.name not in used:
            yield _garbage(path, "temporary" if path.name.startswith(".") else kind)


def _images(store: Store, now: float) -> Iterator[Garbage]:
    """Yield the converted images that no manifest or attempt names, and leftovers of conversions that were killed."""
    for path, image in find_left(store.root):
        if _is_older(path, now):
            yield replace(_garbage(path, "temporary"), image=image)
    there = [place for place in find_made(store.root) if _is_older(note_of(place), now)]
    used = _used(store, "image") if there else ()
    for place in there:
        if place.name not in used:
            yield _garbage(place, "image")


def _used(store: Store, kind: str) -> set[str | None]:
    """Return the names of the snapshots, images or plug-ins that are in use."""
    used = set(_listed(store, kind))
    if kind != "plugin":
        for file in store.root.glob(f"[!.]*/*/attempts/*/{ATTEMPT}"):
            record = find_attempt(str(file.parent))
            used.add(record and _name(record, kind))  # a record that cannot be read: the manifest names what it uses
    return used


def _listed(store: Store, kind: str) -> Iterator[str | None]:
    """Yield the names of the snapshots or images that manifests name, or of the plug-ins that runs name.

    Raises:
        StoreError: If a manifest or run cannot be read: then nothing may be deleted.
    """
    if kind == "plugin":
        for file in store.root.glob(f"[!.]*/*/{RUN}"):
            yield from plugin_copies(read_record(RunRecord, str(file)))
        return
    for name in store.sweeps():
        sweep = str(store.sweep(name).path)
        for generation in generation_numbers(sweep):
            yield _name(read_header(sweep, generation), kind)


def _name(record: ManifestHeader | AttemptRecord, kind: str) -> str | None:
    """Return the name of the snapshot or of the converted image that a generation or an attempt refers to."""
    if kind == "snapshot":
        return record.snapshot
    file = record.image and record.image.file
    return file and os.path.basename(file)  # the folder of the runs may have another path on another machine


def remove(store: Store, garbage: Iterable[Garbage]) -> int:
    """Delete files and folders, unless they are in use by now; return the number of bytes freed.

    Each is first renamed to a hidden name, so that a kill in the middle leaves nothing that looks complete.
    """
    freed = 0
    for item in garbage:
        hidden = _hide(store, item)
        if hidden is None:
            continue
        if hidden.is_dir() and not hidden.is_symlink():
            remove_tree(hidden)
        else:
            hidden.unlink()
        freed += item.size
    return freed


def _hide(store: Store, item: Garbage) -> Path | None:
    """Rename a file or folder so that no command finds it; return None if it is gone or in use.

    It is checked before and after the renaming: before, so that a snapshot in use is not taken away from its runs;
    after, because a submission may have begun to use the snapshot between check and renaming.
    """
    prefix = REMOVED if item.kind == "run" else "."
    hidden = item.path.with_name(f"{prefix}{item.path.name.lstrip('.')}.{os.getpid()}.old")
    if item.kind == "image":
        return hidden if hide_image(item.path, hidden, lambda note: not _may_go(store, item, note)) else None
    if not _may_go(store, item, item.path):
        return None
    try:
        os.rename(item.path, hidden)
    except FileNotFoundError:
        return None
    try:
        if _may_go(store, item, hidden):
            return hidden
    except StoreError:
        _put_back(hidden, item.path)
        raise
    return None if _put_back(hidden, item.path) else hidden


def _put_back(hidden: Path, path: Path) -> bool:
    """Rename a hidden file or folder back; return False if a submission has made `path` again meanwhile."""
    try:
        os.rename(hidden, path)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
        return False
    return True


def _may_go(store: Store, item: Garbage, path: Path) -> bool:
    """Return whether garbage is still unused. `path` is its present path."""
    if item.kind in ("checkpoint", "removed"):
        return True
    if item.kind == "run":
        return item.path.name in store.sweep(item.path.parent.name).state().manifest.removed
    if not _is_older(path, time.time()) or (item.image is not None and is_being_made(item.image)):
        return False
    return item.kind == "temporary" or item.path.name not in _listed(store, item.kind)


def remove_tree(folder: Path) -> None:
    """Delete a folder, even if folders inside are read-only."""
    for place, _, _ in os.walk(folder):
        with contextlib.suppress(PermissionError):  # another user's, who lets the group write
            os.chmod(place, stat.S_IRWXU)
    shutil.rmtree(folder)


def _garbage(path: Path, kind: str) -> Garbage:
    return Garbage(path=path, size=size_of(path), kind=kind)


def size_of(path: Path) -> int:
    """Return the size of a file, or of all files in a folder, in bytes."""
    with contextlib.suppress(FileNotFoundError):
        if not path.is_dir() or path.is_symlink():
            return path.lstat().st_size
        return sum(size_of(child) for child in _children(path))
    return 0


def _children(folder: Path) -> list[Path]:
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        return sorted(folder.iterdir())
    return []


def _is_older(path: Path, now: float) -> bool:
    with contextlib.suppress(FileNotFoundError):
        return now - path.lstat().st_mtime > GRACE_S
    return False
