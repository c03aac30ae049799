"""Obstacles that are found before anything starts: missing data, and models that cannot read the data."""

import re
from pathlib import Path
from typing import Any

import pytest

from launch.compose.composer import Composer
from launch.compose.preflight import find_obstacles
from launch.errors import ConfigError, LaunchError, raise_all
from launch.sweepfile.sweep import load_sweep

COMPOSER = Composer()


def check_data(runs, **variables: Any) -> None:
    raise_all(find_obstacles(runs, variables))


def test_missing_data_is_found_before_anything_starts(tmp_path: Path) -> None:
    file = tmp_path / "x.yaml"
    file.write_text("experiment: digits/s5\nblocks:\n  - seeds: 1\n  - base: {data.name: mnist, data.root: /nowhere}\n")
    runs = COMPOSER.plan_all(load_sweep(file).runs)
    check_data(runs[:1])
    with pytest.raises(LaunchError) as caught:
        check_data(runs)
    assert caught.value.message.startswith(f"{file}: blocks[1].base.data.name: data set mnist: its files are missing")
    assert "/nowhere" in caught.value.message
    assert "sha256" in caught.value.message
    file.write_text("experiment: digits/s5\nbase: {data.name: mnits}\n")
    with pytest.raises(LaunchError, match="mnist"):
        check_data(COMPOSER.plan_all(load_sweep(file).runs))
    file.write_text("experiment: digits/s5\nbase: {data.name: nothing}\ncommand: [echo]\n")
    check_data(COMPOSER.plan_all(load_sweep(file).runs))


def test_a_batch_larger_than_the_training_split_is_found_before_anything_starts(tmp_path: Path) -> None:
    file = tmp_path / "x.yaml"
    file.write_text("experiment: digits/s5\ngrid: {train.batch_size: [1257, 1258]}\n")
    runs = COMPOSER.plan_all(load_sweep(file).runs)
    check_data(runs[:1])
    with pytest.raises(ConfigError) as caught:
        check_data(runs)
    assert caught.value.message.startswith(f"{file}: grid.train.batch_size: train.batch_size=1258: ")
    assert "1,257 training examples of digits" in caught.value.message
    assert caught.value.hint == "choose 1 to 1257"
    file.write_text("experiment: digits/s5\nbase: {train.batch_size: 9999}\ncommand: [echo]\n")
    check_data(COMPOSER.plan_all(load_sweep(file).runs))


def test_all_missing_data_are_told_at_once_and_those_of_the_same_files_once(tmp_path: Path) -> None:
    file = tmp_path / "x.yaml"
    file.write_text(
        f"base: {{data.root: {tmp_path}, data.cache: {tmp_path}}}\nexperiment: [lra/text, speech/sc35, digits/s5]\n"
    )
    runs = COMPOSER.plan_all(load_sweep(file).runs)
    obstacles = find_obstacles(runs, {})
    assert [re.search(r"data set (\w+): its files", one.message)[1] for one in obstacles] == [
        "imdb",
        "speech_commands35",
    ]
    with pytest.raises(ConfigError) as caught:
        raise_all(obstacles)
    assert caught.value.message.startswith("2 problems must be solved first:\n\n")
    assert all(one.message in caught.value.message and one.hint in caught.value.message for one in obstacles)


def test_the_data_that_a_model_is_tested_on_without_training_are_needed_too(tmp_path: Path) -> None:
    file = tmp_path / "x.yaml"
    file.write_text("experiment: digits/s5\nbase: {data.zero_shot: mnist5, data.zero_shot_rescale: 2}\n")
    with pytest.raises(ConfigError, match=r"base\.data\.zero_shot: .*mnist5: unknown data set; did you mean mnist5k"):
        check_data(COMPOSER.plan_all(load_sweep(file).runs))


@pytest.mark.parametrize(
    ("experiment", "setting", "words"),
    [
        ("digits/s5", "model.encoder: picture", "model.encoder=picture: a step must be a square picture"),
        (
            "standin/spamassassin_bytes",
            "model.encoder: picture",
            "model.encoder=picture: .*, but here a step is a token",
        ),
        ("standin/spamassassin_bytes", "model.times: append", "model.times=append: .*, but here a step is a token"),
        ("digits/s5", "model.times: append", "model.times=append: all intervals of these data are 1"),
        ("digits/s5", "model.times: ignore", "model.times=ignore: all intervals of these data are 1"),
        ("digits/s5", "model.likelihood: gaussian", "model.likelihood=gaussian: needs a regression"),
        ("digits/s5", "model.l_max: 32, model: dss", "model.l_max=32: model.version=softmax .* the sequences have 64"),
    ],
)
def test_a_model_that_cannot_read_the_data_is_found_before_anything_starts(
    tmp_path: Path, experiment: str, setting: str, words: str
) -> None:
    file = tmp_path / "x.yaml"
    file.write_text(f"experiment: {experiment}\nbase: {{{setting}}}\n")
    found = find_obstacles(COMPOSER.plan_all(load_sweep(file).runs), {})[-1].message  # the data may be missing too
    name = "digits" if experiment == "digits/s5" else "spamassassin_bytes"
    assert re.fullmatch(rf".*base\.{setting.partition(':')[0]}: {words}.* \(data\.name={name}\)", found)


def test_irregular_data_are_refused_for_a_family_that_needs_regular_steps(tmp_path: Path) -> None:
    file = tmp_path / "x.yaml"
    file.write_text("experiment: pendulum/s5\nbase: {model: s4}\ngrid: {model.times: [steps, append]}\n")
    refused = [one for one in find_obstacles(COMPOSER.plan_all(load_sweep(file).runs), {}) if "times" in one.message]
    (hint,) = (one.hint for one in refused)
    assert hint is not None and hint.startswith("these families take times: s5, s4d, dss, lru")
    assert "model.times=steps: the family s4 needs regular steps" in refused[0].message


def test_answers_for_each_step_are_refused_for_layers_that_shorten_the_sequences(tmp_path: Path) -> None:
    file = tmp_path / "x.yaml"
    file.write_text("experiment: pendulum/s5\ngrid: {model.layer_pooling: [avg, none]}\n")
    obstacles = find_obstacles(COMPOSER.plan_all(load_sweep(file).runs), {})
    (refused,) = (one for one in obstacles if "layer_pooling" in one.message)
    assert "model.layer_pooling=avg: shortens the sequences, but a regression has an answer" in refused.message
    assert refused.hint == "the recipe digits/s5 has data with one answer for a sequence"


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        (
            "data.zero_shot: pendulum",
            "data.zero_shot=pendulum: it is a regression of steps of 576 at .* 2 values a step, ",
        ),
        ("data.zero_shot: mnist5k, data.permutation: bit_reversal", None),
        (
            "data.name: pendulum, data.permutation: bit_reversal",
            "data.permutation=bit_reversal: pendulum is not a data set",
        ),
        ("data.name: pendulum", None),
        ("data.version: 2", "data.version=2: digits is version 1 in this code"),
        ("data.name: pathfinder32_regenerated_20k, data.version: 2", None),
        ("data.zero_shot: mnist5k, data.zero_shot_version: 3", "data.zero_shot_version=3: mnist5k is version 1"),
    ],
)
def test_data_of_another_kind_are_found_before_anything_starts(tmp_path: Path, setting: str, words: str | None) -> None:
    file = tmp_path / "x.yaml"
    file.write_text(f"experiment: digits/s5\nbase: {{{setting}, data.cache: {tmp_path}}}\n")
    found = [error.message for error in find_obstacles(COMPOSER.plan_all(load_sweep(file).runs), {})]
    found = [message for message in found if ": data set " not in message]  # pendulum has not been made here
    assert len(found) == (words is not None)
    assert words is None or re.match(rf".*base\.(data\.\w+): {words}", found[0])


def test_a_factor_for_data_that_are_not_named_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "x.yaml"
    file.write_text("experiment: digits/s5\nbase: {data.zero_shot_rescale: 2}\n")
    with pytest.raises(ConfigError, match=r"data\.zero_shot_rescale=2\.0 needs data\.zero_shot, which is null"):
        COMPOSER.plan_all(load_sweep(file).runs)


@pytest.mark.parametrize(
    ("asked", "variables", "there"),
    [
        ("{}", {}, 1),
        ("{cpus_per_task: 8}", {}, 1),
        ("{}", {"XLA_FLAGS": "--a --xla_force_host_platform_device_count=4"}, 4),
        ("{gpus_per_node: 4}", {}, 4),
        ("{gpus_per_node: 4, tasks_per_node: 2}", {}, 2),
    ],
)
def test_more_devices_than_a_process_will_have_are_refused_before_anything_starts(
    tmp_path: Path, asked: str, variables: dict[str, Any], there: int
) -> None:
    file = tmp_path / "x.yaml"
    file.write_text(f"experiment: digits/s5\ngrid: {{train.devices: [{there}, {there + 1}]}}\nresources: {asked}\n")
    runs = COMPOSER.plan_all(load_sweep(file).runs)
    check_data(runs[:1], **variables)
    runs = COMPOSER.plan_all(load_sweep(file, ["train.devices=9"]).runs)
    with pytest.raises(ConfigError) as caught:
        check_data(runs, **variables)
    assert f"train.devices=9: a process of this run has {there} device" in caught.value.message
    assert f"choose 1 to {there}" in caught.value.hint


def test_all_mistakes_are_told_at_once_and_equal_ones_once(tmp_path: Path) -> None:
    file = tmp_path / "x.yaml"
    file.write_text("experiment: digits/s5\nseeds: 2\nbase: {train.devices: 3, train.batch_size: 9999}\n")
    obstacles = find_obstacles(COMPOSER.plan_all(load_sweep(file).runs), {})
    assert [re.search(r"base\.[\w.]+", one.message)[0] for one in obstacles] == [
        "base.train.batch_size",
        "base.train.devices",
    ]
