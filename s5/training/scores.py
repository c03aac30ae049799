"""Compares the scores of evaluations, and formats them as text."""

import numpy as np

from s5.config.compat import Compat


def rank(scores: dict[str, float], compat: Compat) -> tuple[float, ...]:
    """Return a sort key that is larger for better scores: first by accuracy, then by loss.

    A regression is ranked by its loss, a Gaussian regression by the squared error of its means. A loss or error that is
    not finite ranks last. Between equal keys the caller keeps the earlier scores. `compat=upstream` ignores the loss.
    """
    if not np.isfinite(scores["loss"]):
        return (-np.inf,)
    loss = -scores["loss"]
    if "mse" in scores:
        return (-scores["mse"],) if np.isfinite(scores["mse"]) else (-np.inf,)
    if "accuracy" not in scores:
        return (loss,)
    return (scores["accuracy"],) if compat.ties_keep_first else (scores["accuracy"], loss)


def format_scores(split: str, scores: dict[str, float]) -> str:
    """Return the scores of a split as text, such as `val accuracy 97.20 %  val loss 0.1034`."""
    loss = f"{split} loss {scores['loss']:.4f}"
    if "mse" in scores:
        return f"{split} mse {scores['mse']:.4g}  {loss}"
    return f"{split} accuracy {100 * scores['accuracy']:.2f} %  {loss}" if "accuracy" in scores else loss
