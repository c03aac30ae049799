"""The S5 layer. Source: Smith et al. 2023 (arXiv:2208.04933)."""

from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Bool, Float

from s5.config.run import ModelConfig
from s5.nn.matmul import matmul_transposed
from s5.nn.params import InputParam, OutputParam, StateParam, StepParam
from s5.ssm.discretize import DISCRETIZE
from s5.ssm.hippo import init_B, init_C, init_log_step, make_block_hippo
from s5.ssm.scan import linear_recurrence, multiply


class S5SSM(nnx.Module):
    """A diagonal state space model with many inputs and outputs.

    x'(t) = Lambda x(t) + B_tilde u(t), y(t) = C_tilde x(t) + D u(t), with one step per state. P is the number of
    states that are kept: half of `d_state` under conjugate symmetry. All parameters are real.

    Training may drive an eigenvalue to a positive real part. Its state then grows by e^(Lambda_re step) at every step,
    and a long sequence overflows to inf and nan, in the outputs and in all gradients: the training step notices that
    its new state is not finite. `clip_eigs` keeps every real part at or below −1e-4 and so every state bounded; an
    eigenvalue beyond gets no gradient to its real part, and stays where it is.

    Lambda_re, Lambda_im: (P,), eigenvalues.
    B_re, B_im: (P, H), B_tilde.
    C_re, C_im: (H, P), C_tilde, or (H, 2P) for two directions: first the forward states' columns.
    D: (H,), element-wise feed-through.
    log_step: (P,), the logarithm of the step.
    """

    def __init__(self, config: ModelConfig, rng: np.random.Generator) -> None:
        H = config.d_model
        Lambda, V = make_block_hippo(config.d_state, config.n_blocks, config.conj_sym)
        B = init_B(rng, V, H)
        C = np.concatenate([init_C(rng, config.C_init, V, H) for _ in range(1 + config.bidirectional)], axis=1)
        self.Lambda_re, self.Lambda_im = StateParam(_f32(np.real(Lambda))), StateParam(_f32(np.imag(Lambda)))
        self.B_re, self.B_im = InputParam(_f32(np.real(B))), InputParam(_f32(np.imag(B)))
        self.C_re, self.C_im = OutputParam(_f32(np.real(C))), OutputParam(_f32(np.imag(C)))
        self.D = OutputParam(_f32(rng.standard_normal(H)))
        self.log_step = StepParam(_f32(init_log_step(rng, Lambda.size, config.dt_min, config.dt_max)))
        self.conj_sym, self.clip_eigs = config.conj_sym, config.clip_eigs
        self.bidirectional, self.discretization = config.bidirectional, config.discretization
        self.step_rescale = config.step_rescale

    def __call__(
        self,
        u: Float[Array, "batch L H"],
        mask: Bool[Array, "batch L"] | None = None,
        *,
        step_rescale: float | Float[Array, ""] = 1.0,
        times: Float[Array, "batch L"] | None = None,
    ) -> Float[Array, "batch L H"]:
        """Apply the layer to whole sequences.

        Matrix products are computed in the precision of `u` and added up in float32; the state and its recurrence are
        float32 whatever `u` is.

        Args:
            u: Inputs.
            mask: True at valid steps, which form a prefix; None where all are valid. Padded inputs must be finite.
            step_rescale: A factor on every step, on top of the configured one.
            times: When each step was observed, in units of the regular interval, where that is not regular. The
                forward state moves by (1, t_k − t_{k−1}, …), the backward state by (…, t_{k+1} − t_k, 1).

        Returns:
            Outputs, in the precision of `u`; those at padded steps mean nothing.
        """
        directions = (False, True)[: 1 + self.bidirectional]
        intervals = [None if times is None else _intervals(times, mask, reverse) for reverse in directions]
        driven = self._driven(u, step_rescale, intervals, mask)
        states = [linear_recurrence(*one, reverse) for one, reverse in zip(driven, directions, strict=True)]
        return self._read(states, u)

    def initial_state(self, batch: int) -> Float[Array, "{batch} 2 P"]:
        """Return the state before the first step, for `step` and `advance`."""
        return jnp.zeros((batch, 2, self.Lambda_re.shape[0]))

    def step(
        self,
        x: Float[Array, "batch 2 P"],
        u: Float[Array, "batch H"],
        *,
        step_rescale: float | Float[Array, ""] = 1.0,
        interval: Float[Array, " batch"] | None = None,
    ) -> tuple[Float[Array, "batch 2 P"], Float[Array, "batch H"]]:
        """Advance one step: the streaming form of `__call__`.

        Args:
            x: The state before the step, as planes.
            u: The input of the step.
            step_rescale: As in `__call__`.
            interval: Time since the step before, in units of the regular interval; None for 1.

        Returns:
            The state after the step, and the step's output.

        Raises:
            ValueError: For a bidirectional layer, which cannot stream.
        """
        intervals = None if interval is None else interval[:, None]
        x, y = self.advance(x, u[:, None], step_rescale=step_rescale, intervals=intervals)
        return x, y[:, 0]

    def advance(
        self,
        x: Float[Array, "batch 2 P"],
        u: Float[Array, "batch L H"],
        *,
        step_rescale: float | Float[Array, ""] = 1.0,
        intervals: Float[Array, "batch L"] | None = None,
    ) -> tuple[Float[Array, "batch 2 P"], Float[Array, "batch L H"]]:
        """Advance by a chunk of a stream; chunks one after the other are `__call__` on the whole.

        Args:
            x: The state before the chunk, as planes.
            u: The inputs of the chunk, all valid.
            step_rescale: As in `__call__`.
            intervals: Time since the step before, for each step, in units of the regular interval; None for 1.

        Returns:
            The state after the chunk, and the chunk's outputs.

        Raises:
            ValueError: For a bidirectional layer, which cannot stream.
        """
        if self.bidirectional:
            raise ValueError("a bidirectional layer has no streaming form: its output needs the whole sequence")
        ((Lambda_bar, Bu),) = self._driven(u, step_rescale, [intervals])
        states = linear_recurrence(Lambda_bar, Bu, initial=x)
        return states[:, -1], self._read([states], u)

    def _driven(
        self,
        u: Float[Array, "batch L H"],
        step_rescale: float | Float[Array, ""],
        intervals: Sequence[Float[Array, "batch L"] | None],
        mask: Bool[Array, "batch L"] | None = None,
    ) -> list[tuple[Float[Array, "*axes 2 P"], Float[Array, "batch L 2 P"]]]:
        """Return Lambda_bar and B_bar u for each direction; Lambda_bar is per step where intervals are given."""
        re = self.Lambda_re[...]
        Lambda = jnp.stack([jnp.minimum(re, -1e-4) if self.clip_eigs else re, self.Lambda_im[...]])
        step = jnp.exp(self.log_step[...]) * (self.step_rescale * step_rescale)
        discretize = DISCRETIZE[self.discretization]

        B_re, B_im = self.B_re[...], self.B_im[...]

        def drive(B_re, B_im):
            B = jnp.concatenate([B_re, B_im])
            Bu = matmul_transposed(u, B, jnp.float32).reshape(*u.shape[:2], 2, -1)
            # With zeros at padded steps, the backward state is still zero when it meets the last valid step.
            return Bu if mask is None else jnp.where(mask[..., None, None], Bu, 0)

        known = [one for one in intervals if one is not None]
        if not known:
            Lambda_bar, gain = discretize(Lambda, step)
            g_re, g_im = gain[0, :, None], gain[1, :, None]
            return [(Lambda_bar, drive(g_re * B_re - g_im * B_im, g_re * B_im + g_im * B_re))] * len(intervals)
        # The gain of every step multiplies B_tilde u, of size L × P: no B_bar, L × P × H, exists.
        systems = [discretize(Lambda, one[..., None] * step) for one in known]
        B_u = drive(B_re, B_im)
        return [(Lambda_bar, multiply(gain, B_u)) for Lambda_bar, gain in systems]

    def _read(
        self, states: list[Float[Array, "batch L 2 P"]], u: Float[Array, "batch L H"]
    ) -> Float[Array, "batch L H"]:
        """Return C_tilde x + D u, with the states of each direction."""
        factor = 2.0 if self.conj_sym else 1.0  # the other half of the spectrum adds the complex conjugate
        H, P = u.shape[-1], self.Lambda_re.shape[0]
        re, im = (plane[...].reshape(H, -1, 1, P) for plane in (self.C_re, self.C_im))
        C = factor * jnp.concatenate([re, -im], axis=2).reshape(H, -1)  # direction after direction, plane after plane
        x = [one.reshape(*u.shape[:2], -1).astype(u.dtype) for one in states]
        # Joining the directions copies the states; reading them apart adds up outputs. The narrower one is cheaper.
        if 2 * P * len(x) <= H:
            x = [jnp.concatenate(x, axis=-1)]
        y = self.D[...] * u
        for one, columns in zip(x, jnp.split(C, len(x), axis=1), strict=True):
            y += matmul_transposed(one, columns, jnp.float32)
        return y.astype(u.dtype)


def _f32(values: np.ndarray) -> Array:
    return jnp.asarray(values, dtype=jnp.float32)


def _intervals(
    times: Float[Array, "batch L"], mask: Bool[Array, "batch L"] | None, reverse: bool
) -> Float[Array, "batch L"]:
    """Return the time by which each step moves the state; 1 at a sequence's first step, the last one in reverse.

    A padded step has no time, so that the interval to it, and at it, is 1 too.
    """
    between = jnp.diff(times, axis=1)
    if mask is not None:
        between = jnp.where(mask[:, 1:], between, 1)
    return jnp.pad(between, ((0, 0), (0, 1) if reverse else (1, 0)), constant_values=1)
