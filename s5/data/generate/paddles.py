"""The dashes of Pathfinder's pictures, called paddles in the published program: small pictures that are drawn once.

Source: Linsley et al. 2018 (arXiv:1805.08315); sizes and numbers are those of Tay et al. 2021 (arXiv:2011.04006).
A dash starts at the centre of a pixel and is drawn on a finer grid. So its picture depends only on the fine pixel of
its end, and there are only a few hundred different pictures.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, UInt8

from s5.data.pictures import image_draw, pillow


@dataclass(frozen=True, kw_only=True)
class Pathfinder:
    """The parameters of the pictures of one size; lengths are in pixels.

    Attributes:
        side: Width and height.
        padding: Border that no dash touches.
        fineness: Fine pixels per pixel.
        length: Length of a dash.
        thickness: Thickness of a dash.
        margins: Possible gaps between dashes; each picture has one gap.
        marker_radius: Radius of the two dots.
        seed_distance: Distance between the starts of the two long lines.
        continuity: Factor on the angle of a turn; the larger it is, the straighter the lines are.
        contour_length: Number of dashes of a long line.
        distractor_length: Number of dashes of a short line.
        n_distractors: Number of short lines.
        snake_contrast: Contrast of a line.
        paddle_contrast: Factor on the contrast of the long lines.
    """

    side: int
    padding: int
    fineness: int
    length: int
    thickness: float
    margins: tuple[int, ...]
    marker_radius: float
    seed_distance: int
    continuity: float
    contour_length: int = 14
    distractor_length: int = 4
    n_distractors: int
    snake_contrast: float
    paddle_contrast: float


SIZES = {
    32: Pathfinder(
        side=32,
        padding=1,
        fineness=2,
        length=2,
        thickness=0.5,
        margins=(1,),
        marker_radius=1.5,
        seed_distance=7,
        continuity=1.0,
        n_distractors=5,
        snake_contrast=2.0,
        paddle_contrast=0.75,
    ),
    128: Pathfinder(
        side=128,
        padding=1,
        fineness=2,
        length=5,
        thickness=1.5,
        margins=(2, 3),
        marker_radius=3.0,
        seed_distance=20,
        continuity=1.8,
        n_distractors=8,
        snake_contrast=0.9,
        paddle_contrast=1.0,
    ),
}


@dataclass(frozen=True)
class Stamps:
    """The pictures of all dashes with one margin, indexed by the row and the column of the fine pixel of their end.

    Attributes:
        lines: The picture of each dash, with values from 0 to 1; its centre is the pixel where the dash starts.
        occupied: The area around each dash that other dashes must not enter, in the same form.
    """

    lines: Float64[np.ndarray, "ends ends size size"]
    occupied: Float64[np.ndarray, "ends ends size size"]


def make_stamps(parameters: Pathfinder, margin: int) -> Stamps:
    """Return the pictures of all dashes with a margin."""
    reach = parameters.length * parameters.fineness
    offsets = range(-reach, reach + 2)  # ends are rounded up, so an end may be one fine pixel beyond the length
    drawn = [[draw_paddle(parameters, margin, dy, dx) for dx in offsets] for dy in offsets]
    lines, occupied = (np.array([[pair[k] for pair in row] for row in drawn]) for k in (0, 1))
    return Stamps(lines, occupied)


def draw_paddle(parameters: Pathfinder, margin: int, dy: int, dx: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw a dash from the centre of a fine canvas to the fine pixel `dy` below and `dx` right of it.

    Returns:
        The picture of the dash, and of the area that other dashes must not enter; values are from 0 to 1.
    """
    half, fine = canvas_half(parameters, margin), parameters.fineness
    centre = half * fine
    canvas = pillow().new("F", (2 * centre + 1, 2 * centre + 1), 0.0)
    width = round(parameters.thickness * fine)
    image_draw().Draw(canvas).line([(centre, centre), (centre + dx, centre + dy)], fill=255.0, width=width)
    line = np.asarray(canvas)
    occupied = dilate(line, disc(margin * fine))
    return tuple(resize_as_imresize(grid, 2 * half + 1) / 255.0 for grid in (line, occupied.astype(np.uint8)))  # type: ignore[return-value]


def canvas_half(parameters: Pathfinder, margin: int) -> int:
    """Return half the side of the canvas of a dash, in pixels."""
    return parameters.length + int(np.ceil(parameters.thickness)) + margin


def draw_marker(parameters: Pathfinder, y: int, x: int) -> Float64[np.ndarray, "side side"]:
    """Return a picture with one dot, with values from 0 to 1; the dot is drawn on a finer grid and then resized.

    Args:
        parameters: The parameters of the picture, such as the radius of a dot.
        y: The row of the centre, which is on the first fine pixel of this row.
        x: The column of the centre, which is on the first fine pixel of this column.
    """
    side, fine = parameters.side, parameters.fineness
    rows, columns = np.ogrid[-y * fine : (side - y) * fine, -x * fine : (side - x) * fine]
    dot = (rows * rows + columns * columns <= (parameters.marker_radius * fine) ** 2).astype(np.uint8) * np.uint8(255)
    return resize_as_imresize(dot, side) / 255.0


def disc(radius: int) -> UInt8[np.ndarray, "size size"]:
    """Return a disc of ones in a square of zeros."""
    y, x = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    return (y * y + x * x <= radius * radius).astype(np.uint8)


def dilate(values: np.ndarray, footprint: np.ndarray) -> np.ndarray:
    """Return the grey dilation: for each pixel the maximum of the values under a footprint centred on the pixel."""
    half_y, half_x = footprint.shape[0] // 2, footprint.shape[1] // 2
    height, width = values.shape
    padded = np.full((height + 2 * half_y, width + 2 * half_x), values.min(), values.dtype)
    padded[half_y : half_y + height, half_x : half_x + width] = values
    views = [padded[y : y + height, x : x + width] for y, x in np.argwhere(footprint)]
    return np.max(views, axis=0) if views else np.full_like(values, values.min())


def resize_as_imresize(grid: np.ndarray, side: int) -> UInt8[np.ndarray, "side side"]:
    """Return a resized picture, as SciPy's removed `imresize` did: floats are first scaled to 0..255, bytes are not."""
    image = pillow()
    if grid.dtype != np.uint8:
        low, high = float(grid.min()), float(grid.max())
        scale = 255.0 / (high - low) if high > low else 1.0
        grid = np.clip((grid - low) * scale + 0.5, 0, 255).astype(np.uint8)
    return np.asarray(image.fromarray(grid).resize((side, side), resample=image.Resampling.LANCZOS))
