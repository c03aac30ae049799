"""Simulation of pendulums, and noisy pictures of them. Source: Becker et al. 2019 (arXiv:1905.07357), App. C.

The sets, their seeds and the order of the random draws are those of the experiments of Schirmer et al. 2022
(arXiv:2111.11344) and Smith et al. 2023.

The draws of NumPy's legacy generator are stable across versions, so a set depends only on its seed.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float64, UInt8

from s5.data.pictures import image_draw, pillow

N_FRAMES = 100
SIDE = 24  # pixels

_GRAVITY_TERM = 9.81 / (1.0 / 3.0)  # g m l over the inertia m l²/3, with m = l = 1; 1/s²
_FRICTION = 0.1
_STEP_S, _SUBSTEPS = 1e-4, 100
_TRANSITION_STD, _OBSERVATION_STD = 0.1, 1e-5

_CANVAS, _ROD, _ROD_WIDTH = 128, 55, 8  # pixels
_FIRST_CLEAN = 5  # frames
_FACTOR_STEP = 0.2
_LOW_END, _HIGH_START = 0.25, 0.75


@dataclass(frozen=True)
class Sequences:
    """Some simulated pendulums of a set, before their pictures are drawn.

    Attributes:
        angles: Angles without noise, in rad.
        seen: Angles with observation noise, in rad; the pictures show these angles.
        factors: The weight of each clean picture, from 0 to 1; the noise has the rest.
        noise: State of the generator before the first picture's noise is drawn.
    """

    angles: Float64[np.ndarray, "n frames"]
    seen: Float64[np.ndarray, "n frames"]
    factors: Float64[np.ndarray, "n frames"]
    noise: Any


def draw_set(rng: np.random.RandomState, n: int, chunk_size: int) -> Iterator[Sequences]:
    """Simulate a set of pendulums, with the random draws in the published order.

    Args:
        rng: The generator; after the last chunk it is at the start of the next set.
        n: Number of pendulums.
        chunk_size: Number of pendulums to yield at once.

    Yields:
        The next `chunk_size` pendulums.
    """
    states = simulate(rng, n)
    seen = states + rng.normal(0.0, _OBSERVATION_STD, size=states.shape)
    factors = _draw_factors(rng, n)
    for first in range(0, n, chunk_size):
        part = slice(first, min(first + chunk_size, n))
        yield Sequences(states[part, :, 0], seen[part, :, 0], factors[part], rng.get_state())
        for _ in range(part.start, part.stop):
            _draw_noise(rng)


def simulate(rng: np.random.RandomState, n: int) -> Float64[np.ndarray, "n frames 2"]:
    """Return the angle (rad) and the angular velocity (rad/s) of pendulums in each frame, from the initial state on.

    Args:
        rng: The generator: it draws the initial angles, then for every frame a random change of each velocity.
        n: Number of pendulums.
    """
    angle, velocity = rng.uniform(0.0, 2 * np.pi, size=(n, 1))[:, 0], np.zeros(n)
    states = np.empty((n, N_FRAMES, 2))
    states[:, 0, 0], states[:, 0, 1] = angle, velocity
    for frame in range(1, N_FRAMES):
        for _ in range(_SUBSTEPS):
            velocity = velocity + _STEP_S * (_GRAVITY_TERM * np.sin(angle) - _FRICTION * velocity)
            angle = angle + _STEP_S * velocity
        velocity = velocity + rng.normal(0.0, _TRANSITION_STD, size=n)
        angle = angle % (2 * np.pi)
        states[:, frame, 0], states[:, frame, 1] = angle, velocity
    states[..., 0] -= np.pi
    return states


def draw_pictures(sequences: Sequences) -> UInt8[np.ndarray, "n frames 24 24"]:
    """Return the pictures of pendulums, with noise."""
    rng = np.random.RandomState()
    rng.set_state(sequences.noise)
    pictures = np.empty((*sequences.seen.shape, SIDE, SIDE), np.uint8)
    for number, (angles, factors) in enumerate(zip(sequences.seen, sequences.factors, strict=True)):
        clean = np.stack([_draw_rod(angle) for angle in angles])
        share = factors[:, None, None]
        pictures[number] = (share * clean + (1.0 - share) * _draw_noise(rng)).astype(np.uint8)
    return pictures


def _draw_factors(rng: np.random.RandomState, n: int) -> Float64[np.ndarray, "n frames"]:
    """Return the weights of clean pictures: a random walk, scaled and clipped, so that some frames have 0 or 1."""
    factors = np.empty((n, N_FRAMES))
    factors[:, 0] = rng.uniform(0.0, 1.0, size=n)
    for frame in range(1, N_FRAMES):
        step = rng.uniform(-_FACTOR_STEP, _FACTOR_STEP, size=n)
        factors[:, frame] = np.clip(factors[:, frame - 1] + step, 0.0, 1.0)
    low = rng.uniform(0.0, _LOW_END, size=(n, 1))
    high = rng.uniform(_HIGH_START, 1.0, size=(n, 1))
    factors = np.clip((factors - low) / (high - low), 0.0, 1.0)
    factors[:, :_FIRST_CLEAN] = 1.0
    return factors


def _draw_noise(rng: np.random.RandomState) -> Float64[np.ndarray, "frames 24 24"]:
    return rng.uniform(0.0, 255.0, size=(N_FRAMES, SIDE, SIDE, 1))[..., 0]


def _draw_rod(angle: float) -> UInt8[np.ndarray, "24 24"]:
    image, centre = pillow(), _CANVAS // 2
    canvas = image.new("F", (_CANVAS, _CANVAS), 0.0)
    end = (centre + _ROD * np.sin(angle), centre + _ROD * np.cos(angle))
    image_draw().Draw(canvas).line([(centre, centre), end], fill=1.0, width=_ROD_WIDTH)
    small = np.asarray(canvas.resize((SIDE, SIDE), resample=image.Resampling.LANCZOS))
    return (np.clip(small, 0.0, 1.0) * 255.0).astype(np.uint8)
