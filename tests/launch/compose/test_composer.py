"""Composition: the result equals Hydra's, mistakes are explained, and a run's identity stays the same."""

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf

from launch.compose.base_config import BaseConfig
from launch.compose.composer import Composer
from launch.errors import ConfigError
from launch.specs.resources import Resources
from launch.sweepfile.runs import RunSpec
from launch.sweepfile.sweep import load_sweep, single_run
from s5.config.identity import from_dict, science_hash, to_dict
from s5.config.run import Config
from s5.config.search_path import CONF_DIR, experiment_names
from s5.errors import UserError

ROOT = Path(__file__).parents[3]
COMPOSER = Composer()
EXPERIMENTS = experiment_names()


def spec(
    *overrides: Any,
    experiment: str = "digits/s5",
    seed: int = 0,
    settings: dict[str, Any] | None = None,
    command: Any = None,
    places: Any = None,
) -> RunSpec:
    return RunSpec(
        experiment=experiment,
        overrides=overrides,
        settings=settings or {},
        seed=seed,
        resources=Resources(),
        command=command,
        where="x.yaml",
        places=places or {},
    )


@pytest.fixture(scope="module")
def groups(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a configuration folder with groups and interpolations."""
    conf = tmp_path_factory.mktemp("a 'conf' foldér")
    files = {
        "config.yaml": "defaults: [schema, model: s5, _self_, {optional experiment: null}, {optional size: null}]\n",
        "experiment/plain.yaml": "# @package _global_\nrecipe: plain\nmodel: {d_model: 32}\n",
        "experiment/linked.yaml": "# @package _global_\nmodel: {d_model: 32, d_state: '${model.d_model}'}\n",
        "size/small.yaml": "# @package _global_\nmodel: {d_model: 8, n_layers: 1}\n",
        "size/large.yaml": "# @package _global_\nmodel: {d_model: 64, n_layers: 3}\ntrain: {epochs: 2}\n",
    }
    for name, text in files.items():
        (conf / name).parent.mkdir(exist_ok=True)
        (conf / name).write_text(text)
    return conf


@pytest.fixture(scope="module")
def composer(groups: Path) -> Composer:
    """Return one composer for all examples, since an example must not change the result of the next."""
    return Composer([groups])


def whole(conf_dir, run) -> dict[str, Any]:
    """Compose all overrides by Hydra at once."""
    texts = (f"experiment={run.experiment}", *run.overrides, f"seed={run.seed}")
    return BaseConfig.composed([conf_dir], texts).updated([])


def outcome(compose) -> Any | str:
    try:
        return compose()
    except (ConfigError, UserError):
        return "refused"


VALUES = [
    ("optim.lr", ["1e-3", "3", "1e-05", "'2e-2'", "null", "fast", "${optim.ssm_lr}", "inf", "true", "-1", "''"]),
    ("model.d_state", ["16", "8.0", "8.5", "'32'", "null", "true", "1_000", "${model.d_model}", "[1]"]),
    ("model.norm", ["batch", "layer", "'layer'", "instance", "null", "1", "0", "Norm.layer"]),
    ("model.conj_sym", ["true", "no", "'off'", "1", "0", "2", "null", "maybe"]),
    ("data.name", ["digits", "'a b'", "'it\\'s'", "12", "1.50", "null", "true", "'é\n'", "???", "'???'", "'1'"]),
    ("data.root", ["null", "/a/b", "'null'", "''", "~/data"]),
    ("train.early_stop_epochs", ["null", "3", "none", "3.0"]),
    ("train.epochs", ["4", "range"]),
    ("train.batch_size", ["auto", "32", "'32'", "1.5", "null", "0", "${train.epochs}"]),
    ("size", ["small", "large", "tiny", "null"]),
    ("model.d_stat", ["3"]),
    ("optim.lr_of.log_step", ["0.02", "null", "fast"]),
    ("optim.lr_of", ["{D: 1, 'B_*': 0}", "{B_*: 0}", "{}", "null", "3"]),
    ("model", ["{d_model: 4}", "{d_model: 4, norm: layer}", "3", "null", "{nothing: 1}"]),
    ("extra.thing", ["1"]),
    ("platform", ["cpu", "gpu"]),
]
override = st.sampled_from(VALUES).flatmap(
    lambda pair: st.tuples(
        st.sampled_from(["", "", "", "", "", "+", "++"]), st.just(pair[0]), st.sampled_from(pair[1])
    ).map(lambda parts: f"{parts[0]}{parts[1]}={parts[2]}")
) | st.sampled_from(["~model.dropout", "~data.root", "~model", "~nothing", "~experiment"])


@settings(deadline=None, max_examples=30)
@given(
    experiment=st.sampled_from(["plain", "plain", "linked"]),
    overrides=st.lists(override, max_size=5),
    seed=st.integers(0, 3),
)
def test_the_fast_way_is_hydras(groups: Path, composer: Composer, experiment, overrides, seed: int) -> None:
    run = spec(*overrides, experiment=experiment, seed=seed)
    expected = outcome(lambda: whole(groups, run))
    found = outcome(lambda: composer.compose(run))
    assert found == expected
    assert repr(found) == repr(expected)  # 1 is not 1.0


@settings(deadline=None, max_examples=15)
@given(data=st.data())
def test_allowed_values_of_every_field_are_set_as_hydra_sets_them(data) -> None:
    """The same for the real recipes, with nothing but values that are allowed, so that none of it is refused."""
    config = COMPOSER.compose(spec())
    texts = []
    for section in data.draw(st.lists(st.sampled_from(["model", "optim", "train"]), max_size=4)):
        key = data.draw(st.sampled_from(sorted(config[section])))
        value = config[section][key]
        if isinstance(value, bool):
            text = data.draw(st.sampled_from(["true", "false", "1", "'no'"]))
        elif isinstance(value, int):
            text = str(data.draw(st.integers(1, 10**4)))
        elif isinstance(value, float):
            text = repr(data.draw(st.floats(1e-9, 1e3) | st.integers(1, 9)))
        else:
            continue
        texts.append(f"{section}.{key}={text}")
    recipes = [name for name in EXPERIMENTS if not name.endswith(("_s4", "_dss"))]  # S5's, which have these keys
    run = spec(*texts, experiment=data.draw(st.sampled_from(recipes)), seed=data.draw(st.integers(0, 9)))
    found = COMPOSER.compose(run)
    assert repr(found) == repr(whole(CONF_DIR, run))


def test_plain_values_cost_one_composition(monkeypatch: pytest.MonkeyPatch) -> None:
    composed, whole = [], BaseConfig.composed
    monkeypatch.setattr(BaseConfig, "composed", lambda *args: composed.append(args) or whole(*args))
    composer = Composer()
    composer.plan_all([spec(f"optim.lr={i}e-4", f"model.n_layers={i}", seed=i) for i in range(1, 50)])
    assert len(composed) == 1


def test_a_run_is_what_the_training_reads(tmp_path: Path) -> None:
    run = COMPOSER.plan(spec("optim.lr=1e-05", "model.norm=layer", "data.root='/a b/é'", seed=4))
    assert run.config == to_dict(from_dict(Config, run.config))
    assert run.record.science_hash == science_hash(run.config)
    (tmp_path / "config.yaml").write_text(run.config_text())
    assert OmegaConf.to_container(OmegaConf.load(tmp_path / "config.yaml")) == run.config
    assert (run.config["optim"]["lr"], run.config["seed"], run.config["recipe"]) == (1e-05, 4, "digits/s5")


def test_what_is_no_science_leaves_the_identity_alone() -> None:
    one, other = COMPOSER.plan(spec()), COMPOSER.plan(spec("platform=cpu", "wandb.mode=offline", "data.root=/x"))
    assert one.record.science_hash == other.record.science_hash
    assert COMPOSER.plan(spec("optim.lr=0.01")).record.science_hash == one.record.science_hash  # the recipe's own
    changed = [spec("optim.lr=0.02"), spec(seed=1), spec(command=("echo",)), spec(command=("echo", "a"))]
    assert len({COMPOSER.plan(s).record.science_hash for s in changed} | {one.record.science_hash}) == 5


def test_relative_folders_of_data_are_stored_as_what_they_mean(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    monkeypatch.setenv("LAUNCH_CWD", "/typed/here")
    one = COMPOSER.plan(spec("data.root=raw", "data.cache=../converted"))
    monkeypatch.setenv("LAUNCH_CWD", "/somewhere/else")
    other = COMPOSER.plan(spec("data.root=/typed/here/raw", "data.cache='~/converted'"))
    assert (one.config["data"]["root"], one.config["data"]["cache"]) == ("/typed/here/raw", "/typed/here/../converted")
    assert (other.config["data"]["root"], other.config["data"]["cache"]) == ("/typed/here/raw", "/home/me/converted")
    assert one.record.science_hash == other.record.science_hash == COMPOSER.plan(spec()).record.science_hash
    assert COMPOSER.plan(spec()).config["data"]["root"] is None


def test_specs_with_the_same_numbers_are_one_run() -> None:
    composer = Composer()
    same = spec("platform=cpu", settings={"platform": "cpu"})
    runs = composer.plan_all([spec(), spec(), same, spec(seed=1)])
    assert [run.record.seed for run in runs] == [0, 1]
    assert len(composer.warnings) == 1
    assert "does not change the numbers" in composer.warnings[0]


MISTAKES = {
    "unknown key": (
        "base: {optim.lrr: 1}",
        "base.optim.lrr: unknown key; did you mean optim.lr?",
        "the keys of optim are clip_norm, dt_global, groups, l",
    ),
    "unknown key of the root": ("base: {sede: 1}", "base.sede: unknown key; did you mean seed?", "platform"),
    "part of a key": ("base: {lr: 1}", "base.lr: unknown key; did you mean optim.lr?", None),
    "unknown section": (
        "grid: {modle.d_state: [1]}",
        "grid.modle.d_state: unknown key; did you mean model.d_state?",
        None,
    ),
    "a section is not a value": ("base: {optim: 3}", "base.optim: this is a section, not a value", "groups, l"),
    "unknown key in a mapping": (
        "base: {model: '{n_layer: 1}'}",
        "base.model: model.n_layer: unknown key; did you mean model.n_layers?",
        None,
    ),
    "text for a number": ("grid: {optim.lr: [fast]}", "grid.optim.lr: 'fast' is not a number", "takes a number, "),
    "a fraction for a whole number": (
        "grid: {model.n_layers: [1.5]}",
        "grid.model.n_layers: 1.5 is not a whole number",
        "model.n_layers takes a whole number, at least 1; the default is",
    ),
    "a list for a number": (
        "base: {optim.lr: [1, 2]}",
        "base.optim.lr: a list is not a number",
        "vary optim.lr under grid",
    ),
    "null where there must be a value": ("base: {optim.lr: null}", "base.optim.lr: null is not a number", None),
    "text where there may be none": (
        "base: {train.early_stop_epochs: never}",
        "base.train.early_stop_epochs: 'never' is not a whole number or null",
        "train.early_stop_epochs takes a whole number, at least 1, or null; the default is null",
    ),
    "text for a switch": ("base: {model.conj_sym: maybe}", "base.model.conj_sym: 'maybe' is not true or false", None),
    "unknown choice": (
        "zip: {model.norm: [bach]}",
        "zip.model.norm: 'bach' is not one of batch, layer, instance, group, none; did you mean batch?",
        None,
    ),
    "a negative rate": ("base: {optim.lr: -1}", "base.optim.lr: optim.lr=-1.0", None),
    "impossible together": (
        "grid: {model.d_state: [16, 24], model.n_blocks: [4, 5]}",
        "grid.model.n_blocks: model.d_state=16 is not divisible by model.n_blocks=5",
        "`exclude: [{model.d_state: 16, model.n_blocks: 5}]`",
    ),
    "an addition that the schema has no place for": (
        "base: {+model.layers: 3}",
        "base.+model.layers: unknown key; did you mean model.n_layers?",
        None,
    ),
    "an addition to the root": ("base: {+foo: 1}", "base.+foo: unknown key", "the keys are compat, data.…, model.…"),
    "a deletion of nothing": ("base: {~nothing.there: null}", "nothing.there", None),
    "a deletion of a value": ("base: {~model.norm: null}", "model.norm: this key cannot be deleted", "another value"),
    "a deletion of a section": ("base: {~model: null}", "model: this key cannot be deleted", None),
    "an interpolation into nothing": (
        "base: {optim.lr: '${optim.nothing}'}",
        "optim.lr: Interpolation key 'optim.nothing' not found",
        None,
    ),
    "not a number": (
        "base: {optim.weight_decay: nan}",
        "base.optim.weight_decay: optim.weight_decay=nan must be a finite number",
        None,
    ),
}


@pytest.mark.parametrize(("text", "message", "hint"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_explained(tmp_path: Path, text: str, message: str, hint: str) -> None:
    file = tmp_path / "x.yaml"
    file.write_text(f"experiment: digits/s5\n{text}\n")
    with pytest.raises(ConfigError) as caught:
        COMPOSER.plan_all(load_sweep(file).runs)
    assert caught.value.message.startswith(f"{file}: ")
    assert message in caught.value.message
    assert "\n" not in caught.value.message
    assert hint is None or hint in (caught.value.hint or "")


RECIPE_MISTAKES = {
    # The two parsers of PyYAML have different words for it.
    "not YAML": (
        "epochs: 25",
        "epochs: [25",
        re.compile(r": line 20, column 13: (did not find )?expected ',' or '\]'"),
    ),
    "unknown key": ("epochs: 25", "epoch: 25", ": train.epoch: unknown key; did you mean train.epochs?"),
    "unknown section": ("optim:", "otpim:", ": otpim: unknown key; did you mean optim?"),
    "text for a whole number": ("epochs: 25", "epochs: many", ": train.epochs: 'many' is not a whole number"),
    "a value for a section": ("data:\n  name: digits", "data: 3", ": "),
    "unknown model": ("s5-digits", "s5-digit", ": model: unknown model 's5-digit'; did you mean s5-digits?"),
    "unknown key of a model": ("n_layers: 2", "n_layer: 2", ": model.n_layer: unknown key; did you mean"),
    "unknown base of a model": ("- s5\n", "- s55\n", ": model: unknown model 's55'; did you mean s5?"),
}


@pytest.mark.parametrize(("old", "new", "message"), RECIPE_MISTAKES.values(), ids=RECIPE_MISTAKES)
def test_a_mistake_in_a_recipe_names_the_recipe(
    tmp_path: Path, old: str, new: str, message: str | re.Pattern[str]
) -> None:
    conf = shutil.copytree(CONF_DIR, tmp_path / "conf")
    (recipe,) = (
        file for file in (conf / "experiment/digits/s5.yaml", conf / "model/s5-digits.yaml") if old in file.read_text()
    )
    recipe.write_text(recipe.read_text().replace(old, new, 1))
    with pytest.raises(ConfigError) as caught:
        Composer([conf]).plan(spec())
    assert caught.value.message.startswith(str(recipe))
    said = caught.value.message.removeprefix(str(recipe))
    assert message.match(said) if isinstance(message, re.Pattern) else said.startswith(message)
    assert "\n" not in said


def test_an_unknown_experiment_shows_the_nearest_and_all(tmp_path: Path) -> None:
    file = tmp_path / "x.yaml"
    file.write_text("blocks:\n  - experiment: [digits/s5, digits/s4]\n")
    with pytest.raises(ConfigError) as caught:
        COMPOSER.plan_all(load_sweep(file).runs)
    expected = f"{file}: blocks[0].experiment: unknown experiment 'digits/s4'; did you mean digits/s5?"
    assert caught.value.message == expected
    assert "digits/s5" in (caught.value.hint or "")
    for hostile in ("../../etc", "a\nb", "", "digits", "digits/s5.yaml", "'"):
        with pytest.raises(ConfigError, match="unknown experiment"):
            COMPOSER.plan(spec(experiment=hostile))


def test_a_value_that_must_be_given_is_asked_for() -> None:
    with pytest.raises(ConfigError, match=r"x\.yaml: model\.d_model: a value is needed"):
        COMPOSER.plan(spec("model.d_model='???'"))


def test_interpolations_are_resolved_and_cannot_be_stored_as_text(groups: Path) -> None:
    linked = Composer([groups]).plan_all([spec(f"model.d_model={n}", experiment="linked") for n in (16, 64)])
    assert [run.config["model"]["d_state"] for run in linked] == [16, 64]
    with pytest.raises(ConfigError, match="which a config cannot store"):
        COMPOSER.plan(spec(r"data.root='\${home}'"))


def test_a_mistake_on_the_command_line_names_it(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^command line: optim\.lrr: unknown key; did you mean optim\.lr\?"):
        COMPOSER.plan_all(single_run("digits/s5", ["optim.lrr=1"]).runs)


def test_planning_imports_neither_jax_nor_numpy() -> None:
    code = (
        "import sys; from launch.compose.composer import Composer; from launch.sweepfile.sweep import single_run\n"
        "Composer().plan_all(single_run('digits/s5').runs)\n"
        "print([m for m in ('jax', 'flax', 'numpy', 'torch', 'wandb') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout == "[]\n"
