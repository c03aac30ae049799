"""Checkpoints: everything a run needs to go on as if nothing had happened, written by Orbax and checked when read.

    attempts/K/checkpoints/STEP/state/       the arrays, by Orbax
                                checkpoint.json   step, progress, environment, and a digest over it all

A checkpoint is written beside its place and renamed into it, so a half-written one is never taken for one. The
digest is over what a reader gets back, so whatever was damaged, and wherever, the reader sees it and takes the
checkpoint before. Each holds the best model so far too: the last checkpoint is all that a finished run needs.
"""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np

from s5.errors import UserError, say
from s5.run_dir.result import CHECKPOINTS, attempt_dirs

# 2: the parameters of all layers lie in one array each, stacked over depth.
CHECKPOINT_VERSION = 2
META = "checkpoint.json"
STATE = "state"
# How the names of the best model's arrays begin.
BEST = "best/"
BEST_PARAMS, BEST_STATS = f"{BEST}params", f"{BEST}stats"

Arrays = dict[str, np.ndarray]


class CorruptCheckpoint(Exception):
    """A checkpoint whose content is not what was written."""


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """What a checkpoint holds.

    Attributes:
        attempt: The attempt that wrote it.
        step: Optimizer steps done.
        arrays: Every array of the training state by its path.
        progress: What the loop keeps on the host, as plain values.
        environment: The library versions, device and threads it was computed with.
    """

    attempt: int
    step: int
    arrays: Arrays
    progress: dict[str, Any]
    environment: dict[str, Any]


def flatten(tree: Any, prefix: str) -> Arrays:
    """Copy a tree of arrays to the host as one flat table.

    Args:
        tree: Any pytree; random keys are stored as their data.
        prefix: What each name starts with.

    Returns:
        Path to array. The arrays are copies: what the tree is a view of may change afterwards.
    """
    leaves = jax.tree_util.tree_flatten_with_path(tree)[0]
    return {f"{prefix}{jax.tree_util.keystr(path)}": _to_host(leaf) for path, leaf in leaves}


def unflatten(template: Any, arrays: Mapping[str, np.ndarray], prefix: str) -> Any:
    """Put the arrays that `flatten` made back into a tree.

    Args:
        template: A tree of the same structure.
        arrays: What `flatten` returned, and perhaps more.
        prefix: The prefix it was given.

    Returns:
        A tree like `template` with the stored values.

    Raises:
        UserError: If a name is missing or has another shape: the code or the config is another one.
    """
    leaves, treedef = jax.tree_util.tree_flatten_with_path(template)
    return treedef.unflatten(_from_host(f"{prefix}{jax.tree_util.keystr(path)}", leaf, arrays) for path, leaf in leaves)


def _is_key(leaf: Any) -> bool:
    return isinstance(leaf, jax.Array) and jax.numpy.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _to_host(leaf: Any) -> np.ndarray:
    return np.array(jax.random.key_data(leaf) if _is_key(leaf) else leaf)


def _from_host(name: str, leaf: Any, arrays: Mapping[str, np.ndarray]) -> jax.Array:
    wanted = jax.random.key_data(leaf) if _is_key(leaf) else leaf
    found = arrays.get(name)
    if found is None or found.shape != wanted.shape or found.dtype != wanted.dtype:
        have = "is missing" if found is None else f"is {found.dtype}{list(found.shape)}"
        raise UserError(
            f"the checkpoint does not fit the model: {name} {have}, the model has {wanted.dtype}{list(wanted.shape)}",
            hint="it was written by other code; check that code out, or start the run again in another folder",
        )
    array = jax.numpy.asarray(found)
    return jax.random.wrap_key_data(array, impl=jax.random.key_impl(leaf)) if _is_key(leaf) else array


def digest(arrays: Mapping[str, np.ndarray], facts: Mapping[str, Any]) -> str:
    """Return a SHA-256 over arrays (name, type, shape, bytes) and plain values, 64 hex digits."""
    total = hashlib.sha256(json.dumps(facts, sort_keys=True).encode())
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        total.update(f"\n{name} {array.dtype.str} {arrays[name].shape}\n".encode())
        total.update(array.view(np.uint8).reshape(-1).data if array.size else b"")
    return total.hexdigest()


def save(
    attempt_dir: Path, step: int, arrays: Arrays, progress: Mapping[str, Any], environment: Mapping[str, Any], keep: int
) -> Path:
    """Write a checkpoint of an attempt and drop those that it makes superfluous.

    Args:
        attempt_dir: `RUN_DIR/attempts/K`.
        step: Optimizer steps done.
        arrays: What `flatten` made of the state.
        progress: Plain values of the loop.
        environment: Plain values: what it was computed with.
        keep: How many checkpoints stay, over all attempts.

    Returns:
        The checkpoint's folder.
    """
    final = attempt_dir / CHECKPOINTS / str(step)
    if final.exists():
        return final
    final.parent.mkdir(exist_ok=True)
    temporary = final.with_name(f".{step}.{os.getpid()}.tmp")
    temporary.mkdir()
    with _harmless(temporary.absolute()) as folder:
        _checkpointer().save(folder / STATE, arrays)
    facts = {
        "version": CHECKPOINT_VERSION,
        "step": step,
        "progress": dict(progress),
        "environment": dict(environment),
        # Orbax reads a scalar back as a Python number; this table gives it its type again.
        "arrays": {name: [array.dtype.str, list(array.shape)] for name, array in arrays.items()},
    }
    with (temporary / META).open("w") as file:
        json.dump({**facts, "digest": digest(arrays, facts)}, file, sort_keys=True)
        file.flush()
        os.fsync(file.fileno())
    os.rename(temporary, final)
    _drop_old(attempt_dir.parent.parent, keep)
    return final


def read(path: Path) -> Checkpoint:
    """Read a checkpoint and check that it is what was written.

    Args:
        path: `RUN_DIR/attempts/K/checkpoints/STEP`.

    Returns:
        The checkpoint.

    Raises:
        CorruptCheckpoint: If anything is missing or differs.
        UserError: If it is whole and other code has written it.
    """
    try:
        facts = json.loads((path / META).read_text())
        expected = facts.pop("digest")
        with _harmless(path.absolute()) as folder:
            stored = _checkpointer().restore(folder / STATE)
        arrays = {
            name: np.asarray(stored[name], np.dtype(dtype)).reshape(shape)
            for name, (dtype, shape) in facts["arrays"].items()
        }
    except MemoryError:
        raise
    except Exception as error:  # damage can surface as almost anything inside Orbax
        raise CorruptCheckpoint(f"{type(error).__name__}: {_first_line(error)}") from error
    if set(stored) != set(arrays) or digest(arrays, facts) != expected:
        raise CorruptCheckpoint("its digest is not the one that was written with it")
    _refuse_version(path, facts["version"])
    return Checkpoint(
        attempt=int(path.parent.parent.name),
        step=facts["step"],
        arrays=arrays,
        progress=facts["progress"],
        environment=facts["environment"],
    )


def _refuse_version(path: Path, version: int) -> None:
    """Raise where other code has written a checkpoint."""
    if version != CHECKPOINT_VERSION:
        age = "an earlier" if version < CHECKPOINT_VERSION else "a later"
        raise UserError(
            f"{path}: written by {age} version of this code (layout {version}; this one reads {CHECKPOINT_VERSION})",
            hint="check that version out to go on with the run or to evaluate it, or start it again in another folder",
        )


def newest(run_dir: Path) -> Checkpoint | None:
    """Return the most advanced valid checkpoint of any attempt of a run; None if there is none.

    A damaged one is passed over, and that is said aloud.
    """
    by_step = sorted(_checkpoints(run_dir), key=lambda path: (int(path.name), int(path.parent.parent.name)))
    for path in reversed(by_step):
        try:
            return read(path)
        except CorruptCheckpoint as error:
            then = "there is no other" if path == by_step[0] else "falling back to the one before"
            say(f"s5: checkpoint {path} is damaged ({error}); {then}")
    return None


def exist(run_dir: Path) -> bool:
    """Return whether a run has a checkpoint at all, valid or damaged."""
    return any(True for _ in _checkpoints(run_dir))


def _checkpoints(run_dir: Path) -> Iterable[Path]:
    for attempt_dir in attempt_dirs(run_dir):
        folder = attempt_dir / CHECKPOINTS
        if folder.is_dir():
            yield from (folder / name for name in os.listdir(folder) if name.isdigit())


def _drop_old(run_dir: Path, keep: int) -> None:
    """Keep the last `keep` checkpoints.

    The newest attempt's count as the last: an earlier attempt's more advanced ones were passed over as damaged.
    """
    by_age = sorted(_checkpoints(run_dir), key=lambda path: (int(path.parent.parent.name), int(path.name)))
    for path in by_age[:-keep]:
        # First out of sight, so that a kill in the middle leaves nothing that looks whole.
        hidden = path.with_name(f".{path.name}.{os.getpid()}.old")
        try:
            os.rename(path, hidden)
        except FileNotFoundError:
            continue
        shutil.rmtree(hidden, ignore_errors=True)


@contextmanager
def _harmless(folder: Path) -> Iterator[Path]:
    """Yield the folder under a name that Orbax can use: it takes `[` for a pattern and a backslash for a slash."""
    if not set("[]*?\\") & set(str(folder)):
        yield folder
        return
    with tempfile.TemporaryDirectory(prefix="s5-") as elsewhere:
        link = Path(elsewhere) / "link"
        link.symlink_to(folder, target_is_directory=True)
        yield link


def _first_line(error: Exception) -> str:
    text = str(error).strip()
    return text.splitlines()[0][:200] if text else "no message"


def _checkpointer() -> Any:
    # Imported where it is used: `python -m s5 --help` needs no Orbax.
    from orbax.checkpoint import Checkpointer, PyTreeCheckpointHandler
    from orbax.checkpoint.options import MultiprocessingOptions

    # One process writes or reads: it must not wait for the others of its run.
    rank = jax.process_index()
    alone = MultiprocessingOptions(primary_host=rank, active_processes={rank}, barrier_sync_key_prefix=f"s5-{rank}")
    handler = PyTreeCheckpointHandler(multiprocessing_options=alone)
    return Checkpointer(handler, multiprocessing_options=alone)
