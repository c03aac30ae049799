"""`pipeline=NAME` says the data of a run and how they are read, and nothing else."""

import pytest

from s5 import catalog
from s5.config.compose import compose
from s5.config.families import S4Config
from s5.config.identity import science_hash, to_dict
from s5.config.run import Config
from s5.config.search_path import CONF_DIR, group_options
from s5.errors import UserError

NAMES = group_options("pipeline", [CONF_DIR])
TASK = {"model.encoder", "model.times", "model.likelihood", "train.batch_size", "train.eval_batch_size"}


def flat(config: Config) -> dict[str, object]:
    sections = to_dict(config)
    return {f"{top}.{key}": sections[top][key] for top in ("data", "model", "optim", "train") for key in sections[top]}


@pytest.mark.parametrize("name", NAMES)
def test_a_pipeline_names_data_of_the_catalog_and_nothing_of_a_model_or_optimizer(name: str) -> None:
    config = compose([f"pipeline={name}"])
    info = catalog.dataset_info(config.data.name)
    catalog.check_version(info, config.data.version)
    config.model.check_fits(info.d_input, info.head, tokens=info.tokens, times=info.times)
    assert config.recipe == ""
    changed = {key for key, value in flat(Config()).items() if flat(config)[key] != value}
    assert changed - TASK <= {key for key in changed if key.startswith("data.")}


def test_the_line_of_the_s4_repository_is_a_run() -> None:
    words = ["pipeline=mnist", "model=s4", "model.n_layers=3", "model.d_model=128", "model.norm=batch"]
    words.append("model.prenorm=True")
    config = compose(words)
    assert config.model == S4Config(n_layers=3)
    by_keys = ["data.name=mnist", "data.permutation=bit_reversal", "train.batch_size=50", "train.eval_batch_size=50"]
    assert science_hash(to_dict(config)) == science_hash(to_dict(compose([*words[1:], *by_keys])))


def test_a_pipeline_changes_the_data_of_a_recipe_and_keeps_its_model_and_optimizer() -> None:
    recipe, other = compose(["experiment=lra/image"]), compose(["pipeline=cifar", "experiment=lra/image"])
    assert (other.model, other.optim, other.recipe) == (recipe.model, recipe.optim, recipe.recipe)
    assert (recipe.data.name, other.data.name) == ("cifar10_grey", "cifar10")


@pytest.mark.parametrize(
    ("words", "message", "hint"),
    [
        ("pipeline=mnits", "pipeline: unknown pipeline 'mnits'; did you mean mnist?", "aan, cifar, digits"),
        ("pipeline=null", "pipeline: null is not a name", "the pipelines are"),
        ("pipelin=mnist", "pipelin: unknown key; did you mean pipeline?", "experiment and pipeline choose files"),
        ("pipeline=[mnist,cifar]", "pipeline: mnist,cifar are several values", "`pipeline: [mnist,cifar]`"),
        ("model=[s5,lru]", "model: s5,lru are several values, and a run takes one", "`grid: {model: [s5,lru]}`"),
        ("experiment=[lra/text,lra/image]", "experiment: lra/text,lra/image are several values", "experiment: ["),
        ("seeds=3", "seeds: unknown key of a run", "`launch run EXPERIMENT seeds=3`"),
        ("resources.gpus_per_node=1", "resources.gpus_per_node: unknown key of a run", "launch run EXPERIMENT resour"),
        ("model.layer.d_state=4", "model.layer.d_state: unknown key; did you mean model.d_state?", "the keys of model"),
        ("model/layer=lssl", "model/layer: this config has no such group", "choose the family with model=lssl"),
        ("trainer.max_epochs=3", "trainer.max_epochs: unknown key; did you mean train.epochs?", None),
        ("wandb=null", "wandb: this is a section", "off unless wandb.mode turns it on"),
    ],
)
def test_a_word_that_was_meant_otherwise_gets_a_hint(words: str, message: str, hint: str | None) -> None:
    with pytest.raises(UserError) as caught:
        compose(words.split())
    assert message in caught.value.message and (hint is None or hint in (caught.value.hint or ""))
