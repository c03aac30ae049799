"""The S4 layer. Source: Gu et al. 2022 (arXiv:2111.00396)."""

import math
from typing import final

import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Bool, Float

from s5.config.choices import Discretization, Measure
from s5.nn.initializers import as_generator, split_complex, to_float32
from s5.nn.params import InputParam, OutputParam, StateParam, StepParam
from s5.nn.sequence_mixer import SequenceMixer
from s5.nn.steps import REGULAR, Steps
from s5.ssm.convolution import causal_convolution
from s5.ssm.dplr import DISCRETIZE
from s5.ssm.hippo import make_hippo, make_hippo_normal
from s5.ssm.initializers import init_log_step
from s5.ssm.krylov import compute_kernel, recurrence

# The real part of an eigenvalue is −exp of its parameter. That of LegT, LagT and FouT is 0, and begins at −1e-4.
_LEAST_DECAY = 1e-4


@final
class S4(SequenceMixer):
    """One state space model for each feature, whose state matrix is diagonal plus low rank (DPLR).

    x'(t) = A x(t) + B u(t), y(t) = 2 Re(C x(t)) + D u(t), with A = diag(Lambda) − P P* and a step size for each
    feature. M, half of `d_state`, is the number of states that are stored: one of each conjugate pair. Features may
    share A and B: feature h has those of group h mod S.

    A whole sequence is convolved with the kernel K_l = 2 Re(C A_bar^l B_bar); streams and rows with resets run in small
    chunks. C belongs to the continuous system and not to a length, so a trained layer works at every length. The layer
    needs regular steps: a DPLR matrix would need a discretization of its own for every interval.

    log_decay: (S, M), logarithm of minus the real part of Lambda.
    Lambda_im: (S, M), imaginary part of Lambda.
    P_re, P_im: (S, rank, M), real and imaginary parts of P.
    B_re, B_im: (S, M), real and imaginary parts of B.
    C_re, C_im: (H, M), real and imaginary parts of C; (H, 2M) for two directions, the forward direction first.
    D: (H,), element-wise feed-through.
    log_step: (H,), logarithm of the step size; (1,) if all features share it.
    """

    def __init__(
        self,
        d_model: int,
        d_state: int,
        *,
        measure: Measure | str = Measure.legs,
        n_ssm: int | None = 1,
        discretization: Discretization | str = Discretization.bilinear,
        bidirectional: bool = False,
        dt_min: float = 1e-3,
        dt_max: float = 1e-1,
        dt_tie: bool = False,
        late_backward: bool = False,
        step_rescale: float = 1.0,
        rngs: nnx.Rngs | np.random.Generator,
    ) -> None:
        """Compute the initial state matrix and draw the other initial values, in float64.

        Args:
            d_model: H, number of input and output features.
            d_state: N, number of states of a feature, before conjugate symmetry halves it; even.
            measure: The HiPPO operator that A and B begin as; it decides the rank of P.
            n_ssm: S, number of different A and B; a divisor of `d_model`. None for one per feature.
            discretization: Rule that turns the continuous system into a recurrence; `zoh` is slower.
            bidirectional: Add a second kernel, from the last step to the first.
            dt_min: Smallest initial step size.
            dt_max: Largest initial step size.
            dt_tie: Whether all features share one step size.
            late_backward: Begin the second kernel one step late, as the S4 repository does: it reads the steps after a
                step, and not the step itself.
            step_rescale: Factor on every step size.
            rngs: A NumPy generator, or random streams; one key of the stream `params` is taken.

        Raises:
            ValueError: If `d_state` is odd, `d_model` not a multiple of `n_ssm`, or the measure has no low-rank part.
        """
        if d_state % 2 or d_model % (n_ssm or 1):
            raise ValueError(f"d_state={d_state} must be even, and d_model={d_model} divisible by n_ssm={n_ssm}")
        H, M, rng, measure = d_model, d_state // 2, as_generator(rngs), Measure(measure)
        Lambda, V = (half[..., :M] for half in make_hippo_normal(d_state, measure))
        _, B, P = make_hippo(measure, d_state)
        if P is None or not len(P):
            raise ValueError(f"the measure {measure.name} has no low-rank part")
        groups = np.ones((n_ssm or d_model, 1))
        self.log_decay = StateParam(to_float32(groups * np.log(np.maximum(-np.real(Lambda), _LEAST_DECAY))))
        self.Lambda_im = StateParam(to_float32(groups * np.imag(Lambda)))
        self.P_re, self.P_im = (StateParam(part) for part in split_complex(groups[..., None] * (P @ V.conj())))
        self.B_re, self.B_im = (InputParam(part) for part in split_complex(groups * (V.conj().T @ B)))
        C = rng.standard_normal((2, H, M * (1 + bidirectional))) * math.sqrt(0.5)
        self.C_re, self.C_im = (OutputParam(to_float32(part)) for part in C)
        self.D = OutputParam(to_float32(rng.standard_normal(H)))
        self.log_step = StepParam(to_float32(init_log_step(rng, 1 if dt_tie else H, dt_min, dt_max)))
        self.d_model, self.bidirectional = d_model, bidirectional
        self.discretization, self.step_rescale = Discretization(discretization), step_rescale
        self.late_backward = late_backward

    def __call__(self, u: Float[Array, "batch L H"], steps: Steps = REGULAR) -> Float[Array, "batch L H"]:
        """Apply the layer to whole sequences; see `SequenceMixer`."""
        self.check_inputs(u, steps)
        if steps.mask is not None:
            u = jnp.where(steps.mask[..., None], u, 0)
        E, B_bar = self._discretize(steps)
        C = self._output_vectors()
        if steps.resets is None:
            forward, *backward = jnp.moveaxis(compute_kernel(E, B_bar, C, u.shape[1]), 1, 0)
            if self.late_backward:
                backward = [jnp.pad(kernel[:, :-1], ((0, 0), (1, 0))) for kernel in backward]
            y = causal_convolution(u, forward, *backward)
        else:
            y = sum(self._run(E, B_bar, C[:, direction], u, steps.resets, direction) for direction in range(C.shape[1]))
        return (y + self.D * u).astype(u.dtype)

    def initial_state(self, batch: int) -> Float[Array, "{batch} H N"]:
        """Return the state before the first step: zeros, real parts and then imaginary parts."""
        return jnp.zeros((batch, self.d_model, 2 * self.Lambda_im.shape[1]))

    def advance(
        self, state: Float[Array, "batch H N"], u: Float[Array, "batch L H"], steps: Steps = REGULAR
    ) -> tuple[Float[Array, "batch H N"], Float[Array, "batch L H"]]:
        """Process the next chunk of a stream; see `SequenceMixer`."""
        self.check_stream(u, steps)
        E, B_bar = self._discretize(steps)
        state, y = recurrence(E, B_bar, self._output_vectors()[:, 0], u, state, steps.resets)
        return state, (y + self.D * u).astype(u.dtype)

    def _run(
        self,
        E: Float[Array, "H N N"],
        B_bar: Float[Array, "H N"],
        C: Float[Array, "H N"],
        u: Float[Array, "batch L H"],
        resets: Bool[Array, "batch L"],
        direction: int,
    ) -> Float[Array, "batch L H"]:
        """Return the outputs of a direction by the recurrence, for rows of several segments."""
        y = recurrence(E, B_bar, C, u, resets=resets, reverse=bool(direction))[1]
        if not (direction and self.late_backward):
            return y
        # Each step has the output of the next one, unless that begins another segment.
        later = jnp.where(resets[:, 1:, None], 0, y[:, 1:])
        return jnp.pad(later, ((0, 0), (0, 1), (0, 0)))

    def _discretize(self, steps: Steps) -> tuple[Float[Array, "H N N"], Float[Array, "H N"]]:
        """Return the discrete system of each feature."""
        if steps.intervals is not None:
            raise ValueError(
                "S4 needs regular steps and takes no Steps.intervals: choose model.times=append or model.times=ignore, "
                "or a model with a diagonal state matrix, such as model=s4d or model=s5"
            )
        group = np.arange(self.d_model) % self.Lambda_im.shape[0]
        Lambda = jnp.stack([-jnp.exp(self.log_decay[...]), self.Lambda_im[...]], axis=1)[group]
        P = jnp.concatenate([self.P_re[...], self.P_im[...]], axis=-1)[group]
        B = jnp.concatenate([self.B_re[...], self.B_im[...]], axis=-1)[group]
        step = jnp.exp(self.log_step[...]) * (self.step_rescale * steps.rate)
        return DISCRETIZE[self.discretization](Lambda, P, B, jnp.broadcast_to(step, self.d_model))

    def _output_vectors(self) -> Float[Array, "H directions N"]:
        """Return the real vectors whose product with a state (re, im) is 2 Re(C x), for each direction."""
        parts = (part[...].reshape(self.d_model, -1, self.Lambda_im.shape[1]) for part in (self.C_re, self.C_im))
        re, im = parts
        return 2 * jnp.concatenate([re, -im], axis=-1)
