"""Heads, the last part of a model: one output per sequence, per pair of sequences, or per step.

Source: Smith et al. 2023 (arXiv:2208.04933) and its repository; the retrieval head is that of the Long Range Arena
(Tay et al. 2021, arXiv:2011.04006).
"""

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, PyTree

from s5.config.choices import Head
from s5.config.model import ModelConfig
from s5.nn.dense import Dense
from s5.nn.pooling import empty_pool, pool, update_pool
from s5.nn.steps import REGULAR, Steps

_GAUSSIAN_WIDTH = 30


class ClassificationHead(nnx.Module):
    """Pooling over time, then a dense layer that returns the logits."""

    def __init__(self, config: ModelConfig, d_output: int, rng: np.random.Generator) -> None:
        self.decoder = Dense(config.d_model, d_output, rng)
        self.pooling = config.pooling

    def __call__(self, x: Float[Array, "batch L H"], steps: Steps) -> Float[Array, "batch d_output"]:
        """Return the logits of each sequence."""
        return self.decoder(pool(x, steps, self.pooling))

    def initial_state(self, batch: int) -> PyTree:
        """Return the state before the first step."""
        return empty_pool(batch, self.decoder.weight.shape[0], self.pooling)

    def advance(
        self, state: PyTree, x: Float[Array, "batch L H"], steps: Steps
    ) -> tuple[PyTree, Float[Array, "batch d_output"]]:
        """Return the state after a chunk, and the logits of the sequence so far."""
        state, pooled = update_pool(state, x, steps, self.pooling)
        return state, self.decoder(pooled)


class RetrievalHead(nnx.Module):
    """Pooling of two documents, then a small network that compares them."""

    def __init__(self, config: ModelConfig, d_output: int, rng: np.random.Generator) -> None:
        self.hidden = Dense(4 * config.d_model, config.d_model, rng)
        self.decoder = Dense(config.d_model, d_output, rng)
        self.pooling = config.pooling

    def __call__(self, x: Float[Array, "documents L H"], steps: Steps) -> Float[Array, "batch d_output"]:
        """Return the logits of each pair; the two documents of a pair are neighbouring rows."""
        return self._compare(pool(x, steps, self.pooling))

    def initial_state(self, batch: int) -> PyTree:
        """Return the state before the first step."""
        return empty_pool(batch, self.decoder.weight.shape[0], self.pooling)

    def advance(
        self, state: PyTree, x: Float[Array, "documents L H"], steps: Steps
    ) -> tuple[PyTree, Float[Array, "batch d_output"]]:
        """Return the state after a chunk of both documents, and the logits of the pair so far."""
        state, pooled = update_pool(state, x, steps, self.pooling)
        return state, self._compare(pooled)

    def _compare(self, pooled: Float[Array, "documents H"]) -> Float[Array, "batch d_output"]:
        one, two = pooled[::2], pooled[1::2]
        features = jnp.concatenate([one, two, one - two, one * two], axis=-1)
        return self.decoder(jax.nn.gelu(self.hidden(features)))


class RegressionHead(nnx.Module):
    """A dense layer that is applied to each step, in float32."""

    def __init__(self, config: ModelConfig, d_output: int, rng: np.random.Generator) -> None:
        self.decoder = Dense(config.d_model, d_output, rng)

    def __call__(self, x: Float[Array, "batch L H"], steps: Steps = REGULAR) -> Float[Array, "batch L d_output"]:
        """Return the output of each step; outputs of padded steps have no meaning."""
        del steps
        return self.decoder(x.astype(jnp.float32))

    def initial_state(self, batch: int) -> PyTree:
        """Return an empty state: the output of a step depends on this step only."""
        del batch
        return ()

    def advance(
        self, state: PyTree, x: Float[Array, "batch L H"], steps: Steps
    ) -> tuple[PyTree, Float[Array, "batch L d_output"]]:
        """Return the state and the outputs of a chunk's steps."""
        return state, self(x, steps)


class GaussianHead(nnx.Module):
    """A Gaussian distribution for each step, in float32: one small network for its mean, another for its variance.

    Source: the pendulum of Smith et al. 2023, after Becker et al. 2019 (arXiv:1905.07357).
    """

    def __init__(self, config: ModelConfig, d_output: int, rng: np.random.Generator) -> None:
        self.mean_hidden = Dense(config.d_model, _GAUSSIAN_WIDTH, rng)
        self.mean = Dense(_GAUSSIAN_WIDTH, d_output, rng)
        self.variance_hidden = Dense(config.d_model, _GAUSSIAN_WIDTH, rng)
        self.variance = Dense(_GAUSSIAN_WIDTH, d_output, rng)

    def __call__(self, x: Float[Array, "batch L H"], steps: Steps = REGULAR) -> Float[Array, "batch L two_d_output"]:
        """Return the means and then the variances of each step; outputs of padded steps have no meaning."""
        del steps
        x = x.astype(jnp.float32)
        mean = self.mean(jnp.tanh(self.mean_hidden(x)))
        raw = self.variance(jnp.tanh(self.variance_hidden(x)))
        # elu(raw) + 1, computed as e^raw for raw ≤ 0: the difference e^raw − 1 would round a small variance to zero.
        variance = jnp.where(raw > 0, raw + 1, jnp.exp(jnp.minimum(raw, 0)))
        return jnp.concatenate([mean, variance], axis=-1)

    def initial_state(self, batch: int) -> PyTree:
        """Return an empty state: the output of a step depends on this step only."""
        del batch
        return ()

    def advance(
        self, state: PyTree, x: Float[Array, "batch L H"], steps: Steps
    ) -> tuple[PyTree, Float[Array, "batch L two_d_output"]]:
        """Return the state, and the means and variances of a chunk's steps."""
        return state, self(x, steps)


HEADS = {
    Head.classification: ClassificationHead,
    Head.retrieval: RetrievalHead,
    Head.regression: RegressionHead,
    Head.gaussian: GaussianHead,
}
