"""What a model makes of its features: one answer per sequence, per pair of sequences, or per step.

Source: Smith et al. 2023 (arXiv:2208.04933) and its repository; the retrieval head is that of the Long Range Arena
(Tay et al. 2021, arXiv:2011.04006).
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Bool, Float

from s5.config.choices import Head, Pooling
from s5.config.run import ModelConfig
from s5.nn.dense import Dense

_GAUSSIAN_WIDTH = 30

# What a head carries along a stream: for mean pooling the sum of the features so far and their number.
HeadState = Any


def pool(
    x: Float[Array, "batch L H"], mask: Bool[Array, "batch L"] | None, pooling: Pooling
) -> Float[Array, "batch H"]:
    """Reduce each sequence to one vector, in float32.

    Args:
        x: Sequences.
        mask: True at valid steps, which form a prefix; None where all are valid.
        pooling: The mean over valid steps, or the last of them.

    Returns:
        One vector per sequence; zero for a sequence without valid steps.
    """
    if mask is None:
        return x.mean(1, dtype=jnp.float32) if pooling is Pooling.mean else x[:, -1].astype(jnp.float32)
    count = mask.sum(1, keepdims=True)
    if pooling is Pooling.mean:
        return jnp.where(mask[..., None], x, 0).sum(1, dtype=jnp.float32) / jnp.maximum(count, 1)
    last = jnp.take_along_axis(x, jnp.maximum(count - 1, 0)[..., None], axis=1)[:, 0]
    return jnp.where(count > 0, last, 0).astype(jnp.float32)


class ClassificationHead(nnx.Module):
    """Pooling over time, then a dense map to the logits."""

    def __init__(self, config: ModelConfig, d_output: int, rng: np.random.Generator) -> None:
        self.decoder = Dense(config.d_model, d_output, rng)
        self.pooling = config.pooling

    def __call__(
        self, x: Float[Array, "batch L H"], mask: Bool[Array, "batch L"] | None
    ) -> Float[Array, "batch d_output"]:
        """Return the logits of each sequence."""
        return self.decoder(pool(x, mask, self.pooling))

    def initial_state(self, batch: int) -> HeadState:
        """Return the state before the first step."""
        return _no_steps(batch, self.decoder.weight.shape[0], self.pooling)

    def advance(
        self, state: HeadState, x: Float[Array, "batch L H"]
    ) -> tuple[HeadState, Float[Array, "batch d_output"]]:
        """Return the state and the logits after further steps: those of the sequence so far."""
        state, pooled = _pool_on(state, x, self.pooling)
        return state, self.decoder(pooled)


class RetrievalHead(nnx.Module):
    """Two pooled documents, compared by a small network."""

    def __init__(self, config: ModelConfig, d_output: int, rng: np.random.Generator) -> None:
        self.hidden = Dense(4 * config.d_model, config.d_model, rng)
        self.decoder = Dense(config.d_model, d_output, rng)
        self.pooling = config.pooling

    def __call__(
        self, x: Float[Array, "documents L H"], mask: Bool[Array, "documents L"] | None
    ) -> Float[Array, "batch d_output"]:
        """Return the logits of each pair; a pair's documents are neighbours in the batch."""
        return self._compare(pool(x, mask, self.pooling))

    def initial_state(self, batch: int) -> HeadState:
        """Return the state before the first step."""
        return _no_steps(batch, self.decoder.weight.shape[0], self.pooling)

    def advance(
        self, state: HeadState, x: Float[Array, "documents L H"]
    ) -> tuple[HeadState, Float[Array, "batch d_output"]]:
        """Return the state and the logits after further steps of both documents."""
        state, pooled = _pool_on(state, x, self.pooling)
        return state, self._compare(pooled)

    def _compare(self, pooled: Float[Array, "documents H"]) -> Float[Array, "batch d_output"]:
        one, two = pooled[::2], pooled[1::2]
        features = jnp.concatenate([one, two, one - two, one * two], axis=-1)
        return self.decoder(jax.nn.gelu(self.hidden(features)))


class RegressionHead(nnx.Module):
    """A dense map of each step, in float32."""

    def __init__(self, config: ModelConfig, d_output: int, rng: np.random.Generator) -> None:
        self.decoder = Dense(config.d_model, d_output, rng)

    def __call__(
        self, x: Float[Array, "batch L H"], mask: Bool[Array, "batch L"] | None
    ) -> Float[Array, "batch L d_output"]:
        """Return the output of each step; those of padded steps mean nothing."""
        del mask
        return self.decoder(x.astype(jnp.float32))

    def initial_state(self, batch: int) -> HeadState:
        """Return the state before the first step: nothing."""
        del batch
        return ()

    def advance(
        self, state: HeadState, x: Float[Array, "batch L H"]
    ) -> tuple[HeadState, Float[Array, "batch L d_output"]]:
        """Return the outputs of further steps."""
        return state, self(x, None)


class GaussianHead(nnx.Module):
    """A Gaussian for each step, in float32: one small network for its mean, one for its variance.

    Source: the pendulum of Smith et al. 2023, after Becker et al. 2019 (arXiv:1905.07357).
    """

    def __init__(self, config: ModelConfig, d_output: int, rng: np.random.Generator) -> None:
        self.mean_hidden = Dense(config.d_model, _GAUSSIAN_WIDTH, rng)
        self.mean = Dense(_GAUSSIAN_WIDTH, d_output, rng)
        self.variance_hidden = Dense(config.d_model, _GAUSSIAN_WIDTH, rng)
        self.variance = Dense(_GAUSSIAN_WIDTH, d_output, rng)

    def __call__(
        self, x: Float[Array, "batch L H"], mask: Bool[Array, "batch L"] | None
    ) -> Float[Array, "batch L two_d_output"]:
        """Return the means of each step, then the variances, side by side; those of padded steps mean nothing."""
        del mask
        x = x.astype(jnp.float32)
        mean = self.mean(jnp.tanh(self.mean_hidden(x)))
        raw = self.variance(jnp.tanh(self.variance_hidden(x)))
        # elu(raw) + 1, without the difference that would round a small variance to zero.
        variance = jnp.where(raw > 0, raw + 1, jnp.exp(jnp.minimum(raw, 0)))
        return jnp.concatenate([mean, variance], axis=-1)

    def initial_state(self, batch: int) -> HeadState:
        """Return the state before the first step: nothing."""
        del batch
        return ()

    def advance(
        self, state: HeadState, x: Float[Array, "batch L H"]
    ) -> tuple[HeadState, Float[Array, "batch L two_d_output"]]:
        """Return the means and variances of further steps."""
        return state, self(x, None)


HEADS = {
    Head.classification: ClassificationHead,
    Head.retrieval: RetrievalHead,
    Head.regression: RegressionHead,
    Head.gaussian: GaussianHead,
}


def _no_steps(batch: int, d_model: int, pooling: Pooling) -> HeadState:
    return (jnp.zeros((batch, d_model)), jnp.zeros(())) if pooling is Pooling.mean else ()


def _pool_on(
    state: HeadState, x: Float[Array, "batch L H"], pooling: Pooling
) -> tuple[HeadState, Float[Array, "batch H"]]:
    """Return the pooled features of all steps so far."""
    if pooling is Pooling.last:
        return (), pool(x, None, pooling)
    total, count = state
    total, count = total + x.sum(1, dtype=jnp.float32), count + x.shape[1]
    return (total, count), total / count
