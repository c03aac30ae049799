"""The config of a run: Hydra's composition, once per choice of groups, and the run's identity.

Composing takes Hydra 50 ms. What most runs of a sweep differ in are single values, so Hydra composes once for each
experiment and choice of groups, and the values are set afterwards, each converted by the OmegaConf node that holds it.
Everything else (groups, `+`, `~`, lists, interpolations) goes through Hydra whole. A test holds the two ways equal.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path
from typing import Any

from launch.compose.config_errors import combination_error, experiment_error, refused_error
from launch.compose.config_text import config_text
from launch.compose.experiments import default_conf_dir, experiment_names
from launch.compose.hydra import BaseConfig, RecipeError, ValueRefused, compose_base, plain_values
from launch.compose.run_id import make_run_id
from launch.errors import ConfigError
from launch.grammar import Change, Choices, GrammarError, Interval, Override, format_value, parse_override
from launch.store.manifest import BLOCK
from launch.store.records import RunRecord
from launch.sweepfile.runs import RunSpec
from s5.config.identity import SCIENCE_VERSION, from_dict, science_hash
from s5.config.run import Config


@dataclass(frozen=True, kw_only=True)
class Run:
    """A run that is ready to be stored.

    Attributes:
        record: What it is.
        config: Its resolved config as nested plain values; runs share parts of it, so nobody writes into it.
        spec: What the sweep file said.
    """

    record: RunRecord
    config: dict[str, Any]
    spec: RunSpec

    @property
    def settings(self) -> dict[str, Any]:
        """What tells it from the sweep's other runs: the name of its block, and what varies."""
        own = {} if self.spec.block is None else {BLOCK: self.spec.block}
        return {**own, **self.record.settings}

    def config_text(self) -> str:
        """Return the config as YAML; OmegaConf reads it back equal."""
        return config_text(self.config)


class Composer:
    """Composes, checks and identifies runs.

    Args:
        conf_dir: The folder with `config.yaml`; None for that of the `s5` package.

    Attributes:
        warnings: What `plan_all` found suspicious: specs that are one run.
    """

    def __init__(self, conf_dir: Path | None = None) -> None:
        self.conf_dir = conf_dir or default_conf_dir()
        self.warnings: list[str] = []
        self._bases: dict[tuple[str, ...], BaseConfig] = {}
        self._groups: dict[str, bool] = {}
        self._experiments = frozenset(experiment_names(self.conf_dir))

    def plan(self, spec: RunSpec, before: Sequence[str] = ()) -> Run:
        """Compose one run.

        Args:
            spec: What the sweep file says.
            before: Hashes of what it comes after.

        Raises:
            ConfigError: Where a key, a value or a combination is not allowed; it names the sweep file's place.
        """
        config = self.compose(spec)
        try:
            from_dict(Config, config)
            identity = identity_of(config, spec, before)
        except (ValueError, TypeError) as error:
            raise combination_error(spec, str(error)) from error
        record = RunRecord(
            run_id=make_run_id(spec.experiment, spec.settings, spec.seed, identity),
            experiment=spec.experiment,
            overrides=spec.overrides,
            settings=spec.settings,
            seed=spec.seed,
            science_version=SCIENCE_VERSION,
            science_hash=identity,
            command=spec.command,
        )
        return Run(record=record, config=config, spec=spec)

    def plan_all(self, specs: Iterable[RunSpec]) -> list[Run]:
        """Compose every run, each once.

        Args:
            specs: In the order of the sweep. Specs whose configs give the same numbers are one run: the first's.

        Returns:
            The runs, in that order.

        Raises:
            ConfigError: As `plan` does.
        """
        runs: dict[tuple[str, str], Run] = {}
        for run in self._each(list(specs)):
            spec = run.spec
            key = (spec.experiment, run.record.science_hash)
            first = runs.setdefault(key, run)
            if first is not run:
                runs[key] = replace(first, spec=first.spec.joined(spec))
            if first.record.run_id != run.record.run_id:
                self.warnings.append(
                    f"{spec.where}: {run.record.run_id} is left out: what it sets beside {first.record.run_id} "
                    "does not change the numbers"
                )
        return list(runs.values())

    def _each(self, specs: Sequence[RunSpec]) -> list[Run]:
        """Return a run for each spec; what comes before others is composed first, since it is part of what they are."""
        runs: dict[int, Run] = {}
        given: dict[str, set[str]] = {}
        hashes: dict[str, str] = {}
        for index in sorted(range(len(specs)), key=lambda index: specs[index].dependencies.depth):
            turn = specs[index].dependencies
            for token in turn.requires:
                if token not in hashes:  # all that give it are of a lower rank
                    hashes[token] = _hash(*sorted(given[token]))
            run = runs[index] = self.plan(specs[index], [hashes[token] for token in turn.requires])
            for token in turn.provides:
                given.setdefault(token, set()).add(_hash(run.record.experiment, run.record.science_hash))
        return [runs[index] for index in range(len(specs))]

    def compose(self, spec: RunSpec) -> dict[str, Any]:
        """Return the resolved config of a run as nested plain values, before the checks across its fields.

        Raises:
            ConfigError: As `plan` does.
        """
        self._check_experiment(spec)
        overrides = [_read_override(text, spec) for text in (*spec.overrides, f"seed={spec.seed}")]
        values = [o for o in overrides if o.change is Change.SET and o.package is None and not self._is_group(o.key)]
        rest = [o for o in overrides if o not in values]
        try:
            if any(_overlap(one.key, other.key) for one in values for other in rest if not self._is_group(other.key)):
                return plain_values(self._base(spec, overrides).config)
            base = self._base(spec, rest)
            if base.values is not None and all(o.key in base.nodes and _is_scalar(o.value) for o in values):
                return _set_values(base, base.values, values)
            return base.updated((o.key, o.value) for o in values)
        except ValueRefused as error:
            raise refused_error(spec, error) from error
        except RecipeError:
            raise
        except ConfigError as error:
            raise ConfigError(f"{spec.where}: {error.message}", hint=error.hint) from error

    def _base(self, spec: RunSpec, overrides: list[Override]) -> BaseConfig:
        """Return Hydra's own composition, once per list of overrides."""
        texts = (f"experiment={format_value(spec.experiment)}", *(o.text for o in overrides))
        if texts not in self._bases:
            self._bases[texts] = compose_base(self.conf_dir, texts)
        return self._bases[texts]

    def _is_group(self, key: str) -> bool:
        if key not in self._groups:
            self._groups[key] = (self.conf_dir / key).is_dir()
        return self._groups[key]

    def _check_experiment(self, spec: RunSpec) -> None:
        if spec.experiment not in self._experiments:
            raise experiment_error(spec, sorted(self._experiments))


def _read_override(text: str, spec: RunSpec) -> Override:
    try:
        override = parse_override(text)
    except GrammarError as error:
        raise ConfigError(f"{spec.where}: {text}: {error}") from error
    if isinstance(override.value, Choices | Interval):
        raise ConfigError(f"{spec.where}: {text}: a run takes one value")
    return override


def _overlap(one: str, other: str) -> bool:
    """Return whether two dotted paths are one, or one holds the other."""
    return one == other or one.startswith(f"{other}.") or other.startswith(f"{one}.")


def _is_scalar(value: Any) -> bool:
    """Return whether a value can be set without OmegaConf: neither a container nor an interpolation nor missing."""
    return not isinstance(value, list | dict) and not (isinstance(value, str) and ("${" in value or value == "???"))


def _set_values(base: BaseConfig, values: dict[str, Any], overrides: list[Override]) -> dict[str, Any]:
    """Return `values` with the overrides set; what they do not touch is shared."""
    values = dict(values)
    copied: dict[str, dict[str, Any]] = {"": values}
    for override in overrides:
        path, _, last = override.key.rpartition(".")
        _section(values, copied, path)[last] = _convert(base.nodes[override.key], override.key, override.value)
    return values


def _section(values: dict[str, Any], copied: dict[str, dict[str, Any]], path: str) -> dict[str, Any]:
    """Return the mapping at `path`, copied once together with all above it."""
    if path not in copied:
        above, _, last = path.rpartition(".")
        parent = _section(values, copied, above)
        copied[path] = parent[last] = dict(parent[last])
    return copied[path]


def _convert(node: Any, key: str, value: Any) -> Any:
    """Return the plain value that a node makes of `value`."""
    from omegaconf.errors import ValidationError

    try:
        converted = node.validate_and_convert(value)
    except ValidationError as error:
        raise ValueRefused(key, value, str(error).splitlines()[0], node=node) from error
    return converted.name if isinstance(converted, Enum) else converted


def identity_of(config: Mapping[str, Any], spec: RunSpec, before: Sequence[str] = ()) -> str:
    """Return the hash of what changes the numbers of a run.

    It is that of the config's scientific subset; for another command, of its words too, and of what it comes after,
    since it is told where that lies. A training only comes later.
    """
    science = science_hash(config)
    if spec.command is None:
        return science
    own = _hash(science, *spec.command)
    return _hash(own, *before) if before else own


def _hash(*words: str) -> str:
    return hashlib.sha256("\0".join(words).encode()).hexdigest()
