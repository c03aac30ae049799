"""One residual block of a deep model: normalisation, sequence mixer, gated activation.

Source: Smith et al. 2023 (arXiv:2208.04933) and the layer options of its repository.
"""

import numpy as np
from flax import nnx
from jaxtyping import Array, Float, Key, PyTree

from s5.config.choices import Norm
from s5.config.model import ModelConfig
from s5.models.mixers import make_mixer
from s5.nn.gate import GatedActivation
from s5.nn.norm import BatchNorm, LayerNorm
from s5.nn.sequence_mixer import SequenceMixer
from s5.nn.steps import REGULAR, Steps


class ResidualBlock(nnx.Module):
    """A sequence mixer with a residual connection: x + gate(ssm(norm(x))), or norm(x + gate(ssm(x)))."""

    def __init__(self, config: ModelConfig, rng: np.random.Generator) -> None:
        # Named after the first family: checkpoints store parameters under this name.
        self.ssm: SequenceMixer = make_mixer(config, rng)
        self.gate = GatedActivation(config, rng)
        batch = config.norm is Norm.batch
        self.norm = BatchNorm(config.d_model, config.bn_momentum) if batch else LayerNorm(config.d_model)
        self.prenorm = config.prenorm

    def __call__(
        self,
        x: Float[Array, "batch L H"],
        steps: Steps = REGULAR,
        *,
        train: bool,
        key: Key[Array, ""] | None = None,
    ) -> Float[Array, "batch L H"]:
        """Apply the block.

        Args:
            x: Inputs.
            steps: Mask, intervals and resets of the steps.
            train: Whether to normalise by the batch's statistics, and to update the running statistics.
            key: Random key of the dropout; None for no dropout.

        Returns:
            Outputs; outputs of padded steps have no meaning.
        """
        u = self.norm(x, steps.mask, train) if self.prenorm else x
        x = x + self.gate(self.ssm(u, steps), key)
        return x if self.prenorm else self.norm(x, steps.mask, train)

    def advance(
        self, state: PyTree, x: Float[Array, "batch L H"], steps: Steps = REGULAR
    ) -> tuple[PyTree, Float[Array, "batch L H"]]:
        """Process the next chunk of a stream, as in evaluation; `state` is the mixer's state. See `SequenceMixer`."""
        u = self.norm(x, None, False) if self.prenorm else x
        state, y = self.ssm.advance(state, u, steps)
        x = x + self.gate(y, None)
        return state, x if self.prenorm else self.norm(x, None, False)
