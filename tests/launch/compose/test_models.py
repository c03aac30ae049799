"""Sweep files choose models by the group `model`, and reject keys of another family."""

from pathlib import Path

import pytest

from launch.compose.composer import Composer
from launch.compose.run import Run
from launch.errors import ConfigError
from launch.sweepfile.sweep import load_sweep, single_run
from s5.config.compose import compose
from s5.config.identity import science_hash, to_dict
from tests import toy_families


@pytest.fixture(autouse=True)
def toys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    toy_families.install(tmp_path / "plug-in", monkeypatch)


def planned(tmp_path: Path, text: str) -> list[Run]:
    file = tmp_path / "x.yaml"
    file.write_text(f"experiment: digits/s5\n{text}\n")
    return Composer().plan_all(load_sweep(file).runs)


def test_a_sweep_varies_the_model_and_names_it_in_the_runs_ids(tmp_path: Path) -> None:
    runs = planned(tmp_path, "grid: {model: [s5-digits, s5, toy], optim.lr: [1e-3, 2e-3]}")
    assert [run.config["model"]["kind"] for run in runs] == ["s5", "s5", "s5", "s5", "toy", "toy"]
    assert runs[0].config["model"]["n_blocks"] == 4 and runs[2].config["model"]["n_blocks"] == 8
    assert [run.record.settings["model"] for run in runs[::2]] == ["s5-digits", "s5", "toy"]
    assert runs[4].record.run_id.startswith("digits-s5-model=toy-lr=0.001-s0-")
    alone = compose(["experiment=digits/s5", "model=toy", "optim.lr=1e-3"])
    assert runs[4].record.science_hash == science_hash(to_dict(alone))


def test_a_sweep_sets_keys_of_the_chosen_model_and_of_the_model_inside(tmp_path: Path) -> None:
    (run,) = planned(tmp_path, "base: {model: toy, model.forget: 0.75, model.n_layers: 2}")
    assert (run.config["model"]["forget"], run.config["model"]["n_layers"]) == (0.75, 2)
    inner = planned(tmp_path, "base: {model: outer, model/layer: s5}\ngrid: {model.layer.n_blocks: [2, 4]}")
    assert [run.config["model"]["layer"]["n_blocks"] for run in inner] == [2, 4]
    assert planned(tmp_path, "base: {model: {n_layers: 1}}")[0].config["model"]["n_layers"] == 1


MISTAKES = {
    "a key of another family": (
        "base: {model: toy, model.n_blocks: 2}",
        "base.model.n_blocks: the family toy has no such key; it has forget",
        "n_blocks is a key of model=s5",
    ),
    "a key of another family for some runs": (
        "grid: {model: [s5, toy], model.n_blocks: [2]}",
        "grid.model.n_blocks: the family toy has no such key; it has forget",
        "n_blocks is a key of model=s5",
    ),
    "an unknown model": (
        "grid: {model: [toy-digts]}",
        "grid.model: unknown model 'toy-digts'; did you mean toy-digits?",
        "the models are dss, dss-digits, ",
    ),
    "a number for a model": ("base: {model: 3}", "base.model: unknown model '3'", "the models are "),
    "the kind": ("base: {model.kind: toy}", "base.model.kind: this key cannot choose the family", "model=toy"),
    "the kind of a layer": (
        "base: {model: outer, model.layer.kind: toy}",
        "base.model.layer.kind: this key cannot choose the family",
        "model/layer=toy",
    ),
    "a check of a layer": (
        "base: {model: outer}\ngrid: {model.layer.n_blocks: [7]}",
        "grid.model.layer.n_blocks: model.layer.d_state=256 is not divisible by model.layer.n_blocks=7",
        None,
    ),
}


@pytest.mark.parametrize(("text", "message", "hint"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_explained(tmp_path: Path, text: str, message: str, hint: str | None) -> None:
    with pytest.raises(ConfigError) as caught:
        planned(tmp_path, text)
    assert message in caught.value.message
    assert "\n" not in caught.value.message
    assert hint is None or hint in (caught.value.hint or "")


@pytest.mark.parametrize("word", ["model.kind=toy", "+model.kind=toy", "model.n_blocks=2"])
def test_a_mistake_on_the_command_line_names_it(word: str) -> None:
    key = word.partition("=")[0].lstrip("+")
    with pytest.raises(ConfigError, match=rf"^command line: {key}: (this key cannot|the family toy has no)"):
        Composer().plan_all(single_run("digits/s5", ["model=toy", word]).runs)
