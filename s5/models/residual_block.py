"""One residual layer of a deep model: normalisation, SSM, gate.

Source: Smith et al. 2023 (arXiv:2208.04933) and the layer options of its repository.
"""

import numpy as np
from flax import nnx
from jaxtyping import Array, Bool, Float, Key

from s5.config.choices import ModelKind, Norm
from s5.config.run import ModelConfig
from s5.nn.gate import Gate
from s5.nn.norm import BatchNorm, LayerNorm
from s5.ssm.s5 import S5SSM

SSM = {ModelKind.s5: S5SSM}


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
