"""What a batch scores, as sums that can be added over batches: cross-entropy and accuracy, or squared error."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int, Shaped

from s5.choices import Head

Lengths = Int[Array | np.ndarray, " batch *documents"] | None


class Sums(NamedTuple):
    """Sums over what is scored, from which means are made when somebody asks.

    loss: Cross-entropy in nats, or squared error averaged over the features of a step.
    correct: Examples whose most probable class is the right one; None for a regression.
    weight: Examples; for a regression their valid steps.
    """

    loss: Float[Array, ""]
    correct: Float[Array, ""] | None
    weight: Float[Array, ""]

    @classmethod
    def zero(cls, head: Head = Head.classification) -> "Sums":
        """Return the sums over nothing."""
        correct = None if head is Head.regression else jnp.zeros(())
        return cls(jnp.zeros(()), correct, jnp.zeros(()))

    def __add__(self, other: "Sums") -> "Sums":  # pyright: ignore[reportIncompatibleMethodOverride]
        """Return the sums over both."""
        return jax.tree.map(jnp.add, self, other)

    def means(self) -> dict[str, float]:
        """Return the mean loss and, of classes, the accuracy as a fraction; NaN over nothing. Waits for the device."""
        loss, correct, weight = jax.device_get(tuple(self))
        with np.errstate(invalid="ignore"):
            means = {"loss": float(np.divide(loss, weight))}
            return means if correct is None else {**means, "accuracy": float(np.divide(correct, weight))}


def count(
    weight: Float[Array | np.ndarray, " batch"],
    labels: Shaped[Array | np.ndarray, "batch ..."],
    lengths: Lengths,
    head: Head,
) -> Float[Array, ""]:
    """Return what the loss of a batch is divided by: its examples, or their valid steps.

    Args:
        weight: 1 for an example, 0 for a row that only fills the shape.
        labels: Classes, or the targets of every step.
        lengths: Valid steps of each sequence; None where all are valid.
        head: What is scored.
    """
    weight = jnp.asarray(weight)
    if head is not Head.regression:
        return weight.sum()
    return (weight * (labels.shape[1] if lengths is None else lengths)).sum()


def score(
    outputs: Float[Array, "batch *steps d_output"],
    labels: Shaped[Array | np.ndarray, "batch ..."],
    weight: Float[Array | np.ndarray, " batch"],
    head: Head = Head.classification,
    lengths: Lengths = None,
) -> Sums:
    """Return the sums over one batch; rows of weight 0 count for nothing, and neither do padded steps.

    Args:
        outputs: What the model returns: logits, or a value for every step.
        labels: The class of each example, or a target for every step: (batch, L, d_output).
        weight: 1 for an example, 0 for a row that only fills the shape.
        head: What the outputs are.
        lengths: Valid steps of each sequence; None where all are valid.

    Returns:
        The sums.
    """
    if head is not Head.regression:
        loss = optax.losses.softmax_cross_entropy_with_integer_labels(outputs, labels)
        # The argmax of NaN is class 0: outputs that are no numbers are never right.
        correct = ((outputs.argmax(-1) == labels) & jnp.isfinite(loss)).astype(jnp.float32)
        return Sums((loss * weight).sum(), (correct * weight).sum(), jnp.asarray(weight).sum())
    errors = jnp.square(outputs - labels).mean(-1)
    if lengths is not None:
        # Chosen, not multiplied: a padded step may hold anything.
        errors = jnp.where(jnp.arange(errors.shape[1]) < jnp.asarray(lengths)[:, None], errors, 0)
    return Sums((errors.sum(1) * weight).sum(), None, count(weight, labels, lengths, head))
