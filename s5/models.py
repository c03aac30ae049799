"""Deep sequence models. Source: Smith et al. 2023 (arXiv:2208.04933)."""

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Bool, Float, Int, Key

from s5.choices import Pooling
from s5.config import ModelConfig
from s5.layers import Dense, SequenceLayer


class Classifier(nnx.Module):
    """Encoder, sequence layers, pooling over time, decoder."""

    def __init__(self, config: ModelConfig, d_input: int, n_classes: int, rng: np.random.Generator) -> None:
        self.encoder = Dense(d_input, config.d_model, rng)
        self.layers = nnx.List([SequenceLayer(config, rng) for _ in range(config.n_layers)])
        self.decoder = Dense(config.d_model, n_classes, rng)
        self.pooling, self.dropout = config.pooling, config.dropout

    def __call__(
        self,
        inputs: Float[Array, "batch L d_input"],
        lengths: Int[Array, " batch"] | None = None,
        *,
        train: bool,
        key: Key[Array, ""] | None = None,
    ) -> Float[Array, "batch n_classes"]:
        """Return the logits of each sequence.

        Args:
            inputs: Sequences, padded at their ends with anything finite.
            lengths: Valid steps of each sequence; None where all steps of all are valid, which is faster.
            train: Whether this is training: batch statistics are taken and moved, dropout is drawn.
            key: Random key of the dropout; training with dropout needs it.

        Returns:
            Logits.

        Raises:
            ValueError: Where training with dropout has no key.
        """
        if train and self.dropout and key is None:
            raise ValueError(f"training with dropout={self.dropout} needs a key")
        keys = [None] * len(self.layers) if not train or key is None else jax.random.split(key, len(self.layers))
        mask = None if lengths is None else jnp.arange(inputs.shape[1]) < lengths[:, None]
        x = self.encoder(inputs)
        for layer, layer_key in zip(self.layers, keys, strict=True):
            x = layer(x, mask, train=train, key=layer_key)
        return self.decoder(pool(x, mask, self.pooling))


def pool(
    x: Float[Array, "batch L H"], mask: Bool[Array, "batch L"] | None, pooling: Pooling
) -> Float[Array, "batch H"]:
    """Reduce each sequence to one vector.

    Args:
        x: Sequences.
        mask: True at valid steps, which form a prefix; None where all are valid.
        pooling: The mean over valid steps, or the last of them.

    Returns:
        One vector per sequence; for a sequence without valid steps zero (mean) or its first step (last).
    """
    if mask is None:
        return x.mean(1) if pooling is Pooling.mean else x[:, -1]
    count = mask.sum(1, keepdims=True)
    if pooling is Pooling.mean:
        return jnp.where(mask[..., None], x, 0).sum(1) / jnp.maximum(count, 1)
    last = jnp.maximum(count - 1, 0)
    return jnp.take_along_axis(x, last[..., None], axis=1)[:, 0]


def make_model(config: ModelConfig, d_input: int, n_classes: int, rngs: nnx.Rngs) -> Classifier:
    """Build a model with fresh parameters.

    Args:
        config: The model's configuration.
        d_input: Features of one input step.
        n_classes: Classes to tell apart.
        rngs: Random streams; one key of `params` is drawn.

    Returns:
        The model. It holds parameters (`nnx.Param`) and batch statistics (`nnx.BatchStat`), no random state.
    """
    # The key only seeds NumPy: initial values are computed there, in float64.
    seed = np.asarray(jax.random.key_data(rngs.params()))
    return Classifier(config, d_input, n_classes, np.random.default_rng(seed))
