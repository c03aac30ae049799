"""The S4D layer. Source: Gu et al. 2022 (arXiv:2206.11893) and the options of its repository."""

from typing import final

import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Complex128, Float

from s5.config.choices import Discretization, S4DInit
from s5.nn.initializers import as_generator, split_complex, to_float32
from s5.nn.params import InputParam, OutputParam, StateParam, StepParam
from s5.ssm.diagonal import BILINEAR, ZOH, DiagonalSSM, System, complex_product
from s5.ssm.hippo import make_hippo_normal
from s5.ssm.initializers import init_log_step

_RULES = {Discretization.zoh: ZOH, Discretization.bilinear: BILINEAR}

# The S4 repository limits the initial B of the LegS form to this.
_LARGEST_B = 2.0


@final
class S4D(DiagonalSSM):
    """A diagonal state space model with one input and one output for each feature.

    x'(t) = Lambda x(t) + B u(t), y(t) = 2 Re(C x(t)) + D u(t). N is the number of states that are stored: half of
    `d_state`, one of each conjugate pair. The real parts of Lambda are −exp(log_decay), so every state decays.

    log_decay: (n_ssm, N), logarithm of minus the real part of Lambda. Feature h uses row h modulo n_ssm.
    Lambda_im: (n_ssm, N), imaginary part of Lambda.
    B_re, B_im: (n_ssm, N), real and imaginary parts of B.
    C_re, C_im: (H, N), real and imaginary parts of C; (H, 2N) for two directions, the forward direction first.
    D: (H,), element-wise feed-through.
    log_step: (H, 1), logarithm of the step size of each feature; (H, N) if each state has its own.
    """

    def __init__(
        self,
        d_model: int,
        d_state: int,
        *,
        init: S4DInit | str = S4DInit.legs,
        discretization: Discretization | str = Discretization.zoh,
        n_ssm: int | None = None,
        dt_tie: bool = True,
        dt_min: float = 1e-3,
        dt_max: float = 1e-1,
        bandlimit: float | None = None,
        bidirectional: bool = False,
        step_rescale: float = 1.0,
        rngs: nnx.Rngs | np.random.Generator,
    ) -> None:
        """Draw the initial values, in float64.

        Args:
            d_model: H, number of input and output features.
            d_state: Number of states of a feature, with both of each conjugate pair: an even number.
            init: The initial eigenvalues.
            discretization: Rule that turns the continuous system into a recurrence.
            n_ssm: Number of different Lambda and B, which the features share; None for one per feature.
            dt_tie: Give all states of a feature the same step size.
            dt_min: Smallest initial step size.
            dt_max: Largest initial step size.
            bandlimit: Silence states with this many times the highest frequency that the steps can represent, or
                more; None to keep all.
            bidirectional: Add a second kernel, from the last step to the first.
            step_rescale: Factor on every step size.
            rngs: A NumPy generator, or random streams; one key of the stream `params` is taken.

        Raises:
            ValueError: If `d_state` is odd, or `d_model` not a multiple of `n_ssm`.
        """
        if d_state % 2 or d_model % (n_ssm or 1):
            raise ValueError(f"d_state={d_state} must be even, and d_model={d_model} divisible by n_ssm={n_ssm}")
        H, N, copies, rng = d_model, d_state // 2, n_ssm or d_model, as_generator(rngs)
        systems = [init_system(rng, S4DInit(init), d_state) for _ in range(copies)]
        Lambda, B = (np.stack(each) for each in zip(*systems, strict=True))
        columns = (H, N * (1 + bidirectional))
        C = (rng.standard_normal(columns) + 1j * rng.standard_normal(columns)) * np.sqrt(0.5)
        self.log_decay = StateParam(to_float32(np.log(-np.real(Lambda))))
        self.Lambda_im = StateParam(to_float32(np.imag(Lambda)))
        self.B_re, self.B_im = (InputParam(part) for part in split_complex(B))
        self.C_re, self.C_im = (OutputParam(part) for part in split_complex(C))
        self.D = OutputParam(to_float32(rng.standard_normal(H)))
        sizes = (H, 1 if dt_tie else N)
        self.log_step = StepParam(to_float32(init_log_step(rng, sizes[0] * sizes[1], dt_min, dt_max).reshape(sizes)))
        self.d_model, self.n_states, self.bidirectional, self.step_rescale = H, N, bidirectional, step_rescale
        self.rule, self.bandlimit = _RULES[Discretization(discretization)], bandlimit

    def make_system(self, factor: float | Float[Array, ""]) -> System:
        """Return the systems of all features; see `DiagonalSSM`."""
        H, N = self.d_model, self.n_states
        step = jnp.exp(self.log_step[...])
        repeat = (1, H // self.log_decay.shape[0], 1)
        Lambda = jnp.tile(jnp.stack([-jnp.exp(self.log_decay[...]), self.Lambda_im[...]]), repeat) * step
        B = jnp.tile(jnp.stack([self.B_re[...], self.B_im[...]]), repeat)
        if self.bandlimit is not None:
            B = jnp.where(jnp.abs(Lambda[1]) * factor < self.bandlimit * jnp.pi, B, 0)
        C = jnp.stack([self.C_re[...], self.C_im[...]]).reshape(2, H, -1, N).swapaxes(1, 2)
        # The gain of Lambda step is that of Lambda divided by the step. A conjugate pair adds twice the real part.
        return System(Lambda, complex_product((2 * step * B)[:, None], C), self.D[...], self.rule)


def init_system(
    rng: np.random.Generator, init: S4DInit, d_state: int
) -> tuple[Complex128[np.ndarray, " N"], Complex128[np.ndarray, " N"]]:
    """Return initial eigenvalues, one of each conjugate pair, and B.

    For `legs` they are the eigenvalues of the normal part of HiPPO-LegS, and B is HiPPO's in the eigenvectors' basis,
    whose phases are chosen so that B is positive; B is at most 2. For the others B is 1.

    Args:
        rng: The generator, for `random`.
        init: The kind.
        d_state: Number of states, with both of each conjugate pair.
    """
    N = d_state // 2
    n = np.arange(N)
    B = np.ones(N, complex)
    match init:
        case S4DInit.legs:
            Lambda, V = make_hippo_normal(d_state)
            projected = V[:, N:].conj().T @ np.sqrt(1 + 2.0 * np.arange(d_state))
            return Lambda[N:], np.minimum(np.abs(projected), _LARGEST_B).astype(complex)
        case S4DInit.lin:
            return -0.5 + 1j * np.pi * n, B
        case S4DInit.inv:
            return -0.5 + 1j * d_state / np.pi * (d_state / (2 * n + 1) - 1), B
        case S4DInit.real:
            return -(n + 1.0).astype(complex), B
        case S4DInit.random:
            return -0.5 + 1j * np.exp(rng.standard_normal(N)), B
