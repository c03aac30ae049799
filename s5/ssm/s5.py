"""The S5 layer. Source: Smith et al. 2023 (arXiv:2208.04933)."""

from typing import final

import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float

from s5.config.choices import CInit, Discretization
from s5.nn.initializers import as_generator, split_complex, to_float32
from s5.nn.params import InputParam, OutputParam, StateParam, StepParam
from s5.nn.sequence_mixer import SequenceMixer
from s5.nn.steps import REGULAR, Steps
from s5.ssm.discretize import DISCRETIZE
from s5.ssm.hippo import make_block_hippo
from s5.ssm.initializers import init_B, init_C, init_log_step
from s5.ssm.projections import project_in, project_out
from s5.ssm.scan import linear_recurrence, multiply


@final
class S5SSM(SequenceMixer):
    """A diagonal state space model with many inputs and outputs.

    x'(t) = Lambda x(t) + B_tilde u(t), y(t) = C_tilde x(t) + D u(t), with one step size per state. P is the number of
    states that are stored: half of `d_state` under conjugate symmetry. All parameters are real.

    Training may give an eigenvalue a positive real part. Its state then grows by the factor e^(Lambda_re step) at every
    step. On a long sequence the outputs and all gradients overflow to inf and nan, which the training step detects.
    `clip_eigs` replaces real parts above −1e-4 by −1e-4, so every state stays bounded; a real part that is replaced
    gets no gradient.

    Matrix products are computed in the precision of the inputs and added up in float32. The state and its recurrence
    are always float32.

    Lambda_re, Lambda_im: (P,), real and imaginary parts of the eigenvalues.
    B_re, B_im: (P, H), real and imaginary parts of B_tilde.
    C_re, C_im: (H, P), real and imaginary parts of C_tilde; (H, 2P) for two directions, the forward direction first.
    D: (H,), element-wise feed-through.
    log_step: (P,), logarithm of the step size.
    """

    def __init__(
        self,
        d_model: int,
        d_state: int,
        *,
        n_blocks: int = 1,
        C_init: CInit | str = CInit.trunc_standard_normal,
        discretization: Discretization | str = Discretization.zoh,
        conj_sym: bool = True,
        clip_eigs: bool = False,
        bidirectional: bool = False,
        dt_min: float = 1e-3,
        dt_max: float = 1e-1,
        step_rescale: float = 1.0,
        rngs: nnx.Rngs | np.random.Generator,
    ) -> None:
        """Draw the initial values, in float64.

        Args:
            d_model: H, number of input and output features.
            d_state: Number of states before conjugate symmetry halves it.
            n_blocks: J, number of equal blocks of the initial state matrix.
            C_init: Distribution of the initial C_tilde.
            discretization: Rule that turns the continuous system into a recurrence.
            conj_sym: Store one of each conjugate pair of eigenvalues.
            clip_eigs: Keep the real parts of the eigenvalues at or below −1e-4.
            bidirectional: Add a second recurrence from the last step to the first.
            dt_min: Smallest initial step size.
            dt_max: Largest initial step size.
            step_rescale: Factor on every step size.
            rngs: A NumPy generator, or random streams; one key of the stream `params` is taken.

        Raises:
            ValueError: If `d_state` cannot be divided into `n_blocks` blocks; see `make_block_hippo`.
        """
        H, rng = d_model, as_generator(rngs)
        Lambda, V = make_block_hippo(d_state, n_blocks, conj_sym)
        B = init_B(rng, V, H)
        C = np.concatenate([init_C(rng, CInit(C_init), V, H) for _ in range(1 + bidirectional)], axis=1)
        self.Lambda_re, self.Lambda_im = (StateParam(part) for part in split_complex(Lambda))
        self.B_re, self.B_im = (InputParam(part) for part in split_complex(B))
        self.C_re, self.C_im = (OutputParam(part) for part in split_complex(C))
        self.D = OutputParam(to_float32(rng.standard_normal(H)))
        self.log_step = StepParam(to_float32(init_log_step(rng, Lambda.size, dt_min, dt_max)))
        self.d_model, self.conj_sym, self.clip_eigs = d_model, conj_sym, clip_eigs
        self.discretization = Discretization(discretization)
        self.bidirectional, self.step_rescale = bidirectional, step_rescale

    def __call__(self, u: Float[Array, "batch L H"], steps: Steps = REGULAR) -> Float[Array, "batch L H"]:
        """Apply the layer to whole sequences; see `SequenceMixer`."""
        self.check_inputs(u, steps)
        directions = (False, True)[: 1 + self.bidirectional]
        systems = self._discretize_and_drive(u, steps, directions)
        states = [
            linear_recurrence(*system, reverse, resets=steps.resets)
            for system, reverse in zip(systems, directions, strict=True)
        ]
        return self._output(states, u)

    def initial_state(self, batch: int) -> Float[Array, "{batch} 2 P"]:
        """Return the state before the first step: zeros, real and imaginary parts."""
        return jnp.zeros((batch, 2, self.Lambda_re.shape[0]))

    def advance(
        self, state: Float[Array, "batch 2 P"], u: Float[Array, "batch L H"], steps: Steps = REGULAR
    ) -> tuple[Float[Array, "batch 2 P"], Float[Array, "batch L H"]]:
        """Process the next chunk of a stream; see `SequenceMixer`."""
        self.check_stream(u, steps)
        ((Lambda_bar, Bu),) = self._discretize_and_drive(u, steps, (False,))
        states = linear_recurrence(Lambda_bar, Bu, initial=state, resets=steps.resets)
        return states[:, -1], self._output([states], u)

    def _discretize_and_drive(
        self, u: Float[Array, "batch L H"], steps: Steps, directions: tuple[bool, ...]
    ) -> list[tuple[Float[Array, "*axes 2 P"], Float[Array, "batch L 2 P"]]]:
        """Return Lambda_bar and B_bar u for each direction; with intervals each step has its own Lambda_bar."""
        re = self.Lambda_re[...]
        Lambda = jnp.stack([jnp.minimum(re, -1e-4) if self.clip_eigs else re, self.Lambda_im[...]])
        step = jnp.exp(self.log_step[...]) * (self.step_rescale * steps.rate)
        discretize = DISCRETIZE[self.discretization]

        B_re, B_im = self.B_re[...], self.B_im[...]
        gaps = [gap for reverse in directions if (gap := steps.gaps(reverse)) is not None]
        if not gaps:
            Lambda_bar, gain = discretize(Lambda, step)
            g_re, g_im = gain[0, :, None], gain[1, :, None]
            Bu = project_in(u, g_re * B_re - g_im * B_im, g_re * B_im + g_im * B_re, steps.mask)
            return [(Lambda_bar, Bu)] * len(directions)
        # Each step's gain multiplies B_tilde u, of size L × P. A B_bar for each step would have the size L × P × H.
        systems = [discretize(Lambda, gap[..., None] * step) for gap in gaps]
        B_u = project_in(u, B_re, B_im, steps.mask)
        return [(Lambda_bar, multiply(gain, B_u)) for Lambda_bar, gain in systems]

    def _output(
        self, states: list[Float[Array, "batch L 2 P"]], u: Float[Array, "batch L H"]
    ) -> Float[Array, "batch L H"]:
        factor = 2.0 if self.conj_sym else 1.0
        return project_out(states, u, self.C_re[...], self.C_im[...], self.D[...], factor)
