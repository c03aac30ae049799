"""The cases of the tests over all model families: a family, or an option that changes its computation, is a line."""

import dataclasses
import functools
from collections.abc import Sequence
from enum import Enum
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from s5.config.choices import (
    Activation,
    Discretization,
    Head,
    Measure,
    Norm,
    Residual,
)
from s5.config.families import (
    DSSConfig,
    LinOSSConfig,
    LRUConfig,
    LSSLConfig,
    RGLRUConfig,
    S4Config,
    S4DConfig,
    S5Config,
)
from s5.config.model import ModelConfig
from s5.models.sequence_model import SequenceModel, make_model

SIZES: dict[str, Any] = {"n_layers": 2, "d_model": 6, "d_state": 4, "norm": Norm.layer}
CASES: dict[str, ModelConfig] = {
    "s5": S5Config(**SIZES, n_blocks=1, dt_min=0.01, dt_max=0.5),
    "s5-clipped": S5Config(
        **SIZES,
        n_blocks=2,
        clip_eigs=True,
        discretization=Discretization.bilinear,
        residual=Residual.affine,
        final_norm=True,
    ),
    "s5-bidirectional": S5Config(
        **(SIZES | {"norm": Norm.group}),
        n_blocks=2,
        conj_sym=False,
        bidirectional=True,
        residual=Residual.highway,
        dropout_tied=False,
    ),
    "s4d": S4DConfig(**SIZES, dt_min=0.01, dt_max=0.2),
    "s4d-bilinear-bidirectional": S4DConfig(
        **SIZES, n_ssm=2, discretization=Discretization.bilinear, bidirectional=True, dt_min=0.01, dt_max=0.2
    ),
    "dss": DSSConfig(
        **SIZES,
        l_max=18,
        dt_min=0.01,
        dt_max=0.05,
        activation=Activation.gelu_dense,
        gate=2,
        residual=Residual.decay,
    ),
    "lru": LRUConfig(**SIZES),
    "rglru": RGLRUConfig(**SIZES, n_blocks=2),
    "lssl": LSSLConfig(**SIZES, dt_min=0.01, dt_max=0.5),
    "linoss": LinOSSConfig(**SIZES),
    "s4": S4Config(**SIZES, dt_min=0.01, dt_max=0.5),
    "s4-bidirectional": S4Config(
        **SIZES, measure=Measure.legt, n_ssm=2, dt_tie=True, bidirectional=True, late_backward=True
    ),
}
families = pytest.mark.parametrize("config", CASES.values(), ids=CASES)
BATCH, L, D_INPUT, D_OUTPUT = 3, 12, 2, 4
# Two forms of a sum differ by rounding.
near = functools.partial(np.testing.assert_allclose, rtol=2e-4, atol=2e-5)


def model(config: ModelConfig, head: Head = Head.regression, **changes: Any) -> SequenceModel:
    return make_model(dataclasses.replace(config, **changes), D_INPUT, D_OUTPUT, nnx.Rngs(0), head=head)


def draw(*shape: int, seed: int = 0) -> jax.Array:
    return jnp.asarray(np.random.default_rng(seed).standard_normal(shape), jnp.float32)


def with_each(name: str, options: Sequence[Enum], *, streams: bool = False) -> pytest.MarkDecorator:
    """Parametrize a test by every case and an option around the mixer: S5 has each, the other cases the first."""
    cases = {case: config for case, config in CASES.items() if not (streams and config.bidirectional)}
    chosen = [(case, option) for case in cases for option in (options if case == "s5" else options[:1])]
    params = [pytest.param(cases[case], option, id=f"{case}-{option.name}") for case, option in chosen]
    return pytest.mark.parametrize(("config", name), params)
