"""Every recipe has the values of the S5 repository's script, and trains on its own data with its own loader."""

import itertools
import math
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

from s5 import catalog
from s5.config.choices import CompatWith, Head
from s5.config.compose import compose
from s5.config.config_file import config_text
from s5.config.search_path import CONF_DIR
from s5.data import convert, load
from s5.process.shutdown import LocalStopRequest
from s5.run_dir.result import read_result
from s5.training.loop import Loop, train
from s5.training.metrics_writer import NullWriter
from s5.training.stored_run import evaluate_run, load_run
from tests.s5 import tiny_catalog

pytestmark = pytest.mark.slow

RECIPES = sorted(
    path.relative_to(CONF_DIR / "experiment").with_suffix("").as_posix() for path in CONF_DIR.rglob("*/*/*.yaml")
)

# What the scripts of the S5 repository have, with its names; `lr` is there lr_factor times ssm_lr_base.
COLUMNS = "C_init activation J batch H P layers epochs ssm_lr lr_factor groups dropout decay"
PUBLISHED = {
    "lra/listops": "lecun_normal half_glu2 8 50 128 16 8 40 1e-3 3 BfastandCdecay 0 .04",
    "lra/text": "lecun_normal half_glu2 12 50 256 192 6 35 1e-3 4 standard .1 .07",
    "lra/retrieval": "trunc_standard_normal half_glu1 16 32 128 256 6 20 1e-3 2 standard 0 .05",
    "lra/image": "lecun_normal half_glu1 3 50 512 384 6 250 1e-3 4.5 BfastandCdecay .1 .07",
    "lra/pathfinder": "trunc_standard_normal half_glu1 8 64 192 256 6 200 9e-4 5 standard .05 .03",
    "lra/pathx": "complex_normal half_glu1 16 32 128 256 6 75 6e-4 3 BandCdecay 0 .06",
    "speech/sc35": "lecun_normal half_glu1 16 16 96 128 6 40 2e-3 4 noBCdecay .1 .04",
    **dict.fromkeys(
        ("pendulum/s5", "pendulum/s5_ignore", "pendulum/s5_append"),
        "trunc_standard_normal half_glu2 8 32 30 16 4 100 3e-3 4 standard 0 0",
    ),
}
OTHERWISE = {"lra/text": {"dt_global": True, "warmup_epochs": 0.0}, "lra/retrieval": {"dt_global": True}}


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_recipe_has_the_published_hyper_parameters(name: str) -> None:
    config = compose([f"experiment={name}"])
    model, optim, train_ = config.model, config.optim, config.train
    found = (
        *(model.C_init.name, model.activation.name, model.n_blocks, train_.batch_size, model.d_model, model.d_state),
        *(model.n_layers, train_.epochs, optim.ssm_lr, optim.lr / optim.ssm_lr, optim.groups.name),
        *(model.dropout, optim.weight_decay),
    )
    for column, value, text in zip(COLUMNS.split(), found, PUBLISHED[name].split(), strict=True):
        assert value == (text if isinstance(value, str) else pytest.approx(float(text))), column
    pendulum = name.startswith("pendulum")
    assert (model.bidirectional, model.prenorm, model.norm.name == "batch") == (not pendulum,) * 3
    dt_min = 1e-2 if pendulum else 1e-4 if name == "lra/pathx" else 1e-3
    assert (model.dt_min, model.dt_max) == (dt_min, 0.1)
    assert model.bn_momentum == (0.9 if name in ("lra/pathfinder", "lra/pathx") else 0.95)
    assert model.clip_eigs == (name == "lra/image")
    assert (optim.dt_global, optim.warmup_epochs) == tuple(
        OTHERWISE.get(name, {}).get(key, default) for key, default in (("dt_global", False), ("warmup_epochs", 1.0))
    )
    assert config.compat is CompatWith.none and model.conj_sym and model.pooling.name == "mean"


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_names_itself_and_data_of_the_catalog(name: str) -> None:
    config, text = compose([f"experiment={name}"]), (CONF_DIR / "experiment" / f"{name}.yaml").read_text()
    assert config.recipe == name
    info = catalog.dataset_info(config.data.name)
    catalog.check_version(info, config.data.version)
    config.model.check_fits(info.d_input, info.head)
    for word in ("Paper:", "Command: python -m s5 experiment=", "Cost:", "Score:"):
        assert f"\n# {word}" in text, word
    assert f"experiment={name}" in text
    if name.startswith("standin/"):
        assert name == f"standin/{config.data.name}" and "published" not in text.partition("# Score:")[2]


# Names of recipes of other families. S5's recipes of the Long Range Arena are trained by tests/launch/test_recipes.py,
# through a sweep; those of other families read the same data.
SUFFIXES = ("_s4", "_dss", "_lssl", "_annotated", "_s4torch", "_s4d_minimal")
OTHERS = [name for name in RECIPES if name.endswith(SUFFIXES)]
TRAINED = [name for name in RECIPES if name.startswith(("pendulum/", "pixel/", "speech/")) and name not in OTHERS]
# Narrower, and fewer of each; lengths, loaders, heads and groups are the recipe's own.
NARROW = "model.n_layers=1 model.d_model=4 model.d_state=4 train.epochs=1 train.batch_size={} train.eval_batch_size={}"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from tests.s5.tiny_archives import write_lra, write_others  # need Pillow, as the pendulum does

    folder = tmp_path_factory.mktemp("tiny")
    write_others(folder / "raw")
    write_lra(folder / "raw")
    return folder


@pytest.fixture
def tiny(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    for name in tiny_catalog.SIZES:
        monkeypatch.setitem(catalog.CATALOG, name, tiny_catalog.shrunk(catalog.CATALOG[name]))
    monkeypatch.setenv("S5_DATA", str(folder / "raw"))
    monkeypatch.setenv("S5_CACHE", str(folder / "cache"))
    return folder


@pytest.mark.filterwarnings("ignore:aan. .* different tokens:UserWarning")  # the tiny papers have fewer characters
@pytest.mark.parametrize("name", OTHERS)
def test_a_recipe_of_another_family_takes_two_steps(name: str, tiny: Path) -> None:
    pytest.importorskip("PIL.Image")
    config = compose([f"experiment={name}", *NARROW.format(1, 1).split()])
    assert config.model.kind != "s5"
    trainer = Loop(config, load(config.data), tiny, tiny, LocalStopRequest(), NullWriter()).trainer
    before = jax.device_get(jax.tree.leaves(trainer.state.params))
    for batch in itertools.islice(iter(trainer.batches()), 2):
        trainer.step(batch)
    window = trainer.take_window()
    assert window.bad_step == 0 and window.sums.weight == 2
    assert any((now != then).any() for now, then in zip(jax.tree.leaves(trainer.state.params), before, strict=True))


@pytest.mark.parametrize("name", TRAINED)
def test_a_recipe_trains(name: str, tiny: Path) -> None:
    pytest.importorskip("PIL.Image")
    # two steps, and batches of one size for both splits, so that only two programs are compiled
    sizes = {"pendulum": (3, 2), "pixel": (12, 5), "speech": (35, 35)}[name.partition("/")[0]]
    config = compose([f"experiment={name}", *NARROW.format(*sizes).split(), "model.n_blocks=1"])
    if catalog.dataset_info(config.data.name).made_by:
        convert(config.data)
    run_dir = tiny / name.replace("/", "-")
    attempt_dir = run_dir / "attempts" / "0"
    attempt_dir.mkdir(parents=True)
    (run_dir / "config.yaml").write_text(config_text(config))
    metrics = train(config, run_dir, attempt_dir, LocalStopRequest())
    pendulum = name.startswith("pendulum")
    kinds, splits = (
        ("loss", "mse" if pendulum else "accuracy"),
        ["val", "test", *["zero_shot"] * (name == "speech/sc35")],
    )
    assert set(metrics) == {f"{split}/{kind}" for split in splits for kind in kinds}
    assert all(math.isfinite(value) for value in metrics.values())
    assert read_result(attempt_dir)["steps"] == 2
    if name in ("pendulum/s5", "speech/sc35"):
        assert_a_stored_run_scores_what_it_says(run_dir, config, metrics)


def assert_a_stored_run_scores_what_it_says(run_dir, config, metrics) -> None:
    _, model = load_run(run_dir)
    assert model.kind is (Head.gaussian if config.data.name == "pendulum" else Head.classification)
    for split, asked in (("test", {}), ("zero_shot", {"data": config.data.zero_shot, "step_rescale": 2.0})):
        if f"{split}/loss" in metrics:
            scores = evaluate_run(run_dir, "test", **asked)
            for kind in ("loss", "mse" if "test/mse" in metrics else "accuracy"):
                np.testing.assert_allclose(scores[f"test/{kind}"], metrics[f"{split}/{kind}"], rtol=1e-4)
