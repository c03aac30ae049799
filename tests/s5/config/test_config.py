from dataclasses import is_dataclass
from pathlib import Path
from typing import get_args, get_type_hints

import pytest

from s5.config.choices import CompatWith, Encoder, Likelihood, Platform, Precision, Times
from s5.config.compose import compose
from s5.config.config_file import config_text, read_config
from s5.config.data import DataConfig
from s5.config.families import S5Config
from s5.config.identity import from_dict, science_hash, science_subset, to_dict
from s5.config.run import Config
from s5.config.training import OptimConfig, TrainConfig
from s5.errors import UserError


def test_a_config_survives_its_file(tmp_path: Path) -> None:
    config = compose(["experiment=digits/s5", "optim.lr=1e-3", "data.permutation=bit_reversal", "seed=7"])
    (tmp_path / "config.yaml").write_text(config_text(config))
    assert read_config(tmp_path) == config
    assert from_dict(Config, to_dict(config)) == config


def test_identity_is_what_changes_the_numbers() -> None:
    plain = science_hash(to_dict(Config()))
    assert science_hash(to_dict(Config(platform=Platform.cpu, recipe="x"))) == plain
    assert science_hash(to_dict(Config(seed=1))) != plain
    assert science_hash(to_dict(Config(model=S5Config(dropout=0.5)))) != plain
    subset = science_subset(to_dict(Config()))
    assert "wandb" not in subset
    assert "root" not in subset["data"]
    assert "log_every_steps" not in subset["train"]


def test_learning_rates_by_name_are_a_mapping_that_overrides_merge(tmp_path: Path) -> None:
    config = compose(["optim.lr_of={log_step: 0.02, B_*: 0}", "optim.lr_of.D=1e-3", "optim.lr_of.log_step=null"])
    assert config.optim.lr_of == {"log_step": None, "B_*": 0.0, "D": 1e-3}
    (tmp_path / "config.yaml").write_text(config_text(config))
    assert read_config(tmp_path) == config
    assert science_hash(to_dict(compose(["optim.lr_of={}"]))) == science_hash(to_dict(Config()))
    assert science_hash(to_dict(config)) != science_hash(to_dict(Config()))


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("model.d_stat=3", ["model.d_stat", "unknown key", "did you mean model.d_state?"]),
        ("optim.learning_rate=1", ["optim.learning_rate", "did you mean optim.lr?"]),
        ("modle.d_state=3", ["modle.d_state", "did you mean model.d_state?"]),
        ("experiment=digit/s5", ["unknown experiment", "digit/s5", "did you mean digits/s5?"]),
        ("model.n_layers=three", ["three", "model.n_layers"]),
        ("model.norm=spectral", ["spectral", "batch", "layer"]),
        ("model.dropout=2", ["model.dropout=2", "below 1"]),
        ("model.n_blocks=3", ["model.n_blocks=3", "divisible"]),
        ("model.d_state=0", ["model.d_state=0", "at least 1"]),
        ("optim.lr_min=1", ["optim.lr_min=1", "optim.lr"]),
        ("optim.lr_of.log_step=fast", ["optim.lr_of.log_step", "fast"]),
        ("optim.lr_of={D: -1}", ["optim.lr_of: D=-1.0", "at least 0"]),
        ("seed=4294967296", ["seed=4294967296", "below 2^32"]),  # to JAX it would be 0
        ("data.split_seed=18446744073709551616", ["data.split_seed=", "below 2^64"]),
        ("model.d_state=[", ["model.d_state=["]),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_mistake_is_explained(override: str, words: list[str]) -> None:
    with pytest.raises(UserError) as caught:
        compose([override])
    for word in words:
        assert word in caught.value.message


FLOATS = [
    f"{section}.{name}"
    for section, kind in {**get_type_hints(Config), "model": S5Config}.items()
    if is_dataclass(kind)
    for name, hint in get_type_hints(kind).items()
    if hint is float or float in get_args(hint)
]


def test_the_floats_of_the_config_stand_in_sections_and_are_found() -> None:
    assert {"model.dt_max", "optim.lr", "optim.warmup_epochs"} <= set(FLOATS)
    assert float not in get_type_hints(Config).values()


@pytest.mark.parametrize("value", ["nan", "inf", "-inf"])
@pytest.mark.parametrize("key", FLOATS)
def test_a_number_that_is_not_finite_is_refused_by_its_key(key: str, value: str) -> None:
    section, name = key.split(".")
    with pytest.raises(ValueError, match=rf"^{key}=-?(nan|inf) must be a finite number$"):
        from_dict(Config, {section: {name: float(value)}})


def test_a_number_that_is_not_finite_is_a_mistake_and_no_traceback() -> None:
    with pytest.raises(UserError, match=r"optim\.lr=nan must be a finite number"):
        compose(["experiment=digits/s5", "optim.lr=nan"])


@pytest.mark.parametrize(
    ("text", "wrong"),
    [("model: [", "config.yaml"), ("modle: {}", "modle"), ("- 1", "not a mapping"), ("seed: -1", "seed=-1")],
    ids=["yaml", "key", "list", "value"],
)
def test_a_bad_config_file_is_named(tmp_path: Path, text: str, wrong: str) -> None:
    (tmp_path / "config.yaml").write_text(text)
    with pytest.raises(UserError, match=wrong) as caught:
        read_config(tmp_path)
    assert str(tmp_path / "config.yaml") in caught.value.message


def test_a_missing_config_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file"):
        read_config(tmp_path)


def test_a_field_that_was_added_later_leaves_a_stored_run_its_identity() -> None:
    values = to_dict(Config())
    stored = to_dict(Config())
    del stored["compat"], stored["model"]["precision"], stored["optim"]["clip_norm"], stored["train"]["microbatches"]
    del stored["data"]["zero_shot"], stored["data"]["zero_shot_rescale"], stored["data"]["version"]
    del stored["data"]["zero_shot_version"]
    del stored["model"]["encoder"], stored["model"]["times"], stored["model"]["likelihood"]
    assert science_hash(values) == science_hash(stored)
    for changed in (
        Config(compat=CompatWith.upstream),
        Config(model=S5Config(precision=Precision.bfloat16)),
        Config(data=DataConfig(zero_shot="mnist")),
        Config(data=DataConfig(version=2)),
        Config(data=DataConfig(zero_shot_version=2)),
        Config(model=S5Config(encoder=Encoder.picture)),
        Config(model=S5Config(times=Times.append)),
        Config(model=S5Config(likelihood=Likelihood.gaussian)),
        Config(optim=OptimConfig(clip_norm=1.0)),
        Config(train=TrainConfig(microbatches=2)),
    ):
        assert science_hash(to_dict(changed)) != science_hash(values)
