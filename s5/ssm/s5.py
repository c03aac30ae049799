"""The S5 layer. Source: Smith et al. 2023 (arXiv:2208.04933)."""

import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Bool, Float

from s5.config import ModelConfig
from s5.matmul import matmul
from s5.params import InputParam, OutputParam, StateParam, StepParam
from s5.ssm.discretize import DISCRETIZE
from s5.ssm.init import init_B, init_C, init_log_step, make_block_hippo
from s5.ssm.scan import linear_recurrence


class S5SSM(nnx.Module):
    """A diagonal state space model with many inputs and outputs.

    x'(t) = Lambda x(t) + B_tilde u(t), y(t) = C_tilde x(t) + D u(t), with one step per state. P is the number of
    states that are kept: half of `d_state` under conjugate symmetry. All parameters are real.

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

    def __call__(
        self, u: Float[Array, "batch L H"], mask: Bool[Array, "batch L"] | None = None
    ) -> Float[Array, "batch L H"]:
        """Apply the layer to whole sequences.

        Args:
            u: Inputs.
            mask: True at valid steps, which form a prefix; None where all are valid.

        Returns:
            Outputs; those at padded steps mean nothing.
        """
        driven = u if mask is None else jnp.where(mask[..., None], u, 0)
        Lambda_bar, into = self._discretized()
        Bu = matmul(driven, into).reshape(*u.shape[:2], 2, -1)
        out = jnp.split(self._output_matrix(), 1 + self.bidirectional)
        y = matmul(_flat(linear_recurrence(Lambda_bar, Bu)), out[0])
        if self.bidirectional:
            # With a zero input at padded steps, the backward state is still zero when it meets the last valid step.
            y += matmul(_flat(linear_recurrence(Lambda_bar, Bu, True)), out[1])
        return y + self.D[...] * u

    def initial_state(self, batch: int) -> Float[Array, "{batch} 2 P"]:
        """Return the state before the first step, for `step`."""
        return jnp.zeros((batch, 2, self.Lambda_re.shape[0]))

    def step(
        self, x: Float[Array, "batch 2 P"], u: Float[Array, "batch H"]
    ) -> tuple[Float[Array, "batch 2 P"], Float[Array, "batch H"]]:
        """Advance one step: the streaming form of `__call__`.

        Args:
            x: The state before the step, as planes.
            u: The input of the step.

        Returns:
            The state after the step, and the step's output.

        Raises:
            ValueError: For a bidirectional layer, which cannot stream.
        """
        if self.bidirectional:
            raise ValueError("a bidirectional layer has no streaming form: its output needs the whole sequence")
        (re, im), into = self._discretized()
        Bu = (u @ into).reshape(x.shape)
        x = jnp.stack([re * x[:, 0] - im * x[:, 1], re * x[:, 1] + im * x[:, 0]], axis=1) + Bu
        return x, x.reshape(len(x), -1) @ self._output_matrix() + self.D[...] * u

    def _discretized(self) -> tuple[Float[Array, "2 P"], Float[Array, "H 2*P"]]:
        """Return Lambda_bar as planes, and B_bar as the real matrix that maps u to both planes of B_bar u."""
        re = self.Lambda_re[...]
        Lambda = jnp.stack([jnp.minimum(re, -1e-4) if self.clip_eigs else re, self.Lambda_im[...]])
        Lambda_bar, (g_re, g_im) = DISCRETIZE[self.discretization](Lambda, jnp.exp(self.log_step[...]))
        B_re, B_im = self.B_re[...].T, self.B_im[...].T
        return Lambda_bar, jnp.concatenate([g_re * B_re - g_im * B_im, g_re * B_im + g_im * B_re], axis=1)

    def _output_matrix(self) -> Float[Array, "planes H"]:
        """Return C_tilde as the real matrix that maps both planes of the state to y, direction after direction."""
        factor = 2.0 if self.conj_sym else 1.0  # the other half of the spectrum adds the complex conjugate
        P = self.Lambda_re.shape[0]
        re, im = (plane.T.reshape(-1, 1, P, plane.shape[0]) for plane in (self.C_re[...], self.C_im[...]))
        return jnp.concatenate([factor * re, -factor * im], axis=1).reshape(-1, re.shape[-1])


def _f32(values: np.ndarray) -> Array:
    return jnp.asarray(values, dtype=jnp.float32)


def _flat(x: Float[Array, "batch L 2 P"]) -> Float[Array, "batch L 2*P"]:
    return x.reshape(*x.shape[:2], -1)
