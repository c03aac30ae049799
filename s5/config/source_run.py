"""The source run: the run whose parameters another run starts from.

`train.init_from` is the place of the source run, `train.init_hash` its science hash. Only the hash is science, since
run directories may move. Both keys are resolved when the config is composed, before the config is stored. There are
two cases:

- `train.init_from` is a path. `find_source` returns the values of both keys: the absolute run directory and the science
  hash of its run. `compose` calls `find_source` for `python -m s5`; the launcher calls it for a path in a sweep file.
- `train.init_from` is the name of a block that the run comes after. The launcher keeps the name, and sets
  `train.init_hash` to the science hash of the source run, a run of that block. `after.json` in the attempt's folder
  maps the name to run directories, and `locate_source` returns the directory with that hash.

In a container the launcher makes the directory visible under the same path. `s5.training.initial_parameters` loads the
parameters.
"""

import os
from pathlib import Path

from s5.config.config_file import read_config
from s5.config.identity import science_hash, to_dict
from s5.config.run import Config
from s5.errors import UserError, did_you_mean
from s5.run_dir.json_file import parse_json
from s5.run_dir.regular_file import read_regular
from s5.run_dir.result import AFTER, RESULT

_HINT = "name the directory of a finished run, with a result.json; in a sweep also a block that this run comes after"


def find_source(path: str, key: str = "train.init_from") -> tuple[str, str]:
    """Find the finished run at a path.

    Args:
        path: A run directory, absolute or relative to the working directory.
        key: The key that names it, for messages.

    Returns:
        The absolute path, and the science hash of its run: `train.init_from` and `train.init_hash`.

    Raises:
        UserError: If the path is not the directory of a finished run.
    """
    run_dir = Path(path).absolute()
    if not os.path.isdir(run_dir):
        raise UserError(f"{key}={path}: no such run directory", hint=_HINT)
    _check_finished(run_dir, path, key)
    return str(run_dir), _read_hash(run_dir)


def resolve_source(config: Config) -> None:
    """Make `train.init_from` of a composed config an absolute path, and set `train.init_hash`; do nothing for null.

    Raises:
        UserError: If the path is not the directory of a finished run, or its run has another hash than
            `train.init_hash`.
    """
    train = config.train
    if train.init_from is None:
        return
    path, found = find_source(train.init_from)
    if train.init_hash not in (None, found):
        raise _other_run(train.init_from, path, found, train.init_hash)
    train.init_from, train.init_hash = path, found


def locate_source(init_from: str, init_hash: str | None, attempt_dir: Path) -> Path:
    """Return the directory of the source run, for the training process.

    Args:
        init_from: `train.init_from`: an absolute path, or a name in `after.json`.
        init_hash: `train.init_hash`.
        attempt_dir: The attempt's folder.

    Raises:
        UserError: If there is no such directory, or its run has not finished or has another hash than `init_hash`.
    """
    if init_hash is None:
        raise UserError(
            f"train.init_from={init_from}, but the hash of that run is missing (train.init_hash): this config was not "
            "made by `python -m s5` or the launcher",
            hint="train with `python -m s5 experiment=NAME train.init_from=RUN_DIR`, or with the launcher",
        )
    places = [Path(init_from)] if Path(init_from).is_absolute() else _runs_before(init_from, attempt_dir)
    hashes = {run_dir: _read_hash(run_dir) for run_dir in places}
    for run_dir, found in hashes.items():
        if found == init_hash:
            _check_finished(run_dir, init_from)
            return run_dir
    raise _other_run(init_from, ", ".join(map(str, hashes)), ", ".join(hashes.values()), init_hash)


def _runs_before(name: str, attempt_dir: Path) -> list[Path]:
    """Return the directories of a block's runs, from the `after.json` that the launcher wrote for the attempt."""
    file = attempt_dir / AFTER
    try:
        runs = parse_json(read_regular(file))
    except FileNotFoundError:
        runs = {}
    except ValueError as error:
        raise UserError(f"{file}: not JSON: {error}") from error
    # The launcher's keys are names of blocks, or names with the values by which runs match: `pretrain seed=0`.
    found = dict.fromkeys(Path(place) for key, places in runs.items() if key.split(" ")[0] == name for place in places)
    if not found:
        near = did_you_mean(name, [key.split(" ")[0] for key in runs])
        message = f"train.init_from={name}: neither an absolute path nor a block in {file}{near}"
        raise UserError(message, hint=_HINT)
    return list(found)


def _check_finished(run_dir: Path, init_from: str, key: str = "train.init_from") -> None:
    # The science hash identifies the final parameters of a run, not those of a run that is still training.
    if not (run_dir / RESULT).exists():
        raise UserError(f"{key}={init_from}: {run_dir} has no {RESULT}: its run has not finished", hint=_HINT)


def _read_hash(run_dir: Path) -> str:
    return science_hash(to_dict(read_config(run_dir)))


def _other_run(init_from: str, where: str, found: str, wanted: str) -> UserError:
    return UserError(
        f"train.init_from={init_from}: {where} has the science hash {found}, but train.init_hash={wanted}",
        hint="the source run was changed or replaced after this run was planned; plan this run again",
    )
