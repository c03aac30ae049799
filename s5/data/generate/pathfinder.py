"""Pathfinder's pictures, drawn by the published procedure. Source: Linsley et al. 2018 (arXiv:1805.08315)."""

import functools
import hashlib

import numpy as np
from jaxtyping import UInt8

from s5.catalog import DataError
from s5.data.generate.paddles import SIZES, Pathfinder, Stamps, draw_marker, make_stamps


@functools.cache
def _stamps(side: int, margin: int) -> Stamps:
    return make_stamps(SIZES[side], margin)


@functools.lru_cache(maxsize=1024)
def _marker(side: int, y: int, x: int) -> np.ndarray:
    return draw_marker(SIZES[side], y, x)


def first_state(seed: int, index: int) -> np.ndarray:
    """Return the initial state of a picture's random stream; it depends only on the seed and the picture's number."""
    digest = hashlib.blake2b(f"{seed} {index}".encode(), digest_size=8).digest()
    return np.frombuffer(digest, "<u8").astype(np.uint64)


def draw_picture(side: int, seed: int, index: int) -> tuple[UInt8[np.ndarray, "side side"], int]:
    """Draw a picture.

    Args:
        side: Width and height, in pixels.
        seed: The seed of the data set.
        index: The number of the picture, from 0.

    Returns:
        The picture, and its label: 1 if the dots are on the same line, else 0.
    """
    try:
        from s5.data.generate import snakes  # imported late, since its compilation takes seconds
    except RuntimeError as error:  # Numba finds no folder that it can write
        raise DataError(
            f"Numba cannot store its compiled programs: {error}",
            hint="name a folder that you may write: NUMBA_CACHE_DIR=/a/folder",
        ) from error

    parameters, state = SIZES[side], first_state(seed, index)
    label = int(2 * snakes.uniform(state))
    chosen = int(2 * snakes.uniform(state))
    margin = parameters.margins[int(len(parameters.margins) * snakes.uniform(state))]
    stamps = _stamps(side, margin)
    lines, occupied = np.empty((side, side)), np.empty((side, side))
    common = (state, (lines, occupied), (stamps.lines, stamps.occupied))
    tips = snakes.draw_contours(
        *common,
        parameters.snake_contrast * parameters.paddle_contrast,
        _shape(parameters, margin, parameters.contour_length),
        parameters.continuity,
    )
    snakes.draw_distractors(
        *common,
        parameters.snake_contrast,
        _shape(parameters, margin, parameters.distractor_length),
        parameters.continuity,
        parameters.n_distractors,
    )
    for y, x in (tips[chosen], tips[2 + (chosen if label else 1 - chosen)]):
        np.maximum(lines, _marker(side, int(y), int(x)), out=lines)
    low, high = lines.min(), lines.max()
    return ((lines - low) / (high - low) * 255.0 + 0.5).astype(np.uint8), label


def _shape(parameters: Pathfinder, margin: int, dashes: int) -> tuple[int, ...]:
    return (
        parameters.padding,
        parameters.fineness,
        parameters.length,
        margin,
        parameters.seed_distance,
        dashes,
    )
