"""One residual block of a deep model: normalisation, sequence mixer, gated activation.

Source: Smith et al. 2023 (arXiv:2208.04933) and the layer options of its repository, and of the S4 repository.
"""

import jax
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, Int, Key, PyTree

from s5.config.model import ModelConfig
from s5.models.mixers import make_mixer
from s5.nn.gate import GatedActivation, drop_path
from s5.nn.norm import make_norm
from s5.nn.residual import ResidualConnection
from s5.nn.sequence_mixer import SequenceMixer
from s5.nn.steps import REGULAR, Steps


class ResidualBlock(nnx.Module):
    """A sequence mixer with a residual connection: x + gate(ssm(norm(x))), or norm(x + gate(ssm(x)))."""

    def __init__(self, config: ModelConfig, rng: np.random.Generator) -> None:
        # Named after the first family: checkpoints store parameters under this name.
        self.ssm: SequenceMixer = make_mixer(config, rng)
        self.gate = GatedActivation(config, rng)
        self.norm = make_norm(config)
        self.residual = ResidualConnection(config, rng)
        self.prenorm, self.drop_path = config.prenorm, config.drop_path

    def __call__(
        self,
        x: Float[Array, "batch L H"],
        steps: Steps = REGULAR,
        *,
        train: bool = False,
        key: Key[Array, ""] | None = None,
        depth: int | Int[Array, ""] | None = None,
    ) -> Float[Array, "batch L H"]:
        """Apply the block.

        Args:
            x: Inputs.
            steps: Mask, intervals and resets of the steps.
            train: Whether to normalise by the batch's statistics, and to update the running statistics.
            key: Random key of the dropout and of stochastic depth; None for neither.
            depth: The number of the block in its stack, from 1; `model.residual=decay` needs it.

        Returns:
            Outputs; outputs of padded steps have no meaning.
        """
        path_key = None
        if key is not None and self.drop_path:
            key, path_key = jax.random.split(key)
        u = self._normalized(x, steps, train) if self.prenorm else x
        y = self.gate(self.ssm(u, steps), key, u)
        x = self.residual(x, drop_path(y, self.drop_path, path_key), depth)
        return x if self.prenorm else self._normalized(x, steps, train)

    def advance(
        self,
        state: PyTree,
        x: Float[Array, "batch L H"],
        steps: Steps = REGULAR,
        *,
        depth: int | Int[Array, ""] | None = None,
    ) -> tuple[PyTree, Float[Array, "batch L H"]]:
        """Process the next chunk of a stream, as in evaluation; `state` is the mixer's state. See `SequenceMixer`."""
        u = self._normalized(x, steps, False) if self.prenorm else x
        state, y = self.ssm.advance(state, u, steps)
        x = self.residual(x, self.gate(y, None, u), depth)
        return state, x if self.prenorm else self._normalized(x, steps, False)

    def _normalized(self, x: Float[Array, "batch L H"], steps: Steps, train: bool) -> Float[Array, "batch L H"]:
        return x if self.norm is None else self.norm(x, steps, train)
