"""LinOSS, layers of oscillators, and D-LinOSS, which damps them.

Sources: Rusch and Rus 2024 (arXiv:2410.03943); Boyer, Rusch and Rus 2025 (arXiv:2505.12171); initial values from the
code of both papers.
"""

from typing import final

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float

from s5.config.choices import LinOSSDiscretization
from s5.nn.initializers import as_generator, to_float32
from s5.nn.params import InputParam, OutputParam, StateParam, StepParam
from s5.nn.sequence_mixer import SequenceMixer
from s5.nn.steps import REGULAR, Steps
from s5.ssm.block_scan import block_recurrence
from s5.ssm.projections import project_in, project_out


@final
class LinOSS(SequenceMixer):
    """Harmonic oscillators that the inputs drive: x''(t) = −A x(t) − G x'(t) + B u(t), y(t) = Re(C x(t)) + D u(t).

    With the velocity z = x' and the step Delta, both rules compute x_k = x_{k-1} + Delta z_k. The velocity is

    - `im`, implicit: z_k = z_{k-1} + Delta (−A x_k + B u_k). Energy is lost at every step, so that states decay.
    - `imex`, implicit and explicit: z_k = z_{k-1} + Delta (−A x_{k-1} − G z_k + B u_k). Without the damping G, states
      neither decay nor grow.

    A and Delta may have any trained value: A is cut off below at 0, Delta is a sigmoid. `imex` also cuts A off above at
    4/Delta², beyond which states would grow. With damping, both limits are those between which the eigenvalues are a
    complex pair, of modulus (1 + Delta G)^(−1/2): (√(1 + Delta G) ∓ 1)²/Delta². `Steps.rate` and intervals are factors
    on Delta, and move the upper limit only.

    A: (P,), squares of the frequencies in the unit 1/time, below its cut-offs.
    G: (P,), damping, cut off below at 0; with `damping` only.
    step_logit: (P,), Delta is its sigmoid.
    B_re, B_im: (P, H), real and imaginary parts of B.
    C_re, C_im: (H, P), real and imaginary parts of C; (H, 2P) for two directions, the forward direction first.
    D: (H,), element-wise feed-through.
    """

    def __init__(
        self,
        d_model: int,
        d_state: int,
        *,
        discretization: LinOSSDiscretization | str = LinOSSDiscretization.im,
        damping: bool = False,
        r_min: float = 0.9,
        r_max: float = 1.0,
        max_phase: float = np.pi,
        bidirectional: bool = False,
        step_rescale: float = 1.0,
        rngs: nnx.Rngs | np.random.Generator,
    ) -> None:
        """Draw the initial values, in float64.

        Without damping A is uniform in [0, 1). With damping A and G are such that the eigenvalues of a step are uniform
        in a ring of the complex plane.

        Args:
            d_model: H, number of input and output features.
            d_state: P, number of oscillators; each has a complex velocity and position.
            discretization: Rule that turns the oscillators into a recurrence.
            damping: Whether to learn G; needs `imex`.
            r_min: Inner radius of the ring.
            r_max: Outer radius of the ring, at most 1.
            max_phase: Largest phase of an eigenvalue in the ring, in radians, at most pi.
            bidirectional: Add a second recurrence from the last step to the first.
            step_rescale: Factor on every step size.
            rngs: A NumPy generator, or random streams; one key of the stream `params` is taken.
        """
        H, P, rng = d_model, d_state, as_generator(rngs)
        if damping:
            logit = rng.normal(0, 0.5, P)
            A, G = _init_damped(rng, 1 / (1 + np.exp(-logit)), r_min, r_max, max_phase)
            self.G = StateParam(to_float32(G))
        else:
            A, logit = rng.uniform(0, 1, P), rng.uniform(0, 1, P)
        self.A, self.step_logit = StateParam(to_float32(A)), StepParam(to_float32(logit))
        self.B_re, self.B_im = (InputParam(_init_uniform(rng, (P, H))) for _ in range(2))
        columns = P * (1 + bidirectional)
        self.C_re, self.C_im = (OutputParam(_init_uniform(rng, (H, columns), P)) for _ in range(2))
        self.D = OutputParam(to_float32(rng.standard_normal(H)))
        self.d_model, self.bidirectional, self.step_rescale = d_model, bidirectional, step_rescale
        self.discretization, self.damping = LinOSSDiscretization(discretization), damping

    def __call__(self, u: Float[Array, "batch L H"], steps: Steps = REGULAR) -> Float[Array, "batch L H"]:
        """Apply the layer to whole sequences; see `SequenceMixer`."""
        self.check_inputs(u, steps)
        directions = (False, True)[: 1 + self.bidirectional]
        positions = [
            block_recurrence(*system, reverse, resets=steps.resets)[0]
            for system, reverse in zip(self._systems(u, steps, directions), directions, strict=True)
        ]
        return self._output(positions, u)

    def initial_state(self, batch: int) -> Float[Array, "{batch} 2 2 P"]:
        """Return the state before the first step: zeros, velocities and positions, real and imaginary parts."""
        return jnp.zeros((batch, 2, 2, self.A.shape[0]))

    def advance(
        self, state: Float[Array, "batch 2 2 P"], u: Float[Array, "batch L H"], steps: Steps = REGULAR
    ) -> tuple[Float[Array, "batch 2 2 P"], Float[Array, "batch L H"]]:
        """Process the next chunk of a stream; see `SequenceMixer`."""
        self.check_stream(u, steps)
        ((M, w),) = self._systems(u, steps, (False,))
        positions, state = block_recurrence(M, w, initial=state, resets=steps.resets)
        return state, self._output([positions], u)

    def _systems(
        self, u: Float[Array, "batch L H"], steps: Steps, directions: tuple[bool, ...]
    ) -> list[tuple[Float[Array, "*axes 2 2 P"], Float[Array, "batch L 2 P"]]]:
        """Return the matrices and the inputs of the recurrence for each direction."""
        regular = jax.nn.sigmoid(self.step_logit[...])
        G = jax.nn.relu(self.G[...]) if self.damping else jnp.zeros_like(regular)
        # (√(1 + Delta G) − 1)/Delta without cancellation; zero without damping.
        A = jnp.maximum(self.A[...], (G / (jnp.sqrt(1 + regular * G) + 1)) ** 2)
        step = regular * (self.step_rescale * steps.rate)
        B_re, B_im = self.B_re[...], self.B_im[...]
        gaps = [gap for reverse in directions if (gap := steps.gaps(reverse)) is not None]
        if not gaps:
            w = project_in(u, step[:, None] * B_re, step[:, None] * B_im, steps.mask)
            return [(self._matrices(A, G, step), w)] * len(directions)
        Bu = project_in(u, B_re, B_im, steps.mask)
        each = [gap[..., None] * step for gap in gaps]
        return [(self._matrices(A, G, step), step[..., None, :] * Bu) for step in each]

    def _matrices(
        self, A: Float[Array, " P"], G: Float[Array, " P"], step: Float[Array, "*axes P"]
    ) -> Float[Array, "*axes 2 2 P"]:
        """Return M, with which (z_k, x_k) = M (z_{k-1} + Delta B u_k, x_{k-1})."""
        if self.discretization is LinOSSDiscretization.im:
            z = 1 / (1 + step**2 * A)
            M = z, -step * A * z, step * z, z
        else:
            z = 1 / (1 + step * G)
            A = jnp.minimum(A, ((jnp.sqrt(1 + step * G) + 1) / step) ** 2)
            M = z, -step * A * z, step * z, 1 - step**2 * A * z
        return jnp.stack(M, axis=-2).reshape(*step.shape[:-1], 2, 2, step.shape[-1])

    def _output(
        self, positions: list[Float[Array, "batch L 2 P"]], u: Float[Array, "batch L H"]
    ) -> Float[Array, "batch L H"]:
        return project_out(positions, u, self.C_re[...], self.C_im[...], self.D[...])


def _init_uniform(
    rng: np.random.Generator, shape: tuple[int, int], fan_in: int | None = None
) -> Float[Array, "rows columns"]:
    """Draw uniformly from ±1/√fan_in, by default the number of columns."""
    bound = 1 / np.sqrt(fan_in or shape[1])
    return to_float32(rng.uniform(-bound, bound, shape))


def _init_damped(
    rng: np.random.Generator, step: np.ndarray, r_min: float, r_max: float, max_phase: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return A and G whose eigenvalues r e^(±i phase) are uniform in a ring, from determinant and trace of the step."""
    r = np.sqrt(rng.uniform(r_min**2, r_max**2, step.size))
    phase = rng.uniform(0, max_phase, step.size)
    return (r**2 + 1 - 2 * r * np.cos(phase)) / (r * step) ** 2, (1 / r**2 - 1) / step
