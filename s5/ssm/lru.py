"""The linear recurrent unit. Source: Orvieto et al. 2023 (arXiv:2303.06349)."""

from typing import final

import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float

from s5.nn.initializers import as_generator, split_complex, to_float32
from s5.nn.params import InputParam, OutputParam, StateParam
from s5.nn.sequence_mixer import SequenceMixer
from s5.nn.steps import REGULAR, Steps
from s5.ssm.projections import project_in, project_out
from s5.ssm.scan import linear_recurrence


@final
class LRU(SequenceMixer):
    """A diagonal linear recurrence in discrete time, whose eigenvalues stay inside the unit circle.

    x_k = Lambda x_{k-1} + e^gamma_log B u_k, y_k = Re(C x_k) + D u_k, with Lambda = exp(−e^nu + i e^theta).

    The layer has no continuous time. An interval of n regular steps multiplies the state by Lambda^n, as n steps do if
    only the last of them has an input. `Steps.rate` is a factor on n.

    nu: (P,), log(−log |Lambda|).
    theta: (P,), logarithm of the phase of Lambda.
    gamma_log: (P,), logarithm of the factor that normalises the inputs.
    B_re, B_im: (P, H), real and imaginary parts of B.
    C_re, C_im: (H, P), real and imaginary parts of C; (H, 2P) for two directions, the forward direction first.
    D: (H,), element-wise feed-through.
    """

    def __init__(
        self,
        d_model: int,
        d_state: int,
        *,
        r_min: float = 0.0,
        r_max: float = 1.0,
        max_phase: float = 2 * np.pi,
        bidirectional: bool = False,
        step_rescale: float = 1.0,
        rngs: nnx.Rngs | np.random.Generator,
    ) -> None:
        """Draw the initial values, in float64: eigenvalues uniformly from a ring of the complex plane.

        Args:
            d_model: H, number of input and output features.
            d_state: P, number of complex states.
            r_min: Inner radius of the ring.
            r_max: Outer radius of the ring.
            max_phase: Largest phase, in radians.
            bidirectional: Add a second recurrence from the last step to the first.
            step_rescale: Factor on every interval between steps.
            rngs: A NumPy generator, or random streams; one key of the stream `params` is taken.
        """
        H, P, rng = d_model, d_state, as_generator(rngs)
        decay = -0.5 * np.log(rng.uniform(r_min**2, r_max**2, P))  # −log of a modulus whose square is uniform
        self.nu = StateParam(to_float32(np.log(decay)))
        self.theta = StateParam(to_float32(np.log(rng.uniform(0, max_phase, P))))
        # √(1 − |Lambda|²): with this factor, white noise as input gives every state the same variance.
        self.gamma_log = StateParam(to_float32(0.5 * np.log(-np.expm1(-2 * decay))))
        B = (rng.standard_normal((P, H)) + 1j * rng.standard_normal((P, H))) / np.sqrt(2 * H)
        columns = (H, P * (1 + bidirectional))
        C = (rng.standard_normal(columns) + 1j * rng.standard_normal(columns)) / np.sqrt(P)
        self.B_re, self.B_im = (InputParam(part) for part in split_complex(B))
        self.C_re, self.C_im = (OutputParam(part) for part in split_complex(C))
        self.D = OutputParam(to_float32(rng.standard_normal(H)))
        self.d_model, self.bidirectional, self.step_rescale = d_model, bidirectional, step_rescale

    def __call__(self, u: Float[Array, "batch L H"], steps: Steps = REGULAR) -> Float[Array, "batch L H"]:
        """Apply the layer to whole sequences; see `SequenceMixer`."""
        self.check_inputs(u, steps)
        Bu = self._drive(u, steps)
        directions = (False, True)[: 1 + self.bidirectional]
        states = [
            linear_recurrence(self._eigenvalues(steps, reverse), Bu, reverse, resets=steps.resets)
            for reverse in directions
        ]
        return self._output(states, u)

    def initial_state(self, batch: int) -> Float[Array, "{batch} 2 P"]:
        """Return the state before the first step: zeros, real and imaginary parts."""
        return jnp.zeros((batch, 2, self.nu.shape[0]))

    def advance(
        self, state: Float[Array, "batch 2 P"], u: Float[Array, "batch L H"], steps: Steps = REGULAR
    ) -> tuple[Float[Array, "batch 2 P"], Float[Array, "batch L H"]]:
        """Process the next chunk of a stream; see `SequenceMixer`."""
        self.check_stream(u, steps)
        Bu = self._drive(u, steps)
        states = linear_recurrence(self._eigenvalues(steps, False), Bu, initial=state, resets=steps.resets)
        return states[:, -1], self._output([states], u)

    def _eigenvalues(self, steps: Steps, reverse: bool) -> Float[Array, "*axes 2 P"]:
        """Return the factor of the state at each step, a power of Lambda; a single factor if there are no intervals."""
        gaps = steps.gaps(reverse)
        power = self.step_rescale * steps.rate * (1.0 if gaps is None else gaps[..., None])
        modulus, phase = jnp.exp(-jnp.exp(self.nu[...]) * power), jnp.exp(self.theta[...]) * power
        return modulus[..., None, :] * jnp.stack([jnp.cos(phase), jnp.sin(phase)], axis=-2)

    def _drive(self, u: Float[Array, "batch L H"], steps: Steps) -> Float[Array, "batch L 2 P"]:
        gamma = jnp.exp(self.gamma_log[...])[:, None]
        return project_in(u, gamma * self.B_re[...], gamma * self.B_im[...], steps.mask)

    def _output(
        self, states: list[Float[Array, "batch L 2 P"]], u: Float[Array, "batch L H"]
    ) -> Float[Array, "batch L H"]:
        return project_out(states, u, self.C_re[...], self.C_im[...], self.D[...])
