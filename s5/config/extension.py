"""The extension of a finished run: another run that continues it for more epochs, from its last checkpoint.

`train.extend_from` is the directory of the finished run, `train.extend_hash` its science hash. Only the hash is
science. Both runs keep their directories and results. Except for the keys in `MAY_DIFFER`, their configs have to be
equal.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from s5.config.config_file import read_config
from s5.config.identity import from_dict, science_hash, science_subset, to_dict
from s5.config.run import Config
from s5.config.source_run import find_source
from s5.errors import UserError, did_you_mean

KEY = "train.extend_from"
# The checkpoint of a run fits these changes: they change neither its arrays nor the order of its data.
MAY_DIFFER = (
    "train.epochs",
    "train.early_stop_epochs",
    "train.eval_every_epochs",
    "train.eval_batch_size",
    "optim.lr",
    "optim.ssm_lr",
    "optim.lr_of",
    "optim.layer_decay",
    "optim.lr_min",
    "optim.schedule",
)
_LINEAGE = ("train.extend_from", "train.extend_hash")


def extend_config(run_dir: Path, overrides: Sequence[str]) -> Config:
    """Return the config of the run that extends a finished run.

    Args:
        run_dir: The directory of the finished run.
        overrides: `train.epochs=N`, and further `key=value` for the keys in `MAY_DIFFER` or keys that are not science.

    Raises:
        UserError: If the run has not finished, or an override is not allowed.
    """
    from omegaconf import OmegaConf

    place, found = find_source(str(run_dir), KEY)
    values = to_dict(read_config(Path(place)))
    keys = {f"{section}.{key}" for section, part in values.items() if isinstance(part, dict) for key in part}
    for word in overrides:
        key, equals, text = word.partition("=")
        if not equals or key not in keys or key in _LINEAGE:
            near = did_you_mean(key, [*MAY_DIFFER])
            raise UserError(f"{word}: not a key of the run and a value{near}", hint="such as train.epochs=40")
        section, _, name = key.partition(".")
        values[section][name] = OmegaConf.to_container(OmegaConf.from_dotlist([f"value={text}"]))["value"]  # pyright: ignore
    values["train"] |= {"extend_from": place, "extend_hash": found}
    try:
        config: Config = from_dict(Config, values)
    except (ValueError, TypeError, KeyError) as error:
        raise UserError(f"{' '.join(overrides)}: {error}", hint="such as train.epochs=40") from error
    check_extension(to_dict(config))
    return config


def check_extension(values: dict[str, Any]) -> None:
    """Raise if a run cannot extend the run that its config names.

    Args:
        values: The config as nested plain values, with `train.extend_from` as an absolute path.

    Raises:
        UserError: If a key differs that must not, or the epochs are not more.
    """
    run_dir = Path(values["train"]["extend_from"])
    source = to_dict(read_config(run_dir))
    found = science_hash(source)
    if values["train"]["extend_hash"] != found:
        raise UserError(
            f"{KEY}={run_dir}: its run has the science hash {found}, but train.extend_hash is "
            f"{values['train']['extend_hash']}",
            hint="the finished run was changed or replaced after this run was planned; plan this run again",
        )
    before, after = _flat(science_subset(source)), _flat(science_subset(values))
    allowed = {*MAY_DIFFER, *_LINEAGE, "recipe"}
    for key in sorted(before.keys() | after.keys()):
        if before.get(key) != after.get(key) and not any(f"{key}.".startswith(f"{one}.") for one in allowed):
            raise UserError(
                f"{KEY}={run_dir}: {key} is {before.get(key)} in that run and {after.get(key)} in this one",
                hint=f"a run that extends another may differ in {', '.join(MAY_DIFFER)}; train.init_from starts a new "
                "training from its parameters",
            )
    epochs, more = source["train"]["epochs"], values["train"]["epochs"]
    if more <= epochs:
        raise UserError(
            f"train.epochs={more}: {run_dir} has trained for {epochs} epochs", hint=f"choose more than {epochs}"
        )


def _flat(values: dict[str, Any], path: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in values.items():
        found |= _flat(value, f"{path}{key}.") if isinstance(value, dict) else {f"{path}{key}": value}
    return found
