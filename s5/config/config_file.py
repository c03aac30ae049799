"""A run's `config.yaml`: its text, reading it, and comparing it with the identity in `run.json`."""

from pathlib import Path

from s5.config.identity import from_dict, science_hash, to_dict
from s5.config.run import Config
from s5.config.yaml_text import yaml_text
from s5.errors import UserError
from s5.run_dir.json_file import parse_json
from s5.run_dir.regular_file import read_regular
from s5.run_dir.result import CONFIG, RUN


def config_text(config: Config) -> str:
    """Return the text of `config.yaml` for a config."""
    return yaml_text(to_dict(config))


def read_config(run_dir: Path) -> Config:
    """Read a run's `config.yaml`.

    Raises:
        UserError: If the file is missing or is not a config.
    """
    from omegaconf import OmegaConf  # PyYAML alone reads 1e-3 as text

    path = run_dir / CONFIG
    try:
        values = OmegaConf.to_container(OmegaConf.load(path))
        if not isinstance(values, dict):
            raise TypeError("the file is not a mapping")
        return from_dict(Config, values)  # pyright: ignore[reportArgumentType]
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such file", hint="name a run directory, which contains a config.yaml") from error
    except Exception as error:  # YAML's, OmegaConf's and the schema's errors have no common base
        raise UserError(f"{path}: {type(error).__name__}: {str(error).strip()}") from error


def check_identity(run_dir: Path, config: Config) -> None:
    """Raise if a config differs from the planned config of the run: its result would have the wrong run id.

    Nothing is compared without a `run.json`, since the launcher did not plan the run, nor for a run with its own
    command, since its identity includes more than the config.

    Raises:
        UserError: If the science hashes differ, or `run.json` cannot be read.
    """
    path = run_dir / RUN
    try:
        record = parse_json(read_regular(path))
        command, planned = record["command"], record["science_hash"]
    except FileNotFoundError:
        return
    except (ValueError, KeyError, TypeError) as error:
        message = f"{path}: cannot be read: {type(error).__name__}: {error}"
        raise UserError(message, hint="type the sweep's command again: it writes run.json again") from error
    found = science_hash(to_dict(config))
    if command is None and found != planned:
        raise UserError(
            f"{run_dir / CONFIG} has the science hash {found}, but {path} has {planned}: "
            "the config was changed after the run was planned",
            hint="type the sweep's command again: it writes config.yaml again",
        )
