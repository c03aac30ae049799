"""The run directory of a run without the launcher: its default path, and its creation."""

import os
from dataclasses import replace
from pathlib import Path

from s5.catalog import absolute_folders
from s5.config.config_file import config_text, read_config
from s5.config.data import DataConfig
from s5.config.identity import science_hash, to_dict
from s5.config.run import Config
from s5.errors import UserError
from s5.run_dir.result import CONFIG, write_atomic


def default_run_dir(config: Config) -> Path:
    """Return the run directory if the user does not name one.

    It is `_single/<recipe>-s<seed>-<hash>` in `$LAUNCH_RUNS`, or in `./runs`.
    """
    recipe = (config.recipe or config.data.name).replace("/", "-")
    name = f"{recipe}-s{config.seed}-{science_hash(to_dict(config))[:8]}"
    return Path(os.environ.get("LAUNCH_RUNS") or "runs") / "_single" / name


def prepare_run_dir(run_dir: Path, config: Config) -> None:
    """Create a run directory with its config; if it exists, check that its config has the same science hash.

    Args:
        run_dir: The directory.
        config: The run's config.

    Raises:
        UserError: If the directory contains another run, or cannot be created.
    """
    if not (run_dir / CONFIG).exists():
        try:
            run_dir.mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError) as error:
            raise UserError(
                f"{run_dir}: a part of this path is a file, but must be a folder",
                hint="move the file away, or name another folder with LAUNCH_RUNS or --run-dir",
            ) from error
        stored = replace(config, data=DataConfig(**absolute_folders(vars(config.data))))
        write_atomic(run_dir / CONFIG, config_text(stored))
    elif science_hash(to_dict(read_config(run_dir))) != science_hash(to_dict(config)):
        raise UserError(f"{run_dir} contains a run with another config", hint="choose another --run-dir, or omit it")
