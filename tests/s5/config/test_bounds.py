"""Numbers that no training can use are refused when the config is composed, with key and value."""

import pytest

from s5.config.compose import compose
from s5.config.families import LRUConfig, RGLRUConfig, S4Config, S5Config
from s5.config.model import ModelConfig
from s5.config.training import OptimConfig, TrainConfig
from s5.errors import UserError


@pytest.mark.parametrize(
    "override",
    [
        "train.epochs=3000000000",
        "train.batch_size=1e40",
        "train.checkpoint_every_steps=99999999999999",
        "optim.ssm_lr=1e31",
        "optim.lr_of={D: 1e200}",
        "optim.weight_decay=1e35",
        "optim.clip_norm=1e300",
        "model.n_layers=20000",
        "model.d_model=2097152",
        "model.step_rescale=1e40",
        "data.prefetch=10000000000",
        "data.zero_shot_rescale=1e31",
    ],
)
def test_a_number_beyond_any_machine_is_refused(override: str) -> None:
    key, _, _ = override.partition("=")
    with pytest.raises(UserError, match=f"^{key}"):
        compose(["experiment=digits/s5", override])


@pytest.mark.parametrize(
    "sizes",
    [{"d_state": 2**30}, {"d_state": 2**22, "d_model": 2**18}, {"d_state": 2**16, "d_model": 2**16, "n_layers": 512}],
)
@pytest.mark.parametrize("family", [S5Config, S4Config, LRUConfig, RGLRUConfig])
def test_a_model_of_more_parameters_than_any_memory_holds_is_refused(
    family: type[ModelConfig], sizes: dict[str, int]
) -> None:
    with pytest.raises(ValueError, match=r"^model.d_state=.* needs more than [\d,]+ parameters; at most 2\^40"):
        family(**({"n_layers": 100, "d_model": 2**16} | sizes))  # pyright: ignore[reportArgumentType]


def test_large_numbers_that_a_machine_can_have_are_kept() -> None:
    assert S5Config(n_layers=200, d_model=2**14, d_state=2**14).d_state == 2**14
    assert TrainConfig(epochs=10**9).epochs == 10**9
    assert OptimConfig(lr=1e30).lr == 1e30  # stored runs have it, and end with nan
    assert compose(["data.split_seed=18446744073709551615"]).data.split_seed == 2**64 - 1
