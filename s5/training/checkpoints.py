"""Checkpoints: everything that a run needs to resume bit for bit. Orbax writes them; reading verifies them.

    attempts/K/checkpoints/STEP/state/       the arrays, by Orbax
                                checkpoint.json   step, progress, environment, and a digest of everything

A checkpoint is written under a temporary name and then renamed, so a half-written checkpoint is never read. The digest
is computed from the arrays as they are read back. So a reader detects any damage, and uses the previous checkpoint
instead. Each checkpoint also contains the best model so far, so a finished run needs only its last checkpoint.
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
from s5.run_dir.json_file import parse_json
from s5.run_dir.numbers import is_number
from s5.run_dir.regular_file import read_regular
from s5.run_dir.result import CHECKPOINTS, attempt_dirs

# Since version 2, one array holds a parameter of all layers, stacked.
CHECKPOINT_VERSION = 2
META = "checkpoint.json"
STATE = "state"
# Prefixes of the array names of the best model.
BEST = "best/"
BEST_PARAMS, BEST_STATS = f"{BEST}params", f"{BEST}stats"

Arrays = dict[str, np.ndarray]


class CorruptCheckpoint(Exception):
    """Raised for a checkpoint whose content is missing or damaged."""


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """The content of a checkpoint.

    Attributes:
        attempt: Number of the attempt that wrote it.
        step: Optimizer steps done.
        arrays: Every array of the training state, by its path.
        progress: The state of the loop on the host, as plain values.
        environment: Library versions, device and number of threads with which the state was computed.
    """

    attempt: int
    step: int
    arrays: Arrays
    progress: dict[str, Any]
    environment: dict[str, Any]


def flatten(tree: Any, prefix: str) -> Arrays:
    """Copy a pytree of arrays to the host, as one dictionary.

    Args:
        tree: Any pytree; random keys are stored as their data.
        prefix: The start of each name.

    Returns:
        The arrays by name, which is the prefix and the path. They are copies, since an NNX state is a view of a model.
    """
    leaves = jax.tree_util.tree_flatten_with_path(tree)[0]
    return {f"{prefix}{jax.tree_util.keystr(path)}": _to_host(leaf) for path, leaf in leaves}


def unflatten(template: Any, arrays: Mapping[str, np.ndarray], prefix: str) -> Any:
    """Return a pytree of arrays that `flatten` returned; the inverse of `flatten`.

    Args:
        template: A tree of the same structure.
        arrays: The dictionary from `flatten`; other arrays in it are ignored.
        prefix: The prefix that was passed to `flatten`.

    Returns:
        A tree like `template` with the stored values.

    Raises:
        UserError: If an array is missing, or has another shape or type: the code or the config has changed.
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
            hint="other code wrote it; check out that code, or start the run again in another folder",
        )
    array = jax.numpy.asarray(found)
    return jax.random.wrap_key_data(array, impl=jax.random.key_impl(leaf)) if _is_key(leaf) else array


def digest(arrays: Mapping[str, np.ndarray], facts: Mapping[str, Any]) -> str:
    """Return the SHA-256 of arrays (name, type, shape, bytes) and plain values, as 64 hex digits."""
    total = hashlib.sha256(json.dumps(facts, sort_keys=True).encode())
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        total.update(f"\n{name} {array.dtype.str} {arrays[name].shape}\n".encode())
        total.update(array.view(np.uint8).reshape(-1).data if array.size else b"")
    return total.hexdigest()


def save(
    attempt_dir: Path, step: int, arrays: Arrays, progress: Mapping[str, Any], environment: Mapping[str, Any], keep: int
) -> Path:
    """Write a checkpoint of an attempt, and delete old checkpoints.

    Args:
        attempt_dir: `RUN_DIR/attempts/K`.
        step: Optimizer steps done.
        arrays: The state, from `flatten`.
        progress: The state of the loop, as plain values.
        environment: Versions, device and threads, as plain values.
        keep: Number of checkpoints to keep, over all attempts.

    Returns:
        The checkpoint's folder.
    """
    final = attempt_dir / CHECKPOINTS / str(step)
    if final.exists():
        return final
    final.parent.mkdir(exist_ok=True)
    temporary = final.with_name(f".{step}.{os.getpid()}.tmp")
    temporary.mkdir()
    with _plain_path(temporary.absolute()) as folder:
        _checkpointer().save(folder / STATE, arrays)
    facts = {
        "version": CHECKPOINT_VERSION,
        "step": step,
        "progress": dict(progress),
        "environment": dict(environment),
        # Orbax reads a scalar back as a Python number; `read` restores the type from this table.
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
    """Read a checkpoint and verify it.

    Args:
        path: `RUN_DIR/attempts/K/checkpoints/STEP`.

    Returns:
        The checkpoint.

    Raises:
        CorruptCheckpoint: If anything is missing or damaged.
        UserError: If it is valid, but another version of this code wrote it in another layout.
    """
    try:
        facts = parse_json(read_regular(path / META))
        expected = facts.pop("digest")
        with _plain_path(path.absolute()) as folder:
            stored = _checkpointer().restore(folder / STATE)
        arrays = {
            name: np.asarray(stored[name], np.dtype(dtype)).reshape(shape)
            for name, (dtype, shape) in facts["arrays"].items()
        }
    except MemoryError:
        raise
    except Exception as error:  # Orbax raises almost any exception for damaged files
        raise CorruptCheckpoint(f"{type(error).__name__}: {_first_line(error)}") from error
    if set(stored) != set(arrays) or digest(arrays, facts) != expected:
        raise CorruptCheckpoint("its content does not match its digest")
    _check_version(path, facts["version"])
    return Checkpoint(
        attempt=int(path.parent.parent.name),
        step=facts["step"],
        arrays=arrays,
        progress=facts["progress"],
        environment=facts["environment"],
    )


def _check_version(path: Path, version: int) -> None:
    """Raise if a checkpoint has the layout of another version of this code."""
    if version != CHECKPOINT_VERSION:
        age = "an earlier" if version < CHECKPOINT_VERSION else "a later"
        raise UserError(
            f"{path}: {age} version of the code wrote it, in layout {version}; this one reads {CHECKPOINT_VERSION}",
            hint="check out that version to resume or evaluate the run, or start it again in another folder",
        )


def newest(run_dir: Path) -> Checkpoint | None:
    """Return the valid checkpoint with the most steps, from any attempt; None if the run has no valid checkpoint.

    Damaged checkpoints are skipped with a message.
    """
    by_step = sorted(_checkpoints(run_dir), key=lambda path: (int(path.name), int(path.parent.parent.name)))
    for path in reversed(by_step):
        try:
            return read(path)
        except CorruptCheckpoint as error:
            then = "there is no earlier one" if path == by_step[0] else "using the previous one"
            say(f"s5: checkpoint {path} is damaged ({error}); {then}")
    return None


def exist(run_dir: Path) -> bool:
    """Return whether a run has any checkpoint, valid or damaged."""
    return any(True for _ in _checkpoints(run_dir))


def _checkpoints(run_dir: Path) -> Iterable[Path]:
    for attempt_dir in attempt_dirs(run_dir):
        folder = attempt_dir / CHECKPOINTS
        if folder.is_dir():
            yield from (folder / name for name in os.listdir(folder) if is_number(name))


def _drop_old(run_dir: Path, keep: int) -> None:
    """Delete all checkpoints of a run but the last `keep`.

    They are ordered by attempt, then by step: if an earlier attempt has a checkpoint of a later step, the newest
    attempt has found it damaged.
    """
    by_age = sorted(_checkpoints(run_dir), key=lambda path: (int(path.parent.parent.name), int(path.name)))
    for path in by_age[:-keep]:
        # Renamed first, so that a kill in the middle leaves nothing that looks like a checkpoint.
        hidden = path.with_name(f".{path.name}.{os.getpid()}.old")
        try:
            os.rename(path, hidden)
        except FileNotFoundError:
            continue
        shutil.rmtree(hidden, ignore_errors=True)


@contextmanager
def _plain_path(folder: Path) -> Iterator[Path]:
    """Yield a path to the folder that Orbax can read: Orbax treats `[` as a pattern and a backslash as a slash."""
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
    # Imported here, since importing Orbax takes a second and `python -m s5 --help` does not need it.
    from orbax.checkpoint import Checkpointer, PyTreeCheckpointHandler
    from orbax.checkpoint.options import MultiprocessingOptions

    # Only one process of a run writes or reads, so it must not wait for the other processes.
    rank = jax.process_index()
    single = MultiprocessingOptions(primary_host=rank, active_processes={rank}, barrier_sync_key_prefix=f"s5-{rank}")
    handler = PyTreeCheckpointHandler(multiprocessing_options=single)
    return Checkpointer(handler, multiprocessing_options=single)
