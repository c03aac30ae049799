"""Compose the configs of runs with Hydra, check them, and compute the runs' identities.

Hydra takes 50 ms to compose. Most runs of a sweep differ in single values only, so Hydra composes once for each
experiment and choice of groups. The values are set afterwards, each converted by the OmegaConf node that holds it.
Everything else (groups, `+`, `~`, lists, interpolations) goes through Hydra. A test proves that both ways are equal.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from launch.compose.base_config import BaseConfig
from launch.compose.errors import combination_error, located_error
from launch.compose.init_from import resolve_source
from launch.compose.program import is_program, program_config, program_hash, program_parameters
from launch.compose.run import Run
from launch.compose.run_id import make_run_id
from launch.compose.sections import Sections
from launch.errors import ConfigError
from launch.grammar import Change, Choices, GrammarError, Interval, Override, format_value, parse_override
from launch.store.records import RunRecord
from launch.sweepfile.runs import RunSpec
from s5.config.errors import is_kind, kind_error, unknown_option_error
from s5.config.identity import SCIENCE_VERSION, science_hash
from s5.config.nodes import plain_values
from s5.config.search_path import conf_dirs, group_options, is_group, task_choice, task_names
from s5.errors import UserError


@dataclass(frozen=True, kw_only=True)
class Predecessors:
    """The composed runs of a sweep, for the runs that wait for them.

    Attributes:
        by_label: The runs that provide each label; complete before the first run that requires the label is composed.
        blocks: The named blocks of the sweep.
    """

    by_label: dict[str, list[Run]] = field(default_factory=dict[str, "list[Run]"])
    blocks: frozenset[str] = frozenset()
    _hashes: dict[str, str] = field(default_factory=dict[str, str])

    def hash_of(self, label: str) -> str:
        """Return a hash of all runs that provide a label."""
        if label not in self._hashes:
            records = [run.record for run in self.by_label[label]]
            own = {_hash(record.experiment, record.science_hash) for record in records}
            self._hashes[label] = _hash(*sorted(own))
        return self._hashes[label]


class Composer:
    """Composes, checks and identifies runs.

    Args:
        folders: The folders of recipes and models, the folder with `config.yaml` first; None for the folders of the
            package `s5` and its plug-ins.

    Attributes:
        warnings: The warnings of `plan_all`: one for each run that is left out, since it equals another run.
    """

    def __init__(self, folders: Sequence[Path] | None = None) -> None:
        self.conf_dirs = folders or conf_dirs()
        self.warnings: list[str] = []
        self._bases: dict[tuple[str, ...], BaseConfig] = {}
        self._groups: dict[str, bool] = {}
        self._sections = Sections()
        self._experiments = frozenset(task_names(self.conf_dirs))

    def plan(self, spec: RunSpec, before: Predecessors | None = None) -> Run:
        """Compose one run.

        Args:
            spec: The run as the sweep file describes it.
            before: The composed runs that this run may wait for; None without such runs.

        Raises:
            ConfigError: If a key, a value or a combination is not allowed; the message names the place in the file.
        """
        before = before or Predecessors()
        if is_program(spec):
            return self._plan_program(spec, before)
        config, source = resolve_source(self.compose(spec), spec, before.by_label, before.blocks)
        try:
            self._sections.check(config)
            config = self._sections.with_absolute_folders(config)
            hashes = [before.hash_of(label) for label in spec.dependencies.requires] if spec.command else []
            identity = identity_of(self._sections.science_hash(config), spec, hashes)
        except (ValueError, TypeError) as error:
            raise combination_error(spec, str(error)) from error
        return Run(record=_record(spec, identity), config=config, spec=spec, source=source, sections=self._sections)

    def _plan_program(self, spec: RunSpec, before: Predecessors) -> Run:
        """Return a run that executes a program with its own parameters."""
        parameters = program_parameters(spec, [_read_override(text, spec) for text in spec.overrides])
        config = program_config(parameters, spec.seed)
        hashes = [before.hash_of(label) for label in spec.dependencies.requires]
        identity = identity_of(config_hash(config, spec), spec, hashes)
        record = replace(_record(spec, identity), parameters=parameters)
        return Run(record=record, config=config, spec=spec, sections=self._sections)

    def plan_all(self, specs: Iterable[RunSpec]) -> list[Run]:
        """Compose every run, each once.

        Args:
            specs: The specs in the order of the sweep. Specs whose configs give the same numbers become one run, with
                the id of the first.
        """
        runs: dict[str, Run] = {}
        for run in self._each(list(specs)):
            spec, key = run.spec, run.record.science_hash
            first = runs.setdefault(key, run)
            if first is not run:
                runs[key] = replace(first, spec=first.spec.joined(spec))
            if None not in (roots := {_root_of(run), _root_of(first)}) and len(roots) > 1:
                raise ConfigError(
                    f"{spec.where}: {run.record.run_id} and {first.record.run_id} differ only in data.root",
                    hint="it says where data lie, and is not part of a run's identity: give each folder a data set of "
                    "its own (a plug-in may have several), or a sweep file of its own",
                )
            if first.record.run_id != run.record.run_id:
                self.warnings.append(
                    f"{spec.where}: {run.record.run_id} is left out: what it sets differently from "
                    f"{first.record.run_id} does not change the numbers"
                )
        return list(runs.values())

    def _each(self, specs: Sequence[RunSpec]) -> list[Run]:
        """Return a run for each spec. Predecessors are composed first, since identities can depend on them."""
        runs: dict[int, Run] = {}
        before = Predecessors(blocks=frozenset(name for spec in specs for name in spec.blocks))
        for index in sorted(range(len(specs)), key=lambda index: specs[index].dependencies.depth):
            runs[index] = run = self.plan(specs[index], before)
            for label in run.spec.dependencies.provides:
                before.by_label.setdefault(label, []).append(run)
        return [runs[index] for index in range(len(specs))]

    def compose(self, spec: RunSpec) -> dict[str, Any]:
        """Return the resolved config of a run as nested plain values; combinations of values are not checked yet."""
        overrides = [_read_override(text, spec) for text in (*spec.overrides, f"seed={spec.seed}")]
        values = [o for o in overrides if o.change is Change.SET and o.package is None and not self._is_choice(o)]
        rest = [o for o in overrides if o not in values]
        try:
            for override in overrides:
                if is_kind(override.key):
                    raise kind_error(override.key, override.value)
            changed = [o.key for o in rest if not self._is_choice(o)]
            if any(_overlap(o.key, key) for o in values for key in changed):
                return plain_values(self._base(spec, overrides).config)
            return self._base(spec, rest).with_values(values)
        except UserError as error:
            raise located_error(spec, error) from error

    def _base(self, spec: RunSpec, overrides: list[Override]) -> BaseConfig:
        """Return the config that Hydra composes with these overrides; equal overrides are composed once."""
        group, name = task_choice(spec.experiment)
        if spec.experiment not in self._experiments:
            raise unknown_option_error(group, name, group_options(group, self.conf_dirs))
        task = () if group in (o.key for o in overrides) else (f"{group}={format_value(name)}",)
        texts = (*task, *(o.text for o in overrides))
        if texts not in self._bases:
            self._bases[texts] = BaseConfig.composed(self.conf_dirs, texts)
        return self._bases[texts]

    def _is_choice(self, override: Override) -> bool:
        """Return whether an override chooses a file of a config group, instead of setting values of a section."""
        key = override.key
        if key not in self._groups:
            self._groups[key] = is_group(key, self.conf_dirs)
        return self._groups[key] and not isinstance(override.value, dict)


def _read_override(text: str, spec: RunSpec) -> Override:
    try:
        override = parse_override(text)
    except GrammarError as error:
        raise ConfigError(f"{spec.where}: {text}: {error}") from error
    if isinstance(override.value, Choices | Interval):
        raise ConfigError(f"{spec.where}: {text}: a run takes one value")
    return override


def _overlap(one: str, other: str) -> bool:
    """Return whether two dotted paths are equal, or one is inside the other."""
    return one == other or one.startswith(f"{other}.") or other.startswith(f"{one}.")


def config_hash(config: Mapping[str, Any], spec: RunSpec) -> str:
    """Return the hash of a run's config: of its scientific part, or of all parameters of a program."""
    return program_hash(config) if is_program(spec) else science_hash(config)


def identity_of(science: str, spec: RunSpec, before: Sequence[str] = ()) -> str:
    """Return the hash of everything that changes the numbers of a run.

    For a training it is the science hash of the config; `train.init_hash` there names the run that it starts from. For
    a command it also includes the command's words and the runs it waits for, since it can read their results.
    """
    if spec.command is None:
        return science
    own = _hash(science, *spec.command)
    return _hash(own, *before) if before else own


def _hash(*words: str) -> str:
    return hashlib.sha256("\0".join(words).encode()).hexdigest()


def _record(spec: RunSpec, identity: str) -> RunRecord:
    """Return the record of a run whose identity is known."""
    return RunRecord(
        run_id=make_run_id(spec.experiment, spec.settings, spec.seed, identity),
        experiment=spec.experiment,
        overrides=spec.overrides,
        settings=spec.settings,
        seed=spec.seed,
        science_version=SCIENCE_VERSION,
        science_hash=identity,
        command=spec.command,
    )


def _root_of(run: Run) -> object:
    """Return the folder of a run's data, as its config names it; None if it names none."""
    data: Mapping[str, Any] = run.config.get("data") or {}
    return data.get("root")
