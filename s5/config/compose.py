"""How a run's config comes to be and lies on disk: composed by Hydra from a recipe and overrides, kept as YAML."""

import difflib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from s5.config.identity import from_dict, science_hash, to_dict
from s5.config.run import Config
from s5.errors import UserError
from s5.run_dir.result import CONFIG, RUN

CONF_DIR = Path(__file__).parents[1] / "conf"

# What Hydra and OmegaConf add to a message that helps nobody who typed an override.
_NOISE = ("See http", "full_key:", "object_type=", "reference_type=")


def compose(overrides: Sequence[str]) -> Config:
    """Compose a config as the launcher does: the schema, the recipe of `experiment=`, then the overrides.

    Args:
        overrides: In Hydra's override grammar, such as `experiment=digits/s5` and `model.n_layers=3`.

    Returns:
        The config, checked.

    Raises:
        UserError: For an unknown recipe or key, a value of the wrong type, or a combination that cannot be.
    """
    import hydra
    import yaml
    from hydra.core.config_store import ConfigStore
    from hydra.errors import HydraException
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    ConfigStore.instance().store("schema", Config)
    try:
        with hydra.initialize_config_dir(str(CONF_DIR), version_base="1.3"):
            composed = hydra.compose("config", overrides=list(overrides))
        _refuse_other_keys(OmegaConf.to_container(composed), to_dict(Config()))
        config = OmegaConf.to_object(composed)
    except yaml.YAMLError as error:
        raise UserError(_syntax_message(error), hint="mend the recipe") from error
    except (HydraException, OmegaConfBaseException, ValueError) as error:
        raise _explained(error, overrides) from error
    assert isinstance(config, Config)
    return config


def _refuse_other_keys(values: Any, schema: Mapping[str, Any], prefix: str = "") -> None:
    """Raise for a key that `+` has added, and for a section that `~` has deleted: neither makes a config."""
    for name, value in values.items():
        if name not in schema:
            known = sorted(_keys(to_dict(Config())))
            key = f"{prefix}{name}"
            raise UserError(f"{key}: unknown key" + _did_you_mean(key, known), hint=f"the keys are {', '.join(known)}")
        if isinstance(value, Mapping) and isinstance(schema[name], Mapping):
            _refuse_other_keys(value, schema[name], f"{prefix}{name}.")
    for name in schema:
        if name not in values:
            raise _no_deletion(f"{prefix}{name}")


def _no_deletion(key: str) -> UserError:
    return UserError(f"{key}: this key cannot be deleted: every run has it", hint="set it to another value")


def _syntax_message(error: Any) -> str:
    """Return the file, the line, the column and the problem of a recipe that is not YAML."""
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    where = f"{mark.name}: line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
    return where + (getattr(error, "problem", None) or str(error).strip())


def _recipe_error(error: Exception) -> UserError | None:
    """Return the error for a key or a value that a recipe has and the schema does not; None for another error."""
    recipe, cause = re.match(r"In '([^']+)': ", str(error)), error.__cause__ or error.__context__
    if recipe is None or cause is None:
        return None
    file, key = CONF_DIR / f"{recipe[1]}.yaml", getattr(cause, "full_key", None)
    head = f"{file}: {key}" if key else str(file)
    if "not in" in str(cause) and key:
        near = _did_you_mean(key, sorted(_keys(to_dict(Config()))))
        return UserError(f"{head}: unknown key{near}", hint="mend the recipe")
    return UserError(f"{head}: {str(cause).strip().splitlines()[0]}", hint="mend the recipe")


def _explained(error: Exception, overrides: Sequence[str]) -> UserError:
    """Turn what Hydra says into what is wrong and what to type."""
    if found := _recipe_error(error):
        return found
    if "does not support deletion" in str(error.__cause__):
        return _no_deletion(str(getattr(error.__cause__, "full_key", "")))
    names = {word.split("=", 1)[0].lstrip("+~"): word for word in overrides}
    experiment = names.get("experiment", "=").split("=", 1)[1]
    recipes = sorted(
        str(path.relative_to(CONF_DIR / "experiment"))[:-5] for path in CONF_DIR.glob("experiment/**/*.yaml")
    )
    if "experiment" in names and experiment not in recipes:
        return UserError(
            f"experiment={experiment}: no such recipe" + _did_you_mean(experiment, recipes),
            hint=f"the recipes are {', '.join(recipes)}",
        )
    known = {*_keys(to_dict(Config())), "experiment"}
    groups = {key.rsplit(".", depth)[0] for key in known for depth in range(1, key.count(".") + 1)}
    for name in names:
        if name not in known | groups:
            return UserError(f"{name}: unknown key" + _did_you_mean(name, sorted(known)), hint="python -m s5 --help")
    return UserError("; ".join(_said(error)), hint="python -m s5 --help shows the form of an override")


def _said(error: BaseException | None) -> Iterator[str]:
    """Yield what an error and its causes say, without Hydra's links and OmegaConf's inner names."""
    override = getattr(error, "override", None)
    if override:
        yield f"{override}: not an override"
    while error is not None:
        for line in str(error).splitlines():
            if line.strip() and not line.strip().startswith(_NOISE):
                key = getattr(error, "full_key", None) if line.startswith("Interpolation key") else None
                yield f"{key}: {line.strip()}" if key else line.strip()
        error = error.__cause__


def _did_you_mean(word: str, words: Sequence[str]) -> str:
    near = difflib.get_close_matches(word, words, n=1, cutoff=0.5)
    return f"; did you mean {near[0]}?" if near else ""


def _keys(values: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _keys(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}"


def config_text(config: Config) -> str:
    """Return a config as YAML."""
    import yaml

    return yaml.safe_dump(to_dict(config), sort_keys=False)


def read_config(run_dir: Path) -> Config:
    """Read a run's `config.yaml`.

    Raises:
        UserError: Where it is missing or is no config.
    """
    from omegaconf import OmegaConf  # PyYAML alone reads 1e-3 as text

    path = run_dir / CONFIG
    try:
        values = OmegaConf.to_container(OmegaConf.load(path))
        if not isinstance(values, dict):
            raise TypeError("it holds no mapping")
        return from_dict(Config, values)  # pyright: ignore[reportArgumentType]
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such file", hint="name a run directory: one with a config.yaml") from error
    except Exception as error:  # YAML's, OmegaConf's and the schema's errors have no common base
        raise UserError(f"{path}: {type(error).__name__}: {str(error).strip()}") from error


def check_identity(run_dir: Path, config: Config) -> None:
    """Refuse a config that is not the one by which the launcher knows the run: its result would bear a wrong name.

    A run without `run.json` was not planned by the launcher; the identity of one with a command is not the config's.

    Raises:
        UserError: Where the two differ, or `run.json` cannot be read.
    """
    path = run_dir / RUN
    try:
        record = json.loads(path.read_text())
        command, planned = record["command"], record["science_hash"]
    except FileNotFoundError:
        return
    except (ValueError, KeyError, TypeError) as error:
        message = f"{path}: cannot be read: {type(error).__name__}: {error}"
        raise UserError(message, hint="type the sweep's command again: it writes run.json anew") from error
    found = science_hash(to_dict(config))
    if command is None and found != planned:
        raise UserError(
            f"{run_dir / CONFIG} has the science hash {found}, and {path} says {planned}: "
            "the config was changed after the run was planned",
            hint="type the sweep's command again: it writes config.yaml anew",
        )
