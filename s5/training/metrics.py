"""The metrics of a batch, as sums that can be added over batches.

Classification: cross-entropy and accuracy. Regression: squared error. Gaussian regression: negative log-likelihood and
squared error of the means.
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int, Shaped

from s5.config.choices import Head

# The smallest variance, as in the S5 repository: without it the likelihood has no upper bound.
LEAST_VARIANCE = 1e-6

Lengths = Int[Array | np.ndarray, " batch *documents"] | None


class MetricSums(NamedTuple):
    """Sums of metrics over examples, or over their valid steps; `means` divides them by `weight`.

    Attributes:
        loss: Cross-entropy in nats. For a regression, squared error; for a Gaussian regression, negative
            log-likelihood in nats; both averaged over the features of a step.
        correct: Examples whose most probable class is correct; None for a regression.
        weight: Number of examples; for a regression, number of their valid steps.
        squared: Squared error of a Gaussian's mean, averaged over the features of a step; None for other heads.
    """

    loss: Float[Array, ""]
    correct: Float[Array, ""] | None
    weight: Float[Array, ""]
    squared: Float[Array, ""] | None = None

    @classmethod
    def zero(cls, head: Head = Head.classification) -> "MetricSums":
        """Return the sums over no examples."""
        correct, squared = None if head.per_step else jnp.zeros(()), jnp.zeros(()) if head is Head.gaussian else None
        return cls(jnp.zeros(()), correct, jnp.zeros(()), squared)

    def __add__(self, other: "MetricSums") -> "MetricSums":  # pyright: ignore[reportIncompatibleMethodOverride]
        """Return the sums over the examples of both sums."""
        return jax.tree.map(jnp.add, self, other)

    def means(self) -> dict[str, float]:
        """Return the mean `loss`, the `accuracy` of classes as a fraction, and the `mse` of a Gaussian's means.

        The means are NaN if there are no examples. The call waits for the device.
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
    """Return the divisor of a batch's loss: the number of its examples, or of their valid steps.

    Args:
        weight: 1 for an example, 0 for a row of padding.
        labels: Classes, (batch,); or targets of every step, (batch, L, d_output).
        lengths: Valid steps of each sequence; None if all are valid.
        head: The model's head.
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
    """Return the metrics of a batch as sums; rows of weight 0 and padded steps do not count.

    Args:
        outputs: Logits, (batch, classes). For a regression, values, (batch, L, d_output). For a Gaussian regression,
            means and then variances, (batch, L, 2 d_output).
        labels: The class of each example, (batch,); or a target for every step, (batch, L, d_output).
        weight: 1 for an example, 0 for a row of padding.
        head: The model's head.
        lengths: Valid steps of each sequence; None if all are valid.

    Returns:
        The sums.
    """
    if not head.per_step:
        loss = optax.losses.softmax_cross_entropy_with_integer_labels(outputs, labels)
        # The argmax of NaN is class 0, so outputs that are not finite must not count as correct.
        correct = ((outputs.argmax(-1) == labels) & jnp.isfinite(loss)).astype(jnp.float32)
        return MetricSums((loss * weight).sum(), (correct * weight).sum(), jnp.asarray(weight).sum())

    def total(per_step: Float[Array, "batch L"]) -> Float[Array, ""]:
        if lengths is not None:
            # `where` instead of a product: a padded step may contain NaN.
            per_step = jnp.where(jnp.arange(per_step.shape[1]) < jnp.asarray(lengths)[:, None], per_step, 0)
        return (per_step.sum(1) * weight).sum()

    n_steps = loss_denominator(weight, labels, lengths, head)
    if head is Head.regression:
        return MetricSums(total(jnp.square(outputs - labels).mean(-1)), None, n_steps)
    mean, variance = jnp.split(outputs, 2, axis=-1)
    squared = total(jnp.square(mean - labels).mean(-1))
    return MetricSums(total(gaussian_nll(mean, variance, labels).mean(-1)), None, n_steps, squared)


def gaussian_nll(
    mean: Float[Array, "*axes"], variance: Float[Array, "*axes"], value: Float[Array | np.ndarray, "*axes"]
) -> Float[Array, "*axes"]:
    """Return the negative log-likelihood of a value under a Gaussian, in nats.

    Args:
        mean: μ.
        variance: σ², raised to `LEAST_VARIANCE` if smaller.
        value: y.

    Returns:
        ½ (log σ² + (μ − y)²/σ² + log 2π).
    """
    variance = jnp.maximum(variance, LEAST_VARIANCE)
    return (jnp.log(variance) + jnp.square(mean - value) / variance + math.log(2 * math.pi)) / 2
