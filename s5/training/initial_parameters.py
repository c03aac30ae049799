"""Loads the initial parameters of a run from the run `train.init_from`, except those that `train.init_skip` names.

The source run's model with the best validation score is loaded: its parameters and running statistics. Each array must
fit by name and shape, or match a pattern of `train.init_skip`. Everything else of the run starts as usual: optimizer,
step, random keys, and the order of the data.
"""

import fnmatch
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jaxtyping import PyTree

from s5.config.source_run import locate_source
from s5.config.training import TrainConfig
from s5.errors import UserError, did_you_mean
from s5.training import checkpoints
from s5.training.best_model import read_best
from s5.training.checkpoints import BEST, BEST_PARAMS, BEST_STATS, Arrays
from s5.training.task import Task

_LISTED = 12  # the most parameters that an error lists
_TYPED = 3  # the most names in its hint; if there are more, the hint has patterns
_ENCODER = "encoder."


def load_initial(
    train: TrainConfig, params: PyTree, stats: PyTree, task: Task, attempt_dir: Path
) -> tuple[PyTree, PyTree, dict[str, Any]]:
    """Load the parameters that a run starts from.

    Args:
        train: The config of the training, in which `init_from` is set.
        params: The parameters as initialised.
        stats: The running statistics as initialised.
        task: The task of the run's data.
        attempt_dir: The attempt's folder. If `init_from` names a block of the sweep, its `after.json` lists the runs.

    Returns:
        The parameters and the statistics to start from, and a record of them: the directory and science hash of the
        source run, the step, the SHA-256 of the loaded arrays, and the names that were skipped.

    Raises:
        UserError: If the source run cannot be found or read, or a parameter does not fit and is not skipped.
    """
    assert train.init_from is not None
    run_dir = locate_source(train.init_from, train.init_hash, attempt_dir)
    checkpoint = read_best(run_dir)
    found = {name: array for name, array in checkpoint.arrays.items() if name.startswith(BEST)}
    own = {**checkpoints.flatten(params, BEST_PARAMS), **checkpoints.flatten(stats, BEST_STATS)}
    skipped = _skipped(train.init_skip, own, found)
    misfits = {name: why for name, why in _misfits(own, found).items() if name not in skipped}
    source_task = checkpoint.progress.get("task") or {}
    misfits |= _other_tokens(task, source_task.get("vocabulary"), set(own) - skipped)
    if misfits:
        raise _misfit_error(run_dir, misfits)
    loaded = {name: found[name] for name in own if name not in skipped}
    arrays = own | loaded
    record = {
        "run_dir": str(run_dir),
        "science_hash": train.init_hash,
        "step": checkpoint.progress["best_step"],
        "parameters_sha256": checkpoints.digest(loaded, {}),
        "skipped": sorted({_label(name) for name in skipped}),
    }
    params = checkpoints.unflatten(params, arrays, BEST_PARAMS)
    return params, checkpoints.unflatten(stats, arrays, BEST_STATS), record


def describe_initial(record: dict[str, Any]) -> str:
    """Return the record of `load_initial` as one line of text."""
    skipped = ", ".join(record["skipped"])
    return (
        f"starting from {record['run_dir']} (science hash {record['science_hash'][:8]}, best validation at step "
        f"{record['step']}, parameters {record['parameters_sha256'][:8]})" + (f"; fresh: {skipped}" if skipped else "")
    )


def _skipped(patterns: Sequence[str], own: Arrays, found: Arrays) -> set[str]:
    """Return the array names that the patterns match; raise if a pattern matches no parameter."""
    labels = {name: _label(name) for name in (*own, *found)}
    skipped: set[str] = set()
    for pattern in patterns:
        matches = {name for name, label in labels.items() if fnmatch.fnmatchcase(label, pattern)}
        if not matches:
            names = sorted(set(labels.values()))
            raise UserError(
                f"train.init_skip={pattern}: matches no parameter{did_you_mean(pattern, names)}",
                hint=f"the parameters are {', '.join(names)}",
            )
        skipped |= matches
    return skipped


def _misfits(own: Arrays, found: Arrays) -> dict[str, str]:
    """Return the reason for each array that does not fit, by name."""
    why = {name: "the source run has no such parameter" for name in own.keys() - found.keys()}
    why |= {name: "this model has no such parameter" for name in found.keys() - own.keys()}
    for name in own.keys() & found.keys():
        mine, theirs = own[name], found[name]
        if (mine.shape, mine.dtype) != (theirs.shape, theirs.dtype):
            why[name] = f"{theirs.dtype}{list(theirs.shape)} in that run, {mine.dtype}{list(mine.shape)} in this model"
    return why


def _other_tokens(task: Task, vocabulary: str | None, loaded: set[str]) -> dict[str, str]:
    """Return the reason for each array of the encoder if the source run read other tokens."""
    if vocabulary is None or vocabulary == task.vocabulary:
        return {}
    why = f"the inputs were {vocabulary or 'features'} in that run, and are {task.vocabulary or 'features'} in this one"
    return {name: why for name in loaded if _label(name).startswith(_ENCODER)}


def _misfit_error(run_dir: Path, misfits: dict[str, str]) -> UserError:
    lines = sorted(f"{_label(name)}: {why}" for name, why in misfits.items())
    if len(lines) > _LISTED:
        lines = [*lines[:_LISTED], f"and {len(lines) - _LISTED} more"]
    labels = sorted(_label(name) for name in misfits)
    patterns = labels if len(labels) <= _TYPED else sorted({f"{label.partition('.')[0]}*" for label in labels})
    return UserError(
        f"train.init_from: parameters of {run_dir} do not fit this model:\n" + "\n".join(f"  {line}" for line in lines),
        hint=f"to start them fresh, set train.init_skip=[{','.join(patterns)}]",
    )


def _label(name: str) -> str:
    """Return an array's name in the form that a user types: `best/params['head']['bias'].value` is `head.bias`."""
    return ".".join(re.findall(r"\['?([^'\]]+)'?\]", name))
