"""Placement of Pathfinder's dashes, compiled by Numba. Source: Linsley et al. 2018 (arXiv:1805.08315).

Two long lines and some short lines grow dash by dash. A line turns little, and keeps a distance from other lines. If a
long line cannot grow, the picture is started again. Angles are in radians, positions in pixels, rows before columns.
`no_type_check` prevents run-time type checkers from wrapping the functions, since Numba cannot compile the wrappers.
"""

import math
from typing import no_type_check

import numpy as np
from jaxtyping import Float64, Int64, UInt64

from s5.data.generate.compiler import njit

SEED_ATTEMPTS, PADDLE_ATTEMPTS, DISTRACTOR_ATTEMPTS = 3, 3, 5
MAX_OVERLAP, LEAST_WEIGHT, LEAST_FREE, NEARLY_FREE = 1.8, 1e-4, 0.01, 0.3

State = UInt64[np.ndarray, "1"]  # the state of the stream of random numbers
Picture = Float64[np.ndarray, "height width"]
Stamps = Float64[np.ndarray, "ends ends size size"]
Canvas = tuple[Picture, Picture]  # the picture, and the occupied area, which new lines must not enter
Dashes = tuple[Stamps, Stamps]  # the picture of every dash, and the area that every dash occupies
Point = tuple[float, float]  # row and column
Line = Float64[np.ndarray, "9"]
Pixels = Int64[np.ndarray, "..."]  # numbers of pixels in raster order, or their rows and columns
Weights = Float64[np.ndarray, " pixels"]
Dash = tuple[int, int, int, int]  # length, margin, half the side of a dash's canvas, fine pixels per pixel
Shape = tuple[int, int, int, int, int, int]

# The record of a line: its pivot, the point around which it continues, and its direction; then of its last dash the
# start pixel, the index of its stamp (the end), and the pixel of its head.
_PIVOT_Y, _PIVOT_X, _ANGLE, _START_Y, _START_X, _END_Y, _END_X, _HEAD_Y, _HEAD_X = range(9)


@njit(cache=True)
@no_type_check
def uniform(state: State) -> float:
    """Return the next random number of a stream, in [0, 1), by splitmix64 (Steele et al. 2014)."""
    state[0] += np.uint64(0x9E3779B97F4A7C15)
    z = state[0]
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z = z ^ (z >> np.uint64(31))
    return np.float64(z >> np.uint64(11)) * 2.0**-53


@njit(cache=True)
@no_type_check
def _move(y: float, x: float, angle: float, distance: float) -> tuple[int, int]:
    return math.ceil(y + distance * math.sin(angle)), math.ceil(x + distance * math.cos(angle))


@njit(cache=True)
@no_type_check
def _inside(y: int, x: int, side: int) -> bool:
    return 0 <= y < side and 0 <= x < side


@njit(cache=True)
@no_type_check
def _end(angle: float, dash: Dash) -> tuple[int, int]:
    """Return the row and column, in the table of stamps, of the stamp for an angle."""
    length, _, half, fineness = dash
    reach = length * fineness
    centre = half * fineness
    y, x = _move(centre, centre, angle, reach)
    return y - centre + reach, x - centre + reach


@njit(cache=True)
@no_type_check
def _draw(target: Picture, stamp: Picture, y: int, x: int, contrast: float) -> None:
    """Draw a stamp into a picture; each pixel gets the brighter value of the two."""
    half, side = stamp.shape[0] // 2, target.shape[0]
    for j in range(max(0, y - half), min(side, y + half + 1)):
        for i in range(max(0, x - half), min(side, x + half + 1)):
            target[j, i] = max(target[j, i], stamp[j - y + half, i - x + half] * contrast)


@njit(cache=True)
@no_type_check
def _overlap(occupied: Picture, stamp: Picture, y: int, x: int) -> float:
    half, side, most = stamp.shape[0] // 2, occupied.shape[0], 0.0
    for j in range(max(0, y - half), min(side, y + half + 1)):
        for i in range(max(0, x - half), min(side, x + half + 1)):
            most = max(most, occupied[j, i] + stamp[j - y + half, i - x + half])
    return most


@njit(cache=True)
@no_type_check
def _occupied_near(occupied: Picture, y: int, x: int, margin: int) -> float:
    most = 0.0
    for dy in range(-margin, margin + 1):
        for dx in range(-margin, margin + 1):
            if dy * dy + dx * dx <= margin * margin and _inside(y + dy, x + dx, occupied.shape[0]):
                most = max(most, occupied[y + dy, x + dx])
    return most


@njit(cache=True)
@no_type_check
def _free_tails(occupied: Picture, border: int, stamp: Picture, length: int, margin: int) -> Pixels:
    """Return the pixels, in raster order, at which a dash could start without touching an occupied area.

    The result is empty if there is a pixel whose dash would be completely outside the picture. The published program
    has the same effect: it dilates with OpenCV, which gives such a pixel the smallest number, and any negative number
    means that there is no room. So lines start in some directions only, and most short lines of a small picture do not
    fit.
    """
    side, half, room = occupied.shape[0], stamp.shape[0] // 2, length + margin
    offsets = []
    for j in range(-room - 1, room):
        for i in range(-room - 1, room):
            if abs(j) <= half and abs(i) <= half and stamp[j + half, i + half] >= 1.0:
                offsets.append((j + 1, i + 1))  # the published program has this shift by one pixel
    free = np.empty(side * side, np.int64)
    n = 0
    for y in range(side):
        for x in range(side):
            clear, covered = True, False
            for dy, dx in offsets:
                j, i = y + dy, x + dx
                if not _inside(j, i, side):
                    continue
                covered = True
                at_border = min(j, i, side - 1 - j, side - 1 - i) < border
                if at_border or occupied[j, i] > NEARLY_FREE:
                    clear = False
                    break
            if not covered:
                return free[:0]
            if clear:
                free[n] = y * side + x
                n += 1
    return free[:n]


@njit(cache=True)
@no_type_check
def _record(line: Line, pivot: Point, angle: float, start: Point, end: Point, head: Point) -> None:
    line[_PIVOT_Y], line[_PIVOT_X] = pivot
    line[_ANGLE] = angle
    line[_START_Y], line[_START_X] = start
    line[_END_Y], line[_END_X] = end
    line[_HEAD_Y], line[_HEAD_X] = head


@njit(cache=True)
@no_type_check
def _begin(line: Line, y: int, x: int, angle: float, dash: Dash, side: int) -> bool:
    """Start a line with a dash at a pixel; return whether the dash and its pivot are inside the picture."""
    length, margin, _, _ = dash
    head_y, head_x = _move(y, x, angle, length)
    pivot_y, pivot_x = _move(head_y, head_x, angle + math.pi, length + margin)
    end_y, end_x = _end(angle, dash)
    _record(line, (pivot_y, pivot_x), angle, (y, x), (end_y, end_x), (head_y, head_x))
    return _inside(y, x, side) and _inside(head_y, head_x, side) and _inside(pivot_y, pivot_x, side)


@njit(cache=True)
@no_type_check
def _random_angle(state: State) -> float:
    return (int(uniform(state) * 360) - 180) * math.pi / 180


@njit(cache=True)
@no_type_check
def _seed(state: State, line: Line, occupied: Picture, occupancies: Stamps, border: int, dash: Dash) -> bool:
    """Start a line at a random free pixel; return False if there is no room."""
    length, margin, _, _ = dash
    side = occupied.shape[0]
    for _ in range(SEED_ATTEMPTS):
        angle = _random_angle(state)
        end_y, end_x = _end(angle, dash)
        free = _free_tails(occupied, border, occupancies[end_y, end_x], length, margin)
        if len(free) == 0:
            return False
        number = free[int(uniform(state) * len(free))]
        if _begin(line, number // side, number % side, angle, dash, side):
            return True
    return False


@njit(cache=True)
@no_type_check
def _seed_beside(state: State, line: Line, other: Line, distance: int, dash: Dash, side: int) -> bool:
    """Start a line at a distance from the start of another line; return whether it is inside the picture."""
    for _ in range(SEED_ATTEMPTS):
        away = int(uniform(state) * 360) * math.pi / 180
        y = int(np.round(other[_START_Y] + distance * math.sin(away)))
        x = int(np.round(other[_START_X] + distance * math.cos(away)))
        if _begin(line, y, x, _random_angle(state), dash, side):
            return True
    return False


@njit(cache=True)
@no_type_check
def _weigh(
    keys: Pixels, weights: Weights, line: Line, occupied: Picture, pivot: Point, margin: int, continuity: float
) -> float:
    """Fill `weights` with the weight of each candidate pixel for the next dash; return the sum."""
    pivot_y, pivot_x = pivot
    side, total = occupied.shape[0], 0.0
    for k in range(len(keys)):
        y, x = keys[k] // side, keys[k] % side
        turn = abs(math.atan2(y - pivot_y, x - pivot_x) - line[_ANGLE])
        turn = min(continuity * min(turn, 2 * math.pi - turn), math.pi / 2)
        weights[k] = math.cos(turn) ** 2 * (1.0 - _occupied_near(occupied, y, x, margin))
        total += weights[k]
    return total


@njit(cache=True)
@no_type_check
def _candidates(pivot_y: float, pivot_x: float, radius: int, side: int) -> Pixels:
    """Return the pixels of a circle that are inside the picture, in raster order."""
    count = math.ceil(2 * math.pi * radius)
    keys, n = np.empty(count, np.int64), 0
    for k in range(count):
        angle = k / radius
        y, x = pivot_y + radius * math.sin(angle), pivot_x + radius * math.cos(angle)
        if y >= 0 and x >= 0 and y < side and x < side:
            keys[n] = int(y) * side + int(x)
            n += 1
    return np.unique(keys[:n])


@njit(cache=True)
@no_type_check
def _extend(
    state: State, line: Line, canvas: Canvas, dashes: Dashes, contrast: float, dash: Dash, continuity: float
) -> bool:
    """Add a dash to a line; return whether there was room."""
    (lines, occupied), (stamps, occupancies) = canvas, dashes
    length, margin, _, _ = dash
    side = occupied.shape[0]
    pivot_y, pivot_x = _move(line[_PIVOT_Y], line[_PIVOT_X], line[_ANGLE], length + 2 * margin)
    keys = _candidates(pivot_y, pivot_x, length + margin, side)
    weights = np.empty(len(keys), np.float64)
    total = _weigh(keys, weights, line, occupied, (pivot_y, pivot_x), margin, continuity)
    if total < LEAST_WEIGHT:
        return False
    for _ in range(PADDLE_ATTEMPTS):
        left, k = uniform(state) * total, 0
        while k < len(keys) - 1 and left >= weights[k]:
            left -= weights[k]
            k += 1
        y, x = keys[k] // side, keys[k] % side
        angle = math.atan2(y - pivot_y, x - pivot_x)
        end_y, end_x = _end(angle + math.pi, dash)
        if _overlap(occupied, occupancies[end_y, end_x], y, x) < MAX_OVERLAP:
            _draw(lines, stamps[end_y, end_x], y, x, contrast)
            _occupy(line, occupied, occupancies)
            _record(line, (pivot_y, pivot_x), angle, (y, x), (end_y, end_x), (y, x))
            return True
    return False


@njit(cache=True)
@no_type_check
def _occupy(line: Line, occupied: Picture, occupancies: Stamps) -> None:
    """Mark the area of a line's last dash as occupied."""
    stamp = occupancies[int(line[_END_Y]), int(line[_END_X])]
    _draw(occupied, stamp, int(line[_START_Y]), int(line[_START_X]), 1.0)


@njit(cache=True)
@no_type_check
def _draw_first(line: Line, lines: Picture, stamps: Stamps, contrast: float) -> None:
    stamp = stamps[int(line[_END_Y]), int(line[_END_X])]
    _draw(lines, stamp, int(line[_START_Y]), int(line[_START_X]), contrast)


@njit(cache=True)
@no_type_check
def draw_contours(
    state: State, canvas: Canvas, dashes: Dashes, contrast: float, shape: Shape, continuity: float
) -> Pixels:
    """Draw the two long lines; start again until both fit.

    Args:
        state: State of the random stream; it is advanced.
        canvas: The picture, and the occupied area; both are overwritten.
        dashes: The picture of every dash, and the area that every dash occupies.
        contrast: Contrast of the dashes.
        shape: Padding, fineness, length, margin, distance between the two starts, dashes per line.
        continuity: Factor on the angle of a turn; the larger it is, the straighter the lines are.

    Returns:
        The start of each line, then the end of each: rows of (row, column).
    """
    (lines, occupied), (stamps, occupancies) = canvas, dashes
    padding, fineness, length, margin, distance, count = shape
    side, dash = lines.shape[0], (length, margin, stamps.shape[2] // 2, fineness)
    both, tips = np.empty((2, 9)), np.empty((4, 2), np.int64)
    while True:
        lines[:], occupied[:] = 0.0, 1.0
        occupied[padding : side - padding, padding : side - padding] = 0.0
        if not _seed(state, both[0], occupied, occupancies, 2 * distance, dash):
            continue
        if not _seed_beside(state, both[1], both[0], distance, dash, side):
            continue
        for k in range(2):
            _draw_first(both[k], lines, stamps, contrast)
            tips[k, 0], tips[k, 1] = int(both[k, _START_Y]), int(both[k, _START_X])
        fits = True
        for turn in range(2 * (count - 1)):
            line = both[turn % 2]
            fits = fits and _extend(state, line, canvas, dashes, contrast, dash, continuity)
            if not fits:
                break
        if fits:
            _occupy(both[1], occupied, occupancies)
            for k in range(2):
                tips[2 + k, 0], tips[2 + k, 1] = int(both[k, _HEAD_Y]), int(both[k, _HEAD_X])
            return tips


@njit(cache=True)
@no_type_check
def draw_distractors(
    state: State, canvas: Canvas, dashes: Dashes, contrast: float, shape: Shape, continuity: float, count: int
) -> None:
    """Add `count` short lines to a picture; skip a line that does not fit. See `draw_contours` for the arguments."""
    (lines, occupied), (stamps, occupancies) = canvas, dashes
    _, fineness, length, margin, _, length_of_line = shape
    dash, line = (length, margin, stamps.shape[2] // 2, fineness), np.empty(9)
    for _ in range(count):
        for _ in range(DISTRACTOR_ATTEMPTS):
            new_lines, new_occupied = lines.copy(), occupied.copy()
            if (occupied <= NEARLY_FREE).mean() < LEAST_FREE:
                continue
            fits = _seed(state, line, new_occupied, occupancies, 1, dash)
            if fits:
                _draw_first(line, new_lines, stamps, contrast)
            for _ in range(length_of_line - 1):
                fits = fits and _extend(state, line, (new_lines, new_occupied), dashes, contrast, dash, continuity)
            if fits:
                _occupy(line, new_occupied, occupancies)
                lines[:], occupied[:] = new_lines, new_occupied
                break
