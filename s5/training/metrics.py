"""What a batch scores, as sums that can be added over batches.

Of classes cross-entropy and accuracy; of values squared error; of Gaussians their likelihood and squared error.
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int, Shaped

from s5.config.choices import Head

# A variance below is taken for this one, as in the S5 repository: the likelihood has no upper bound otherwise.
LEAST_VARIANCE = 1e-6

Lengths = Int[Array | np.ndarray, " batch *documents"] | None


class MetricSums(NamedTuple):
    """Sums over what is scored, from which means are made when somebody asks.

    Attributes:
        loss: Cross-entropy in nats, or averaged over the features of a step: squared error, or a Gaussian's negative
            log-likelihood in nats.
        correct: Examples whose most probable class is the right one; None for a regression.
        weight: Examples; for a regression their valid steps.
        squared: Squared error of a Gaussian's mean, averaged over the features of a step; None for all else.
    """

    loss: Float[Array, ""]
    correct: Float[Array, ""] | None
    weight: Float[Array, ""]
    squared: Float[Array, ""] | None = None

    @classmethod
    def zero(cls, head: Head = Head.classification) -> "MetricSums":
        """Return the sums over nothing."""
        correct, squared = None if head.per_step else jnp.zeros(()), jnp.zeros(()) if head is Head.gaussian else None
        return cls(jnp.zeros(()), correct, jnp.zeros(()), squared)

    def __add__(self, other: "MetricSums") -> "MetricSums":  # pyright: ignore[reportIncompatibleMethodOverride]
        """Return the sums over both."""
        return jax.tree.map(jnp.add, self, other)

    def means(self) -> dict[str, float]:
        """Return the mean loss and, of classes, the accuracy as a fraction, or the squared error of Gaussians' means.

        NaN over nothing. Waits for the device.
        """
        loss, correct, weight, squared = jax.device_get(tuple(self))
        sums = {"loss": loss, "accuracy": correct, "mse": squared}
        with np.errstate(invalid="ignore"):
            return {name: float(np.divide(total, weight)) for name, total in sums.items() if total is not None}


def loss_denominator(
    weight: Float[Array | np.ndarray, " batch"],
    labels: Shaped[Array | np.ndarray, "batch ..."],
    lengths: Lengths,
    head: Head,
) -> Float[Array, ""]:
    """Return what the loss of a batch is divided by: its examples, or their valid steps.

    Args:
        weight: 1 for an example, 0 for a row that only fills the shape.
        labels: Classes, or the targets of every step.
        lengths: Valid steps of each sequence; None if all are valid.
        head: What is scored.
    """
    weight = jnp.asarray(weight)
    if not head.per_step:
        return weight.sum()
    return (weight * (labels.shape[1] if lengths is None else lengths)).sum()


def batch_metrics(
    outputs: Float[Array, "batch *steps d_output"],
    labels: Shaped[Array | np.ndarray, "batch ..."],
    weight: Float[Array | np.ndarray, " batch"],
    head: Head = Head.classification,
    lengths: Lengths = None,
) -> MetricSums:
    """Return the sums over one batch; rows of weight 0 count for nothing, and neither do padded steps.

    Args:
        outputs: What the model returns: logits, or for every step values, or means and variances side by side.
        labels: The class of each example, or a target for every step: (batch, L, d_output).
        weight: 1 for an example, 0 for a row that only fills the shape.
        head: What the outputs are.
        lengths: Valid steps of each sequence; None if all are valid.

    Returns:
        The sums.
    """
    if not head.per_step:
        loss = optax.losses.softmax_cross_entropy_with_integer_labels(outputs, labels)
        # The argmax of NaN is class 0: outputs that are no numbers are never right.
        correct = ((outputs.argmax(-1) == labels) & jnp.isfinite(loss)).astype(jnp.float32)
        return MetricSums((loss * weight).sum(), (correct * weight).sum(), jnp.asarray(weight).sum())

    def total(of_step: Float[Array, "batch L"]) -> Float[Array, ""]:
        if lengths is not None:
            # Chosen, not multiplied: a padded step may hold anything.
            of_step = jnp.where(jnp.arange(of_step.shape[1]) < jnp.asarray(lengths)[:, None], of_step, 0)
        return (of_step.sum(1) * weight).sum()

    n_steps = loss_denominator(weight, labels, lengths, head)
    if head is Head.regression:
        return MetricSums(total(jnp.square(outputs - labels).mean(-1)), None, n_steps)
    mean, variance = jnp.split(outputs, 2, axis=-1)
    squared = total(jnp.square(mean - labels).mean(-1))
    return MetricSums(total(gaussian_nll(mean, variance, labels).mean(-1)), None, n_steps, squared)


def gaussian_nll(
    mean: Float[Array, "*axes"], variance: Float[Array, "*axes"], value: Float[Array | np.ndarray, "*axes"]
) -> Float[Array, "*axes"]:
    """Return the negative logarithm of a Gaussian density, in nats.

    Args:
        mean: Its mean.
        variance: Its variance, taken for `LEAST_VARIANCE` where it lies below.
        value: Where the density is taken.

    Returns:
        ½ (log σ² + (μ − y)²/σ² + log 2π).
    """
    variance = jnp.maximum(variance, LEAST_VARIANCE)
    return (jnp.log(variance) + jnp.square(mean - value) / variance + math.log(2 * math.pi)) / 2
