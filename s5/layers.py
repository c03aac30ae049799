"""What surrounds an SSM in a deep model: dense maps, normalisation, gates, dropout and the residual.

Source: Smith et al. 2023 (arXiv:2208.04933) and the layer options of its repository.
"""

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Bool, Float, Key

from s5.choices import Activation, ModelKind, Norm
from s5.config import ModelConfig
from s5.matmul import matmul
from s5.params import BiasParam, NormParam, WeightParam
from s5.ssm.init import init_lecun_normal
from s5.ssm.s5 import S5SSM

SSM = {ModelKind.s5: S5SSM}


class Dense(nnx.Module):
    """An affine map of the last axis.

    weight: (d_in, d_out).
    bias: (d_out,).
    """

    def __init__(self, d_in: int, d_out: int, rng: np.random.Generator) -> None:
        weight = init_lecun_normal(rng, (d_in, d_out), fan_in=d_in)
        self.weight = WeightParam(jnp.asarray(weight, dtype=jnp.float32))
        self.bias = BiasParam(jnp.zeros(d_out))

    def __call__(self, x: Float[Array, "*axes d_in"]) -> Float[Array, "*axes d_out"]:
        """Return x weight + bias."""
        return matmul(x, self.weight[...]) + self.bias[...]


class BatchNorm(nnx.Module):
    """Normalise each feature over batch and time, counting valid steps only.

    scale, bias: (H,).
    mean, var: (H,), running statistics, which evaluation uses.
    """

    def __init__(self, d_model: int, momentum: float) -> None:
        self.scale, self.bias = NormParam(jnp.ones(d_model)), NormParam(jnp.zeros(d_model))
        self.mean, self.var = nnx.BatchStat(jnp.zeros(d_model)), nnx.BatchStat(jnp.ones(d_model))
        self.momentum = momentum

    def __call__(
        self, x: Float[Array, "batch L H"], mask: Bool[Array, "batch L"] | None, train: bool
    ) -> Float[Array, "batch L H"]:
        """Normalise; in training with the batch's statistics, which also move the running ones."""
        mean, var = self.mean[...], self.var[...]
        if train:
            weight = None if mask is None else mask[..., None]
            mean, var = x.mean((0, 1), where=weight), x.var((0, 1), where=weight)
            for running, now in ((self.mean, mean), (self.var, var)):
                running[...] = self.momentum * running[...] + (1 - self.momentum) * now
        scale = self.scale[...] * jax.lax.rsqrt(var + 1e-5)
        return x * scale + (self.bias[...] - mean * scale)


class LayerNorm(nnx.Module):
    """Normalise each step over its features.

    scale, bias: (H,).
    """

    def __init__(self, d_model: int) -> None:
        self.scale, self.bias = NormParam(jnp.ones(d_model)), NormParam(jnp.zeros(d_model))

    def __call__(
        self, x: Float[Array, "batch L H"], mask: Bool[Array, "batch L"] | None, train: bool
    ) -> Float[Array, "batch L H"]:
        """Normalise; a step sees only itself, so neither padding nor training matter."""
        del mask, train
        mean, var = x.mean(-1, keepdims=True), x.var(-1, keepdims=True)
        return (x - mean) * jax.lax.rsqrt(var + 1e-6) * self.scale[...] + self.bias[...]


def dropout(x: Float[Array, "batch L H"], rate: float, key: Key[Array, ""] | None) -> Float[Array, "batch L H"]:
    """Zero each feature of each sequence with probability `rate`, at all steps alike, and rescale the others.

    Args:
        x: Values.
        rate: Probability, in [0, 1).
        key: Random key; None leaves x as it is (evaluation).

    Returns:
        Values with the same mean.
    """
    if key is None or rate == 0:
        return x
    keep = jax.random.bernoulli(key, 1 - rate, (x.shape[0], 1, x.shape[2]))
    return x * (keep / (1 - rate)).astype(x.dtype)


class Gate(nnx.Module):
    """The non-linearity after an SSM, with dropout inside and after it.

    gate: The map under the sigmoid; the GLUs have it.
    value: The map of the gated value; only `full_glu` has it.
    """

    def __init__(self, config: ModelConfig, rng: np.random.Generator) -> None:
        kind, H = config.activation, config.d_model
        self.value = Dense(H, H, rng) if kind is Activation.full_glu else None
        self.gate = Dense(H, H, rng) if kind is not Activation.gelu else None
        self.kind, self.rate = kind, config.dropout

    def __call__(self, y: Float[Array, "batch L H"], key: Key[Array, ""] | None) -> Float[Array, "batch L H"]:
        """Apply the non-linearity; the key draws the dropout, None for none."""
        inner, outer = (None, None) if key is None else jax.random.split(key)
        x = dropout(jax.nn.gelu(y), self.rate, inner)
        if self.gate is None:
            return x
        gate = jax.nn.sigmoid(self.gate(x))
        value = y if self.kind is Activation.half_glu2 else x if self.value is None else self.value(x)
        return dropout(value * gate, self.rate, outer)


class SequenceLayer(nnx.Module):
    """One residual layer: x + gate(ssm(norm(x))), or norm(x + gate(ssm(x)))."""

    def __init__(self, config: ModelConfig, rng: np.random.Generator) -> None:
        self.ssm = SSM[config.kind](config, rng)
        self.gate = Gate(config, rng)
        batch = config.norm is Norm.batch
        self.norm = BatchNorm(config.d_model, config.bn_momentum) if batch else LayerNorm(config.d_model)
        self.prenorm = config.prenorm

    def __call__(
        self,
        x: Float[Array, "batch L H"],
        mask: Bool[Array, "batch L"] | None = None,
        *,
        train: bool,
        key: Key[Array, ""] | None = None,
        step_rescale: float | Float[Array, ""] = 1.0,
        times: Float[Array, "batch L"] | None = None,
    ) -> Float[Array, "batch L H"]:
        """Apply the layer.

        Args:
            x: Inputs.
            mask: True at valid steps, which form a prefix; None where all are valid.
            train: Whether batch statistics are taken and moved.
            key: Random key of the dropout; None for none.
            step_rescale: Factor on every step, on top of the config's.
            times: When each step was observed, in units of the regular interval; None where all intervals are 1.

        Returns:
            Outputs; those at padded steps mean nothing.
        """
        u = self.norm(x, mask, train) if self.prenorm else x
        x = x + self.gate(self.ssm(u, mask, step_rescale=step_rescale, times=times), key)
        return x if self.prenorm else self.norm(x, mask, train)

    def initial_state(self, batch: int) -> Float[Array, "{batch} 2 P"]:
        """Return the state before the first step, for `advance`."""
        return self.ssm.initial_state(batch)

    def advance(
        self,
        state: Float[Array, "batch 2 P"],
        x: Float[Array, "batch L H"],
        *,
        step_rescale: float | Float[Array, ""] = 1.0,
        intervals: Float[Array, "batch L"] | None = None,
    ) -> tuple[Float[Array, "batch 2 P"], Float[Array, "batch L H"]]:
        """Apply the layer to the next steps of a stream, as in evaluation.

        Args:
            state: The state before them.
            x: Inputs, all valid.
            step_rescale: Factor on every step, on top of the config's.
            intervals: Time since the step before of each step, in units of the regular interval; None for 1.

        Returns:
            The state after them, and the outputs.

        Raises:
            ValueError: For a bidirectional layer, which cannot stream.
        """
        u = self.norm(x, None, False) if self.prenorm else x
        state, y = self.ssm.advance(state, u, step_rescale=step_rescale, intervals=intervals)
        x = x + self.gate(y, None)
        return state, x if self.prenorm else self.norm(x, None, False)
