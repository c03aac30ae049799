from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from s5.config.choices import Norm, Schedule
from s5.config.families import DSSConfig, S5Config
from s5.config.training import OptimConfig
from s5.errors import UserError
from s5.models.sequence_model import make_model
from s5.training.learning_rates import find_depth_factors, find_named_rates
from s5.training.optimizer import make_optimizer
from s5.training.schedule import PlateauState

PATHS = ["encoder.bias", "layers.layer.ssm.B_re", "layers.layer.ssm.D", "layers.layer.ssm.log_step", "head.bias"]
LOG_STEP = "layers.layer.ssm.log_step"


def params_of(config: Any) -> Any:
    return nnx.state(make_model(config, 2, 3, nnx.Rngs(0)), nnx.Param)


def arrays(tree: Any) -> dict[str, np.ndarray]:
    leaves, _ = jax.tree_util.tree_flatten_with_path(tree, is_leaf=lambda node: isinstance(node, nnx.Variable))
    return {jax.tree_util.keystr(path, simple=True, separator="."): np.asarray(leaf[...]) for path, leaf in leaves}


def updates_of(asked: OptimConfig, params: Any, falls: int = 0) -> dict[str, np.ndarray]:
    """Return the first updates for gradients of one: minus the rates, as Adam divides by the gradient's size."""
    optimizer = make_optimizer(asked, params, 10, 2)
    state = optimizer.init(params)._replace(falls=PlateauState(jnp.int32(falls), jnp.int32(0)))
    grads = jax.tree.map(lambda p: np.ones(p.shape, np.float32), params)
    return arrays(jax.jit(optimizer.update)(grads, state, params)[0])


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("log_step", [LOG_STEP]),
        ("ssm.log_step", [LOG_STEP]),
        (LOG_STEP, [LOG_STEP]),
        ("*step", [LOG_STEP]),
        ("B_*", ["layers.layer.ssm.B_re"]),
        ("ssm.*", PATHS[1:4]),
        ("bias", ["encoder.bias", "head.bias"]),
        ("head.bias", ["head.bias"]),
    ],
)
def test_a_name_is_the_end_of_a_path(name: str, wanted: list[str]) -> None:
    assert find_named_rates({name: 0.5}, PATHS) == dict.fromkeys(wanted, 0.5)
    assert find_named_rates({name: None}, PATHS) == {}


def test_a_name_of_no_parameter_is_refused_with_the_list() -> None:
    with pytest.raises(UserError, match=r"optim\.lr_of: log_stop is not a parameter of this model; did you mean") as it:
        find_named_rates({"log_stop": 0.5}, PATHS)
    assert it.value.hint is not None
    assert LOG_STEP in it.value.hint
    with pytest.raises(UserError, match="step is not a parameter"):  # a name is a whole word
        find_named_rates({"step": None}, PATHS)
    # a recipe's rate that is taken back, for a model without the parameter
    assert find_named_rates({"log_step": None}, ["layers.layer.ssm.C", "encoder.weight"]) == {}


def test_two_rates_of_one_parameter_are_refused() -> None:
    with pytest.raises(UserError, match=rf"ssm\.\* and log_step give {LOG_STEP} two learning rates"):
        find_named_rates({"ssm.*": 0.5, "log_step": 0.1}, PATHS)
    assert find_named_rates({"ssm.*": 0.5, "log_step": 0.5, "D": None}, PATHS)[LOG_STEP] == 0.5


def test_named_rates_are_those_of_the_updates_and_zero_is_frozen() -> None:
    params = params_of(DSSConfig(n_layers=1, d_model=4, d_state=4, l_max=8))
    asked = OptimConfig(
        lr=0.01, ssm_lr=0.002, weight_decay=0.0, warmup_epochs=0.0, lr_min=1e-3, lr_of={"log_step": 0.02, "W_*": 0.0}
    )
    found = updates_of(asked, params)
    assert found[LOG_STEP] == pytest.approx(-0.02, rel=1e-4)
    assert found["layers.layer.ssm.Lambda_re"] == pytest.approx(-0.002, rel=1e-4)
    assert found["layers.layer.ssm.D"] == pytest.approx(-0.01, rel=1e-4)
    assert not found["layers.layer.ssm.W_re"].any()
    fallen = updates_of(
        OptimConfig(**{**vars(asked), "schedule": Schedule.plateau, "lr_reduce_factor": 0.2}), params, 2
    )
    assert fallen[LOG_STEP] == pytest.approx(-0.001, rel=1e-4)  # 0.02 / 25 is below lr_min
    assert not fallen["layers.layer.ssm.W_re"].any()  # lr_min does not wake what is frozen


def test_frozen_parameters_neither_decay_nor_clip_the_others() -> None:
    params = params_of(S5Config(n_layers=1, d_model=4, d_state=4, n_blocks=1))
    asked = OptimConfig(weight_decay=1.0, clip_norm=0.1, warmup_epochs=0.0, lr_of={"head.*": 0.0})
    optimizer = make_optimizer(asked, params, 10, 2)
    grads = jax.tree_util.tree_map_with_path(
        lambda path, p: np.full(p.shape, 1e6 if "head" in str(path[0]) else 1.0, np.float32), params
    )
    updates, state = jax.jit(optimizer.update)(grads, optimizer.init(params), params)
    assert not any(update.any() for path, update in arrays(updates).items() if path.startswith("head"))
    assert np.linalg.norm(state.adam.mu) == pytest.approx(0.1 * asked.clip_norm, rel=1e-4)  # beta1 is 0.9
    assert 0 < np.abs(state.adam.mu).max() == pytest.approx(0.1 * 0.1 / np.sqrt((state.adam.mu != 0).sum()), rel=1e-4)


def test_layer_decay_is_a_power_for_each_layer() -> None:
    n, decay = 3, 0.5
    params = params_of(S5Config(n_layers=n, d_model=4, d_state=4, n_blocks=1, norm=Norm.layer))
    asked = OptimConfig(lr=0.01, ssm_lr=0.01, weight_decay=0.0, warmup_epochs=0.0, layer_decay=decay)
    for path, update in updates_of(asked, params).items():
        if path.startswith("layers."):
            for layer in range(n):  # the first layer is one above the encoder
                assert update[layer] == pytest.approx(-0.01 * decay ** (n - layer), rel=1e-4), path
        else:
            power = n + 1 if path.startswith("encoder.") else 0
            assert update == pytest.approx(-0.01 * decay**power, rel=1e-4), path


def test_without_layer_decay_there_are_no_factors() -> None:
    assert find_depth_factors(1.0, {"layers.layer.ssm.D": (2, 4)}) == {}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"lr_of": {"log_step": -1.0}}, r"optim\.lr_of: log_step=-1\.0 must be a finite number, at least 0"),
        ({"lr_of": {"D": float("nan")}}, r"optim\.lr_of: D=nan"),
        ({"lr_of": {"D": 1e-5}, "lr_min": 1e-4}, r"must not be above optim\.lr_of: D=1e-05"),
        ({"layer_decay": 0.0}, r"optim\.layer_decay=0\.0 must be above 0 and at most 1"),
    ],
)
def test_values_out_of_range_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        OptimConfig(**changes)
    OptimConfig(lr_of={"D": 0.0, "B_*": None}, lr_min=1e-4)
