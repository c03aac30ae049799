"""The linear state space layer, LSSL. Source: Gu et al. 2021 (arXiv:2110.13985) and the code of its repository."""

from typing import final

import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import lax
from jaxtyping import Array, Float

from s5.config.choices import Measure
from s5.nn.dense import Dense
from s5.nn.gate import gelu
from s5.nn.initializers import as_generator, to_float32
from s5.nn.params import Constant, InputParam, OutputParam, StateParam, StepParam
from s5.nn.remat import save_for_backward
from s5.nn.sequence_mixer import SequenceMixer
from s5.nn.steps import REGULAR, Steps
from s5.ssm.convolution import causal_convolution
from s5.ssm.dense_state import TridiagonalInverse, gbt, make_tridiagonal_inverse, to_matrix
from s5.ssm.hippo import make_hippo
from s5.ssm.initializers import init_log_step
from s5.ssm.krylov import compute_kernel, recurrence


@final
class LSSL(SequenceMixer):
    """One state space model for each feature, with a dense state matrix that all features share.

    x'(t) = A x(t) + B u(t), y(t) = C x(t) + D u(t), with a step size and M outputs, the channels, for each feature.
    With one channel y is the output of the layer. With more, the output is W gelu(y) + b, as in the paper.

    A whole sequence is convolved with the kernels K_l = C A_bar^l B_bar; streams and rows with resets run in small
    chunks. The layer needs regular steps, since every interval would need a discretization of its own.

    A: (N, N), state matrix, a constant; a layer that learns has the numbers of `TridiagonalInverse` in its place.
    B: (N,), input vector; a constant, or trained if the layer learns.
    log_step: (H,), logarithm of the step size; a constant, or trained if the layer learns.
    C: (H, M, N), output vectors; (H, 2M, N) for two directions, the forward direction first.
    D: (H, M), feed-through.
    mix: W and b, if there is more than one channel.
    """

    def __init__(
        self,
        d_model: int,
        d_state: int,
        *,
        measure: Measure | str = Measure.legs,
        learn: bool = False,
        channels: int = 1,
        alpha: float = 0.5,
        bidirectional: bool = False,
        dt_min: float = 1e-3,
        dt_max: float = 1e-1,
        step_rescale: float = 1.0,
        rngs: nnx.Rngs | np.random.Generator,
    ) -> None:
        """Compute the state matrix and draw the other initial values, in float64.

        Args:
            d_model: H, number of input and output features.
            d_state: N, number of states of a feature.
            measure: The HiPPO operator that A and B are, or begin as.
            learn: Whether A, B and the step sizes are trained; A must then be a tridiagonal inverse.
            channels: M, number of outputs of a feature.
            alpha: The generalised bilinear transform's weight of a step's end, above 0 and at most 1.
            bidirectional: Add second kernels, from the last step to the first.
            dt_min: Smallest initial step size.
            dt_max: Largest initial step size.
            step_rescale: Factor on every step size.
            rngs: A NumPy generator, or random streams; one key of the stream `params` is taken.

        Raises:
            ValueError: If a layer that learns has a measure whose operator is not a tridiagonal inverse.
        """
        H, M, rng, measure = d_model, channels, as_generator(rngs), Measure(measure)
        A, B, _ = make_hippo(measure, d_state)
        log_step = to_float32(init_log_step(rng, H, dt_min, dt_max))
        if learn:
            for name, values in make_tridiagonal_inverse(measure, d_state)._asdict().items():
                setattr(self, name, StateParam(to_float32(values)))
            self.B, self.log_step = InputParam(to_float32(B)), StepParam(log_step)
        else:
            self.A, self.B, self.log_step = Constant(to_float32(A)), Constant(to_float32(B)), Constant(log_step)
        self.C = OutputParam(to_float32(rng.standard_normal((H, M * (1 + bidirectional), d_state))))
        self.D = OutputParam(to_float32(rng.standard_normal((H, M))))
        self.mix = Dense(M * H, H, rng) if M > 1 else None
        self.d_model, self.d_state, self.channels = d_model, d_state, channels
        self.learn, self.alpha = learn, alpha
        self.bidirectional, self.step_rescale = bidirectional, step_rescale

    def __call__(self, u: Float[Array, "batch L H"], steps: Steps = REGULAR) -> Float[Array, "batch L H"]:
        """Apply the layer to whole sequences; see `SequenceMixer`."""
        self.check_inputs(u, steps)
        if steps.mask is not None:
            u = jnp.where(steps.mask[..., None], u, 0)
        E, B_bar = self._discretize(steps)
        if steps.resets is None:
            kernels = compute_kernel(E, B_bar, self.C[...], u.shape[1])
            kernels = kernels.reshape(self.d_model, -1, self.channels, u.shape[1]).transpose(1, 2, 0, 3)
            flat = kernels.reshape(len(kernels), -1, u.shape[1])
            y = causal_convolution(jnp.tile(u, (1, 1, self.channels)), *flat)
        else:
            directions = (False, True)[: 1 + self.bidirectional]
            y = sum(self._run(E, B_bar, u, None, steps, reverse)[1] for reverse in directions)
        return self._output(jnp.asarray(y), u)

    def initial_state(self, batch: int) -> Float[Array, "{batch} H N"]:
        """Return the state before the first step: zeros."""
        return jnp.zeros((batch, self.d_model, self.d_state))

    def advance(
        self, state: Float[Array, "batch H N"], u: Float[Array, "batch L H"], steps: Steps = REGULAR
    ) -> tuple[Float[Array, "batch H N"], Float[Array, "batch L H"]]:
        """Process the next chunk of a stream; see `SequenceMixer`."""
        self.check_stream(u, steps)
        state, y = self._run(*self._discretize(steps), u, state, steps, False)
        return state, self._output(y, u)

    def _discretize(self, steps: Steps) -> tuple[Float[Array, "H N N"], Float[Array, "H N"]]:
        """Return the discrete system of each feature."""
        if steps.intervals is not None:
            raise ValueError(
                "LSSL needs regular steps and takes no Steps.intervals: choose model.times=append or "
                "model.times=ignore, or a model with a diagonal state matrix, such as model=s4d or model=s5"
            )
        if self.learn:
            A = to_matrix(TridiagonalInverse(*(getattr(self, name)[...] for name in TridiagonalInverse._fields)))
            values = A, self.B[...], self.log_step[...]
        else:
            values = lax.stop_gradient((self.A[...], self.B[...], self.log_step[...]))
        A, B, log_step = values
        # The factor is on both uses of the step. In the original's code it is on that in A_bar alone, so that inputs of
        # another rate have outputs of another size.
        step = jnp.exp(log_step) * (self.step_rescale * steps.rate)
        return save_for_backward(gbt(A, B, step, self.alpha))

    def _run(
        self,
        E: Float[Array, "H N N"],
        B_bar: Float[Array, "H N"],
        u: Float[Array, "batch L H"],
        state: Float[Array, "batch H N"] | None,
        steps: Steps,
        reverse: bool,
    ) -> tuple[Float[Array, "batch H N"], Float[Array, "batch L channels_H"]]:
        """Return the last state and the outputs C x of one direction, by the recurrence."""
        first = self.channels * reverse
        each = [
            recurrence(E, B_bar, self.C[:, first + channel], u, state, steps.resets, reverse)
            for channel in range(self.channels)
        ]
        return each[0][0], jnp.concatenate([y for _, y in each], axis=-1)

    def _output(self, y: Float[Array, "batch L channels_H"], u: Float[Array, "batch L H"]) -> Array:
        y = (y + self.D[...].T.reshape(-1) * jnp.tile(u, (1, 1, self.channels))).astype(u.dtype)
        return y if self.mix is None else self.mix(gelu(y, None))
