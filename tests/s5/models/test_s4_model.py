"""The example that users of s4torch know, with its shapes."""

import jax
import numpy as np
import pytest
from flax import nnx

from s5 import S4Block, S4Layer, S4Model, SequenceModel, Steps
from s5.config.choices import Norm

N, D_MODEL, D_OUTPUT, SEQ_LEN = 8, 6, 5, 40
U = np.random.default_rng(0).standard_normal((2, SEQ_LEN, 1), dtype=np.float32)


def test_the_example_of_the_model_has_its_shapes() -> None:
    model = S4Model(1, d_model=D_MODEL, d_output=D_OUTPUT, n_blocks=3, n=N, l_max=SEQ_LEN, collapse=False)
    assert isinstance(model, SequenceModel)
    y = jax.jit(lambda u: model(u))(U)
    assert y.shape == (*U.shape[:-1], model.d_output)
    # The blocks are one loop over stacked parameters.
    assert model.layers.n_layers == 3 and model.layers.layer.ssm.D.shape == (3, D_MODEL)


def test_collapse_averages_over_time_before_the_decoder() -> None:
    sizes = {"d_model": D_MODEL, "d_output": D_OUTPUT, "n_blocks": 1, "n": N, "p_dropout": 0.5}
    steps, whole = (S4Model(1, collapse=collapse, **sizes, rngs=nnx.Rngs(3)) for collapse in (False, True))
    both = jax.jit(lambda u: (steps(u), whole(u)))(U)
    assert both[1].shape == (2, D_OUTPUT)
    np.testing.assert_allclose(both[1], both[0].mean(1), rtol=1e-4, atol=1e-5)  # the decoder is linear
    with pytest.raises(ValueError, match="needs a key"):
        whole(U, train=True)


def test_layer_and_block_keep_the_shape_and_need_no_length() -> None:
    u = np.random.default_rng(1).standard_normal((2, SEQ_LEN, D_MODEL), dtype=np.float32)
    layer = S4Layer(D_MODEL, n=N, l_max=SEQ_LEN)
    block = S4Block(D_MODEL, n=N, l_max=SEQ_LEN, norm_type=Norm.layer)
    whole, short = jax.jit(lambda u: (layer(u), layer(u[:, :7])))(u)
    assert whole.shape == u.shape
    np.testing.assert_allclose(short, whole[:, :7], rtol=1e-4, atol=1e-5)
    y = jax.jit(lambda u: block(u, Steps()))(u)
    assert y.shape == u.shape
    np.testing.assert_allclose(y.mean(-1), 0, atol=1e-5)  # the normalisation is the last step
    other = S4Block(D_MODEL, n=N, prenorm=True, rngs=nnx.Rngs(1))
    assert other.prenorm and not np.array_equal(other.ssm.D[...], block.ssm.D[...])
