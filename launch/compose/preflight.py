"""Check composed runs before any of them starts: missing data, and values that do not fit the data or devices."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING

from launch.compose.errors import sweep_folder
from launch.compose.plugin_hint import DATA, is_unknown, with_plugins
from launch.errors import ConfigError
from s5.catalog import DataError, DatasetInfo, check_available, check_version, dataset_info
from s5.config.choices import Encoder, Likelihood, Permutation, Times
from s5.config.families import FAMILIES, fitting_hint
from s5.config.identity import from_dict
from s5.config.model import ModelConfig

if TYPE_CHECKING:
    from launch.compose.run import Run

# Models with these values fit any data, so they need no check: a sweep may have ten thousand of them.
_PLAIN = {"encoder": Encoder.dense.name, "times": Times.steps.name, "likelihood": Likelihood.fixed.name}

_UNCHANGED = Permutation.none.name

# This flag makes a machine without accelerators count as several devices.
_HOST_DEVICES = re.compile(r"--xla_force_host_platform_device_count=(\d+)")


def find_obstacles(runs: Iterable[Run], environment: Mapping[str, str]) -> list[ConfigError]:
    """Return the errors that prevent runs from starting: one for each missing data set and each other mistake.

    Returns:
        The errors, each with its key. An error for missing data lists the files, the folders that were searched, and
        the files' addresses and checksums.
    """
    trained = [run for run in runs if run.record.command is None]
    mistakes = {error.message: error for run in trained for error in _mistakes(run, environment)}
    return [*_missing_data(trained), *mistakes.values()]


def _missing_data(runs: Iterable[Run]) -> Iterator[ConfigError]:
    """Yield an error for each data set that is missing here; data sets with the same files give one error."""
    wanted: dict[tuple[str, str | None, str | None], tuple[Run, str]] = {}
    for run in runs:
        data = run.config["data"]
        for key in ("name", "zero_shot"):
            if data.get(key) is not None:
                wanted.setdefault((data[key], data["root"], data["cache"]), (run, key))
    seen: set[tuple[str, str | None, str | None]] = set()
    for (name, root, cache), (run, key) in wanted.items():
        place = run.spec.places.get(f"data.{key}", run.spec.where)
        try:
            files = (dataset_info(name).cached_as or name, root, cache)
            if files not in seen:
                seen.add(files)
                check_available(name, root, cache)
        except DataError as error:
            hint = error.hint
            if is_unknown(name):
                hint = with_plugins(hint, DATA, name, sweep_folder(run.spec))
            yield ConfigError(f"{place}: {error.message}", hint=hint)


def _mistakes(run: Run, environment: Mapping[str, str]) -> Iterator[ConfigError]:
    """Yield an error for each value of a run's config that does not fit its data or its devices."""
    data, train = run.config["data"], run.config["train"]
    try:
        info = dataset_info(data["name"])
    except DataError:
        return  # missing data are reported elsewhere
    size, most = train["batch_size"], info.sizes.get("train")  # only its loader knows the sizes of a plug-in's data
    if most is not None and isinstance(size, int) and size > most:
        reason = (
            f"a batch of {size:,} cannot be drawn without repeats from the {most:,} training examples of {info.name}"
        )
        yield _error(run, "train.batch_size", f"train.batch_size={size}: {reason}", f"choose 1 to {most}")
    yield from _mistakes_of_data(run, info)
    yield from _mistakes_of_length(run, info)
    model = run.config.get("model", {})
    takes_times = FAMILIES.get(model.get("kind", ""), ModelConfig).takes_times
    if (info.times and not takes_times) or any(model.get(key, plain) != plain for key, plain in _PLAIN.items()):
        try:
            fits = from_dict(ModelConfig, model).check_fits
            fits(info.d_input, info.head, tokens=info.tokens, times=info.times)
        except ValueError as error:
            key = str(error).partition("=")[0]
            yield _error(run, key, f"{error} (data.name={info.name})", fitting_hint(error))
    wanted, there = train.get("devices"), _devices(run, environment)
    if wanted is not None and there is not None and wanted > there:
        resources = run.spec.resources
        asked = f"resources.gpus_per_node={resources.gpus_per_node}"
        if resources.tasks_per_node > 1:
            asked += f" for resources.tasks_per_node={resources.tasks_per_node}"
        reason = f"a process of this run has {there} device{'s' * (there != 1)} ({asked})"
        hint = f"choose 1 to {there}, leave it out for all, or ask for more GPUs"
        yield _error(run, "train.devices", f"train.devices={wanted}: {reason}", hint)


def _mistakes_of_length(run: Run, info: DatasetInfo) -> Iterator[ConfigError]:
    """Yield an error if the data have more steps than the model can read."""
    model = run.config.get("model", {})
    if "l_max" in model and not info.times:
        try:
            from_dict(ModelConfig, model).check_length(info.length)
        except ValueError as error:
            yield _error(run, "model.l_max", f"{error} (data.name={info.name})", "model.version=exp needs no window")


def _mistakes_of_data(run: Run, info: DatasetInfo) -> Iterator[ConfigError]:
    """Yield an error for a wrong version of the data, a wrong kind of task, or a permutation of data without pixels."""
    data = run.config["data"]
    infos, permutation, name = [info], data.get("permutation", _UNCHANGED), data.get("zero_shot")
    with suppress(DataError):  # missing data are reported elsewhere
        infos += [] if name is None else [dataset_info(name)]
    for one, key in zip(infos, ("version", "zero_shot_version"), strict=False):
        try:
            check_version(one, data.get(key, 1), f"data.{key}")
        except DataError as error:
            yield _error(run, f"data.{key}", error.message, error.hint or "")
    for other in infos[1:]:
        if other.task != info.task:
            reason = f"it is a {other.task}, and data.name={info.name} is a {info.task}"
            yield _error(run, "data.zero_shot", f"data.zero_shot={name}: {reason}", "name a data set of the same kind")
    for fixed in (one for one in infos if permutation != _UNCHANGED and not one.permutable):
        reason = f"{fixed.name} is not a data set of images whose pixels can be reordered"
        yield _error(run, "data.permutation", f"data.permutation={permutation}: {reason}", "set it to none")


def _devices(run: Run, environment: Mapping[str, str]) -> int | None:
    """Return the number of devices of each process of a run; None if its resources do not determine the number."""
    resources, platform = run.spec.resources, run.config.get("platform", "any")
    if platform == "tpu":
        return None
    if resources.gpus_per_node and platform != "cpu":
        return max(1, resources.gpus_per_node // resources.tasks_per_node)
    forced = _HOST_DEVICES.findall(environment.get("XLA_FLAGS", ""))
    return int(forced[-1]) if forced else 1


def _error(run: Run, key: str, message: str, hint: str) -> ConfigError:
    return ConfigError(f"{run.spec.places.get(key, run.spec.where)}: {message}", hint=hint)
