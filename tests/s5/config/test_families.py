"""Model families: chosen by the group `model`, checked by their own keys, nested, and registered by plug-ins."""

from pathlib import Path

import pytest

from s5.config.compose import compose
from s5.config.config_file import config_text, read_config
from s5.config.families import FAMILIES, S5Config, register_family
from s5.config.identity import from_dict, is_science, science_hash, to_dict
from s5.config.model import ModelConfig
from s5.config.run import Config
from s5.config.search_path import CONF_DIR, experiment_names
from s5.errors import UserError
from tests import toy_families
from tests.toy_families import OuterConfig, ToyConfig

MODELS = sorted(path.stem for path in (CONF_DIR / "model").glob("*.yaml"))


@pytest.fixture(autouse=True)
def toys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    toy_families.install(tmp_path / "a 'plug-in' foldér", monkeypatch)


def test_a_model_is_swapped_under_a_task() -> None:
    own = compose(["experiment=digits/s5"])
    listops = compose(["experiment=digits/s5", "model=s5-listops"])
    assert listops.model == compose(["experiment=lra/listops"]).model != own.model
    assert (listops.data, listops.optim, listops.train) == (own.data, own.optim, own.train)
    assert compose(["experiment=digits/s5", "model=toy"]).model == ToyConfig()
    assert compose(["experiment=digits/s5", "model=toy-digits"]).model == ToyConfig(forget=0.25, n_layers=1)
    assert compose(["experiment=digits/s5", "model=toy", "model.forget=0.1"]).model == ToyConfig(forget=0.1)
    assert compose(["experiment=digits/s5", "model={n_layers: 1}"]).model.n_layers == 1


@pytest.mark.parametrize("recipe", experiment_names([CONF_DIR]))
def test_a_recipe_leaves_to_the_model_what_only_its_family_has(recipe: str) -> None:
    config = compose([f"experiment={recipe}", "model=toy"])
    assert isinstance(config.model, ToyConfig)
    task = {key: value for key, value in to_dict(config.model).items() if value != to_dict(ToyConfig())[key]}
    assert set(task) <= {"encoder", "times", "likelihood"}


@pytest.mark.parametrize("name", MODELS)
def test_a_model_file_is_named_after_its_family_and_a_task(name: str) -> None:
    text = (CONF_DIR / "model" / f"{name}.yaml").read_text()
    model = compose([f"model={name}"]).model
    assert name == model.kind or name.startswith(f"{model.kind}-")
    assert text.startswith("# ") and "# Source: " in text


def test_models_nest() -> None:
    assert compose(["model=outer"]).model == OuterConfig(layer=S5Config())
    config = compose(["model=outer", "model/layer=s5", "model.layer.n_blocks=4", "model.n_layers=3"])
    assert config.model == OuterConfig(layer=S5Config(n_blocks=4), n_layers=3)
    inner = compose(["model=outer", "model/layer=toy", "model.layer.forget=0.75"])
    assert inner.model == OuterConfig(layer=ToyConfig(forget=0.75))


def test_a_config_of_any_family_survives_its_file_and_has_its_own_identity(tmp_path: Path) -> None:
    hashes = set()
    for words in (["model=s5"], ["model=toy"], ["model=outer"], ["model=outer", "model/layer=toy"]):
        config = compose(words)
        (tmp_path / "config.yaml").write_text(config_text(config))
        assert read_config(tmp_path) == config == from_dict(Config, to_dict(config))
        hashes.add(science_hash(to_dict(config)))
    assert len(hashes) == 4
    assert is_science("model.forget") and is_science("model.layer.n_blocks") and is_science("optim.lr")
    assert not any(map(is_science, ("model.remat", "model.layer.remat", "data.root", "wandb.mode", "model.nothing")))


MISTAKES = {
    "a key of another family": (
        ["model=toy", "model.n_blocks=2"],
        "model.n_blocks: the family toy has no such key; it has forget",
        "n_blocks is a key of model=s5",
    ),
    "a key of another family added": (
        ["model=toy", "+model.n_blocks=2"],
        "model.n_blocks: the family toy has no such key; it has forget",
        "n_blocks is a key of model=s5",
    ),
    "a key of another family, inside": (
        ["model=outer", "model.layer.forget=0.5"],
        "model.layer.forget: the family s5 has no such key; it has d_state, n_blocks,",
        "forget is a key of model=toy",
    ),
    "a key of no family": (
        ["model=toy", "model.forgt=2"],
        "model.forgt: unknown key; did you mean model.forget?",
        None,
    ),
    "the kind": (["model.kind=toy"], "model.kind: this key cannot choose the family", "model=toy"),
    "the kind, forced": (["++model.kind=toy"], "model.kind: this key cannot choose the family", "model=toy"),
    "the kind of a layer": (
        ["model=outer", "model.layer.kind=toy"],
        "model.layer.kind: this key cannot choose the family",
        "model/layer=toy",
    ),
    "the kind in a recipe": (["experiment=toys/wrong_kind"], "model.kind: toy is not the family of these keys", None),
    "a foreign key in a recipe": (
        ["experiment=toys/foreign"],
        "experiment/toys/foreign.yaml: model.n_blocks: the family toy has no such key",
        "n_blocks is a key of model=s5",
    ),
    "a model that does not exist": (
        ["model=toys"],
        "model: unknown model 'toys'; did you mean toy?",
        "toy, toy-digits",
    ),
    "a layer that does not exist": (
        ["model=outer", "model/layer=s7"],
        "model/layer: unknown layer 's7'",
        "s5, toy",
    ),
    "a layer in a model without layers": (["model=s5", "model/layer=toy"], "model/layer", None),
    "a check of the family": (["model=toy", "model.forget=2"], "model.forget=2.0 must lie in (0, 1)", None),
    "a check of a layer": (
        ["model=outer", "model.layer.n_blocks=7"],
        "model.layer.d_state=256 is not divisible by model.layer.n_blocks=7",
        None,
    ),
    "no model": (["~model"], "model: this key cannot be deleted", None),
}


@pytest.mark.parametrize(("words", "message", "hint"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_explained(words: list[str], message: str, hint: str | None) -> None:
    with pytest.raises(UserError) as caught:
        compose(words)
    assert message in caught.value.message
    assert "\n" not in caught.value.message
    assert hint is None or hint in (caught.value.hint or "")


def test_a_stored_config_of_an_unknown_family_or_with_a_foreign_key_is_explained(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("model: {kind: s6}\n")
    with pytest.raises(UserError, match=r"model\.kind: unknown family 's6'.*the families are s5, .*toy"):
        read_config(tmp_path)
    (tmp_path / "config.yaml").write_text("model: {kind: toy, n_blocks: 3}\n")
    with pytest.raises(UserError, match=r"model\.n_blocks: the family toy has no such key; it has forget"):
        read_config(tmp_path)


def test_a_family_has_its_name_alone() -> None:
    register_family(ToyConfig)  # once more does nothing
    other = type("OtherConfig", (ToyConfig,), {})
    with pytest.raises(ValueError, match="'toy': ToyConfig has this name already"):
        register_family(other)
    assert FAMILIES["toy"] is ToyConfig


def test_a_model_without_a_family_cannot_be_made() -> None:
    with pytest.raises(TypeError, match="abstract: choose the class of a family"):
        ModelConfig(kind="s5")
    with pytest.raises(ValueError, match=r"model\.kind=toy: the other keys are those of s5; choose model=toy"):
        S5Config(kind="toy")
