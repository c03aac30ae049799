"""What finished runs no longer need, and its removal: old checkpoints, unused snapshots, torn temporary files."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
import stat
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from launch.disk.files import SNAPSHOTS
from launch.errors import StoreError
from launch.reaping import reap
from launch.records import State
from s5.result import CHECKPOINTS, attempt_dirs

if TYPE_CHECKING:
    from launch.disk.store import Store
    from launch.records import RunView

# A snapshot is taken before the manifest that names it is frozen, and a temporary file lives for an instant: what
# is younger than this may belong to a command that is under way.
GRACE_S = 3600.0
_TEMPORARY = (".tmp", ".old")


@dataclass(frozen=True, kw_only=True)
class Garbage:
    """One thing that can go.

    Attributes:
        path: The file or folder.
        size: Bytes in it.
        kind: `checkpoint`, `snapshot` or `temporary`.
    """

    path: Path
    size: int
    kind: str


def end_containers(store: Store, sweeps: Sequence[str]) -> list[RunView]:
    """End what engines still hold of lost runs; return those of which something may be left."""
    return reap(view for name in sweeps for view in store.sweep(name).views() if view.state is State.LOST)


def find_garbage(store: Store, sweeps: Sequence[str], *, now: float | None = None) -> list[Garbage]:
    """Return what can go: nothing that a live or unfinished run needs.

    Args:
        store: The run directories.
        sweeps: The sweeps whose succeeded runs are thinned. Snapshots go only where no sweep at all refers to them.
        now: Seconds since the epoch; None for the clock's.

    Returns:
        What can go, by path.
    """
    moment = time.time() if now is None else now
    found: list[Garbage] = []
    for name in sweeps:
        for view in store.sweep(name).views():
            if view.state == State.SUCCEEDED:
                found += _of_run(view, moment)
    found += _snapshots(store, moment)
    return sorted(found, key=lambda item: str(item.path))


def _of_run(view: RunView, now: float) -> Iterator[Garbage]:
    """Yield a succeeded run's superseded checkpoints and torn temporary files.

    A checkpoint holds the best model so far beside the last state, so the newest whole one is all that is needed
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


def _snapshots(store: Store, now: float) -> Iterator[Garbage]:
    """Yield the snapshots that neither a manifest nor an attempt names."""
    there = [path for path in _children(store.root / SNAPSHOTS) if _is_older(path, now)]
    if not there:
        return
    used = set(_used_snapshots(store))
    for path in there:
        if path.name not in used:
            yield _garbage(path, "temporary" if path.name.startswith(".") else "snapshot")


def _used_snapshots(store: Store) -> Iterator[str]:
    """Yield every snapshot that is named anywhere."""
    yield from _listed_snapshots(store)
    for name in store.sweeps():
        for attempt in store.sweep(name).path.glob("*/attempts/*/attempt.json"):
            # An attempt that cannot be read names a snapshot that its manifest names too.
            with contextlib.suppress(OSError, ValueError):
                snapshot = json.loads(attempt.read_text()).get("snapshot")
                if snapshot is not None:
                    yield snapshot


def _listed_snapshots(store: Store) -> Iterator[str]:
    """Yield every snapshot that a manifest names.

    Raises:
        StoreError: Where one cannot be read: what it names must not go unknown.
    """
    for name in store.sweeps():
        sweep = store.sweep(name)
        for generation in sweep.generations():
            snapshot = sweep.header(generation).snapshot
            if snapshot is not None:
                yield snapshot


def remove(store: Store, garbage: Iterable[Garbage]) -> int:
    """Delete, each thing first out of sight so that a kill in the middle leaves nothing that looks whole.

    Args:
        store: The run directories.
        garbage: What to delete. What has been taken up since it was found stays.

    Returns:
        How many bytes that freed.
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
    """Put a thing out of sight; None where it is gone or somebody has taken it up.

    A look before the renaming alone leaves an instant in which a submit can take up a snapshot; a look after it alone
    would take every such snapshot from its runs for an instant.
    """
    if not _may_go(store, item, item.path):
        return None
    hidden = item.path.with_name(f".{item.path.name.lstrip('.')}.{os.getpid()}.old")
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
    """Rename a thing back; False where its place was taken meanwhile, by what a submit has copied anew."""
    try:
        os.rename(hidden, path)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
        return False
    return True


def _may_go(store: Store, item: Garbage, path: Path) -> bool:
    """Say whether what was found to be garbage still is, wherever it lies now."""
    if item.kind == "checkpoint":
        return True
    if not _is_older(path, time.time()):
        return False
    return item.kind != "snapshot" or item.path.name not in _listed_snapshots(store)


def _remove_tree(folder: Path) -> None:
    """Delete a folder; a snapshot's folders are read-only, which would keep their files in place."""
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
