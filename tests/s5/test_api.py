"""The public interface of the training code: the names of `import s5`, and the export of models."""

import inspect
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest
from flax import nnx
from safetensors import safe_open

import s5
from s5.data import load
from s5.errors import UserError
from s5.training.export import save_run_program

SMALL = ("experiment=digits/s5", "train.epochs=1", "model.n_layers=1", "model.d_model=8", "model.d_state=8")
SMALL = (*SMALL, "model.n_blocks=1")


@pytest.fixture(scope="module")
def seen() -> list[tuple[int, Mapping[str, Any]]]:
    return []


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, seen: list[tuple[int, Mapping[str, Any]]]) -> s5.StoredRun:
    """A run that was trained from Python."""
    folder = tmp_path_factory.mktemp("runs") / "digits"
    return s5.train(s5.make_config(*SMALL), folder, on_metrics=lambda step, values: seen.append((step, values)))


def test_every_public_name_has_a_docstring() -> None:
    assert set(s5.__all__) <= set(dir(s5))
    for name in s5.__all__:
        assert inspect.getdoc(getattr(s5, name)), name


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'trian'"):
        _ = s5.trian  # pyright: ignore[reportAttributeAccessIssue]


def test_importing_the_package_loads_nothing_heavy() -> None:
    code = "import s5, sys; print({'jax', 'flax', 'numpy', 'hydra'} & set(sys.modules))"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "set()"


def test_a_training_from_python_is_a_run(run: s5.StoredRun, seen: list[tuple[int, Mapping[str, Any]]]) -> None:
    assert seen and {"train/loss", "val/accuracy"} <= {key for _, values in seen for key in values}
    assert run.metrics["test/accuracy"] == pytest.approx(s5.evaluate(run)["test/accuracy"])
    config, model = s5.load_run(run.path)
    assert config == run.config
    assert isinstance(model, s5.SequenceModel)
    assert s5.train(run.config, run.path).metrics == run.metrics  # it has finished: nothing is trained again


def test_predictions_take_inputs_as_they_are_stored(run: s5.StoredRun) -> None:
    split = load(run.config.data).splits["test"]
    logits = run.predict(split.inputs, batch_size=64)
    accuracy = float((logits.argmax(-1) == split.labels).mean())
    assert accuracy == pytest.approx(run.metrics["test/accuracy"])


def test_predictions_refuse_what_the_model_cannot_read(run: s5.StoredRun) -> None:
    inputs = load(run.config.data).splits["test"].inputs[:5]
    assert inputs.dtype == np.uint8
    np.testing.assert_array_equal(run.predict(inputs), run.predict(inputs.astype(np.float64)))
    with pytest.raises(ValueError, match=r"inputs have shape \(64, 1\); expected \(n, L, 1\); inputs\[None\]"):
        run.predict(inputs[0])
    with pytest.raises(ValueError, match=r"lengths\[4\] is 65; 1 to 64 are allowed"):
        run.predict(inputs, np.array([64, 64, 64, 64, 65]))


def test_pixels_are_not_taken_for_tokens(run: s5.StoredRun) -> None:
    split = load(run.config.data).splits["test"]
    with pytest.raises(ValueError, match=r"integer inputs are tokens, but this model reads one feature.*predict"):
        run.model(split.inputs[:4])


def test_a_model_can_be_built_while_tracing() -> None:
    config = s5.make_config(*SMALL)
    shapes = nnx.eval_shape(lambda: s5.make_model(config))
    model = s5.make_model(config)
    live = jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), nnx.state(model))
    assert jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), nnx.state(shapes)) == live
    again = nnx.state(nnx.jit(lambda: s5.make_model(config))())
    jax.tree.map(np.testing.assert_array_equal, again, nnx.state(model))


def test_weights_come_back_bit_for_bit(run: s5.StoredRun, tmp_path: Path) -> None:
    file = tmp_path / "digits.safetensors"
    s5.save_run_weights(run, file)
    model = s5.make_model(run.config)
    before = jax.tree.map(jnp.copy, nnx.state(model))
    s5.load_weights(model, file)
    jax.tree.map(np.testing.assert_array_equal, nnx.state(model), nnx.state(run.model))
    assert any(
        bool(jnp.any(a != b)) for a, b in zip(jax.tree.leaves(before), jax.tree.leaves(nnx.state(model)), strict=True)
    )
    with safe_open(file, framework="np") as opened:
        assert opened.metadata()["science_hash"]


class _Views(nnx.Module):
    """Parameters that are views of other arrays: transposed and sliced."""

    def __init__(self) -> None:
        table = np.arange(24, dtype=np.float32).reshape(4, 6)
        self.turned, self.cut = nnx.Param(jnp.asarray(table.T)), nnx.Param(jnp.asarray(table[:, ::2]))
        self.scalar = nnx.Param(jnp.float32(3.0))


def test_views_keep_their_order(tmp_path: Path) -> None:
    s5.save_weights(_Views(), tmp_path / "views.safetensors")
    model = _Views()
    model.turned[...] = jnp.zeros((6, 4))
    s5.load_weights(model, tmp_path / "views.safetensors")
    jax.tree.map(np.testing.assert_array_equal, nnx.state(model), nnx.state(_Views()))


def test_weights_of_another_model_are_refused(run: s5.StoredRun, tmp_path: Path) -> None:
    file = tmp_path / "digits.safetensors"
    s5.save_run_weights(run, file)
    wider = s5.make_model(s5.make_config(*SMALL, "model.d_model=16"))
    with pytest.raises(UserError, match=r"the weights are of another model \(model.*the file has float32\[.*the model"):
        s5.load_weights(wider, file)
    (tmp_path / "text").write_text("no weights")
    with pytest.raises(UserError, match="not a file of weights"):
        s5.load_weights(wider, tmp_path / "text")


def test_a_program_answers_as_the_model_does(
    run: s5.StoredRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Type checks of shapes, which only tests have, do not know symbols.
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    file = tmp_path / "digits.bin"
    save_run_program(run, file)
    program = s5.load_program(file)
    for batch in (1, 3):  # the batch is symbolic
        inputs = np.random.default_rng(batch).normal(size=(batch, 64, 1)).astype(np.float32)
        np.testing.assert_allclose(program(inputs), run.model(inputs), rtol=1e-5, atol=1e-5)
    (tmp_path / "text").write_text("no program")
    with pytest.raises(UserError, match="not a program"):
        s5.load_program(tmp_path / "text")


def test_the_command_writes_weights_and_a_program(run: s5.StoredRun, tmp_path: Path) -> None:
    files = ["--weights", str(tmp_path / "w.safetensors"), "--program", str(tmp_path / "p.bin")]
    subprocess.run([sys.executable, "-m", "s5", "export", str(run.path), *files], check=True, capture_output=True)
    model = s5.make_model(run.config)
    s5.load_weights(model, tmp_path / "w.safetensors")
    inputs = np.ones((2, 64, 1), np.float32)
    np.testing.assert_allclose(s5.load_program(tmp_path / "p.bin")(inputs), model(inputs), rtol=1e-5, atol=1e-5)


def test_a_part_of_a_configuration_is_not_taken_for_the_whole() -> None:
    # In another process: here the types of arguments are checked before the function is called.
    code = "import s5; s5.make_model(s5.make_config('model=lru').model, d_input=1, d_output=2)"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False).stderr
    assert "takes the whole configuration that s5.make_config returns, not a LRUConfig" in told.splitlines()[-1]
