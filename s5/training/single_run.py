"""A run without the launcher: where it lies, and its directory with the config in it."""

import os
from pathlib import Path

from s5.config.config_file import config_text, read_config
from s5.config.identity import science_hash, to_dict
from s5.config.run import Config
from s5.errors import UserError
from s5.run_dir.result import CONFIG, write_atomic


def default_run_dir(config: Config) -> Path:
    """Return the directory of a run for which the user names none.

    It is `_single/<recipe>-s<seed>-<hash>` in `$LAUNCH_RUNS`, or in `./runs`.
    """
    recipe = (config.recipe or config.data.name).replace("/", "-")
    name = f"{recipe}-s{config.seed}-{science_hash(to_dict(config))[:8]}"
    return Path(os.environ.get("LAUNCH_RUNS") or "runs") / "_single" / name


def prepare_run_dir(run_dir: Path, config: Config) -> None:
    """Create a run directory, or check that the one that exists holds a run of the same science.

    Args:
        run_dir: The directory.
        config: The run's config.

    Raises:
        UserError: If it holds another run, or cannot be created.
    """
    if not (run_dir / CONFIG).exists():
        try:
            run_dir.mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError) as error:
            raise UserError(
                f"{run_dir}: a path component is a file, and a folder is needed",
                hint="move the file away, or name another folder with LAUNCH_RUNS or --run-dir",
            ) from error
        write_atomic(run_dir / CONFIG, config_text(config))
    elif science_hash(to_dict(read_config(run_dir))) != science_hash(to_dict(config)):
        raise UserError(f"{run_dir} holds a run with another config", hint="choose another --run-dir, or omit it")
