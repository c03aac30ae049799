"""The real-gated linear recurrent unit, RG-LRU. Source: De et al. 2024 (arXiv:2402.19427)."""

from typing import final

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float

from s5.nn.initializers import as_generator, init_lecun_normal, to_float32
from s5.nn.matmul import matmul, matmul_transposed
from s5.nn.params import BiasParam, InputParam, OutputParam, StateParam, WeightParam
from s5.nn.sequence_mixer import SequenceMixer
from s5.nn.steps import REGULAR, Steps
from s5.ssm.real_recurrence import real_recurrence

# The power of a when its gate is open, which the paper fixes.
_POWER = 8.0
# The least −log a_k: its square root then has a finite derivative when a gate is shut.
_LEAST_DECAY = 1e-30


@final
class RGLRU(SequenceMixer):
    """A diagonal real recurrence whose forgetting and whose inputs are gated by the input of the step.

    x_k = B u_k, r_k = sigmoid(W_a x_k + b_a), i_k = sigmoid(W_x x_k + b_x), a_k = sigmoid(Lambda)^(8 r_k),
    h_k = a_k h_{k-1} + √(1 − a_k²) i_k x_k, y_k = C h_k. W_a and W_x are block-diagonal. B and C are the dense matrices
    before and after the unit in the paper's block; its convolution and its gelu branch are not part of this layer.

    The layer has no continuous time. An interval of n regular steps takes a_k to the power n, also under the root, so
    that white noise as input gives the states the same variance at every interval. `Steps.rate` is a factor on n. The
    first step of a segment is a step like any other, as in the paper; the code of RecurrentGemma leaves out the root
    there.

    Lambda: (P,), logit of a.
    B: (P, H), input matrix.
    gate_weight: (n_blocks, P / n_blocks, 2 P / n_blocks), the blocks of W_a and then W_x, one input per row.
    gate_bias: (2, P), b_a and b_x.
    C: (H, P), output matrix; (H, 2P) for two directions, the forward direction first.
    """

    def __init__(
        self,
        d_model: int,
        d_state: int,
        *,
        n_blocks: int = 1,
        r_min: float = 0.9,
        r_max: float = 0.999,
        bidirectional: bool = False,
        step_rescale: float = 1.0,
        rngs: nnx.Rngs | np.random.Generator,
    ) -> None:
        """Draw the initial values, in float64: a^8 is uniform between `r_min` and `r_max`.

        Args:
            d_model: H, number of input and output features.
            d_state: P, number of states.
            n_blocks: Number of blocks of the gates' matrices, a divisor of `d_state`.
            r_min: Smallest initial factor of a state while its gate is open, above 0.
            r_max: Largest initial factor of a state while its gate is open, below 1.
            bidirectional: Add a second recurrence from the last step to the first, with the same gates.
            step_rescale: Factor on every interval between steps.
            rngs: A NumPy generator, or random streams; one key of the stream `params` is taken.

        Raises:
            ValueError: If `d_state` is not a multiple of `n_blocks`.
        """
        size, rest = divmod(d_state, n_blocks)
        if rest:
            raise ValueError(f"d_state={d_state} must be divisible by n_blocks={n_blocks}")
        H, P, rng = d_model, d_state, as_generator(rngs)
        log_a = np.log(rng.uniform(r_min, r_max, P)) / _POWER
        self.Lambda = StateParam(to_float32(log_a - np.log(-np.expm1(log_a))))
        self.B = InputParam(to_float32(init_lecun_normal(rng, (P, H), fan_in=H)))
        self.gate_weight = WeightParam(to_float32(rng.standard_normal((n_blocks, size, 2 * size)) / np.sqrt(size)))
        self.gate_bias = BiasParam(to_float32(np.zeros((2, P))))
        columns = P * (1 + bidirectional)
        self.C = OutputParam(to_float32(init_lecun_normal(rng, (H, columns), fan_in=columns)))
        self.d_model, self.bidirectional, self.step_rescale = d_model, bidirectional, step_rescale

    def __call__(self, u: Float[Array, "batch L H"], steps: Steps = REGULAR) -> Float[Array, "batch L H"]:
        """Apply the layer to whole sequences; see `SequenceMixer`."""
        self.check_inputs(u, steps)
        states = [self._states(u, steps, reverse) for reverse in (False, True)[: 1 + self.bidirectional]]
        return self._output(states, u)

    def initial_state(self, batch: int) -> Float[Array, "{batch} P"]:
        """Return the state before the first step: zeros."""
        return jnp.zeros((batch, self.Lambda.shape[0]))

    def advance(
        self, state: Float[Array, "batch P"], u: Float[Array, "batch L H"], steps: Steps = REGULAR
    ) -> tuple[Float[Array, "batch P"], Float[Array, "batch L H"]]:
        """Process the next chunk of a stream; see `SequenceMixer`."""
        self.check_stream(u, steps)
        states = self._states(u, steps, False, state)
        return states[:, -1], self._output([states], u)

    def _states(
        self, u: Float[Array, "batch L H"], steps: Steps, reverse: bool, initial: Float[Array, "batch P"] | None = None
    ) -> Float[Array, "batch L P"]:
        """Return the states of one direction."""
        x = matmul_transposed(u, self.B[...], jnp.float32)
        r, i = self._gates(x, u.dtype)
        gaps = steps.gaps(reverse)
        interval = self.step_rescale * steps.rate * (1.0 if gaps is None else gaps[..., None])
        decay = jnp.maximum(_POWER * jax.nn.softplus(-self.Lambda[...]) * interval * r, _LEAST_DECAY)
        less_one = jnp.expm1(-decay)
        # 1 − a² = (1 − a)(1 + a) without the difference of two numbers that are nearly equal.
        b = jnp.sqrt(-less_one * (2 + less_one)) * i * x
        if steps.mask is not None:  # the reverse direction must still be zero at the last valid step
            b = jnp.where(steps.mask[..., None], b, 0)
        return real_recurrence(1 + less_one, b, reverse, initial, steps.resets)

    def _gates(self, x: Float[Array, "batch L P"], dtype: jnp.dtype) -> tuple[Array, Array]:
        """Return the gates of the state and of the input, (batch, L, P), with products in the precision `dtype`."""
        size = self.gate_weight.shape[1]
        # Products of slices: a product with an axis of blocks takes twice the time on a CPU.
        products = [
            matmul(x[..., first : first + size].astype(dtype), block, jnp.float32)
            for first, block in zip(range(0, x.shape[-1], size), self.gate_weight[...], strict=True)
        ]
        parts = (jnp.concatenate([one[..., part] for one in products], -1) for part in (np.s_[:size], np.s_[size:]))
        r, i = (jax.nn.sigmoid(part + bias) for part, bias in zip(parts, self.gate_bias[...], strict=True))
        return r, i

    def _output(self, states: list[Float[Array, "batch L P"]], u: Float[Array, "batch L H"]) -> Array:
        columns = jnp.split(self.C[...], len(states), axis=1)
        y = sum(matmul_transposed(x.astype(u.dtype), C, jnp.float32) for x, C in zip(states, columns, strict=True))
        return jnp.asarray(y).astype(u.dtype)
