"""Deleting what no run needs any longer: old checkpoints, unused snapshots, plug-ins and images, temporary files."""

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
from s5.run_dir.result import CHECKPOINTS, RUN, attempt_dirs

if TYPE_CHECKING:
    from launch.store.store import Store
    from launch.store.view import RunView

# A snapshot is taken before the manifest that names it is frozen, and a temporary file lives for an instant: anything
# younger than this may belong to a command that is still at work.
GRACE_S = 3600.0
_TEMPORARY = (".tmp", ".old")


@dataclass(frozen=True, kw_only=True)
class Garbage:
    """One file or folder that can be deleted."""

    path: Path
    size: int  # bytes in it
    kind: str  # `checkpoint`, `snapshot`, `plugin`, `image` or `temporary`
    image: Path | None = None  # the converted image that a temporary file was to become; None for anything else


def end_containers(store: Store, sweeps: Sequence[str]) -> list[StuckContainer]:
    """End the containers of lost runs, and return those that could not be ended."""
    return end_orphans(view for name in sweeps for view in store.sweep(name).views() if view.state is State.LOST)


def find_garbage(store: Store, sweeps: Sequence[str], *, now: float | None = None) -> list[Garbage]:
    """Return everything that can be deleted, by path: nothing that a live or unfinished run needs.

    Args:
        store: The run directories.
        sweeps: The sweeps whose succeeded runs are thinned. Copies of code and images can go only if no sweep at all
            refers to them.
        now: Seconds since the epoch; None for the clock's.
    """
    moment = time.time() if now is None else now
    found: list[Garbage] = []
    for name in sweeps:
        for view in store.sweep(name).views():
            if view.state == State.SUCCEEDED:
                found += _of_run(view, moment)
    found += _copies(store, SNAPSHOTS, "snapshot", moment)
    found += _copies(store, PLUGINS, "plugin", moment)
    found += _images(store, moment)
    return sorted(found, key=lambda item: str(item.path))


def _of_run(view: RunView, now: float) -> Iterator[Garbage]:
    """Yield a succeeded run's superseded checkpoints and torn temporary files.

    A checkpoint holds the best model so far and the last state, so the newest whole one is all that is needed
    to evaluate or to fine-tune.
    """
    folders = attempt_dirs(Path(view.run_dir))
    whole = [path for folder in folders for path in _children(folder / CHECKPOINTS) if path.name.isdigit()]
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
    """Yield the converted images that neither a manifest nor an attempt names, and the leftovers of dead converters."""
    for path, image in find_left(store.root):
        if _is_older(path, now):
            yield replace(_garbage(path, "temporary"), image=image)
    there = [place for place in find_made(store.root) if _is_older(note_of(place), now)]
    used = _used(store, "image") if there else ()
    for place in there:
        if place.name not in used:
            yield _garbage(place, "image")


def _used(store: Store, kind: str) -> set[str | None]:
    """Return the names of the snapshots, images or plug-ins that anything refers to."""
    used = set(_listed(store, kind))
    if kind != "plugin":
        for file in store.root.glob(f"[!.]*/*/attempts/*/{ATTEMPT}"):
            record = find_attempt(str(file.parent))
            used.add(record and _name(record, kind))  # one that cannot be read refers to what its manifest refers to
    return used


def _listed(store: Store, kind: str) -> Iterator[str | None]:
    """Yield the names of what all manifests refer to; of plug-ins, what all runs refer to.

    Raises:
        StoreError: If one cannot be read: what it refers to must not be deleted.
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
    return file and os.path.basename(file)  # another machine may have the runs in another place


def remove(store: Store, garbage: Iterable[Garbage]) -> int:
    """Delete files and folders, unless they have come into use since; return how many bytes that freed.

    Each is hidden first, so that a kill in the middle leaves nothing that looks whole.
    """
    freed = 0
    for item in garbage:
        hidden = _hide(store, item)
        if hidden is None:
            continue
        if hidden.is_dir() and not hidden.is_symlink():
            _remove_tree(hidden)
        else:
            hidden.unlink()
        freed += item.size
    return freed


def _hide(store: Store, item: Garbage) -> Path | None:
    """Rename a thing so that no command finds it; None if it is gone or in use.

    A check only before the renaming leaves an instant in which a submission can begin to use a snapshot; a check only
    after it would take each such snapshot away from its runs for an instant.
    """
    hidden = item.path.with_name(f".{item.path.name.lstrip('.')}.{os.getpid()}.old")
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
    """Rename a thing back; return False if a submission has made another one in its place meanwhile."""
    try:
        os.rename(hidden, path)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
        return False
    return True


def _may_go(store: Store, item: Garbage, path: Path) -> bool:
    """Return whether a thing that was found to be unused still is, at whichever path it lies now."""
    if item.kind == "checkpoint":
        return True
    if not _is_older(path, time.time()) or (item.image is not None and is_being_made(item.image)):
        return False
    return item.kind == "temporary" or item.path.name not in _listed(store, item.kind)


def _remove_tree(folder: Path) -> None:
    """Delete a folder, also if its folders are read-only, as in a snapshot."""
    for place, _, _ in os.walk(folder):
        os.chmod(place, stat.S_IRWXU)
    shutil.rmtree(folder)


def _garbage(path: Path, kind: str) -> Garbage:
    return Garbage(path=path, size=_size(path), kind=kind)


def _size(path: Path) -> int:
    with contextlib.suppress(FileNotFoundError):
        if not path.is_dir() or path.is_symlink():
            return path.lstat().st_size
        return sum(_size(child) for child in _children(path))
    return 0


def _children(folder: Path) -> list[Path]:
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        return sorted(folder.iterdir())
    return []


def _is_older(path: Path, now: float) -> bool:
    with contextlib.suppress(FileNotFoundError):
        return now - path.lstat().st_mtime > GRACE_S
    return False
