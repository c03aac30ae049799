"""Pathfinder's generator: the compiled search compared with a plain search that draws every dash again."""

import dataclasses
import math
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import s5
from s5.catalog import CATALOG, DataError
from s5.config.data import DataConfig
from s5.data import convert, load

pytest.importorskip("numba")
pytest.importorskip("PIL.Image")

from s5.data.generate.paddles import SIZES, canvas_half, dilate, disc, draw_marker, draw_paddle
from s5.data.generate.pathfinder import draw_picture, first_state


class Stream:
    """The stream of random numbers, computed with Python integers."""

    def __init__(self, seed: int, index: int) -> None:
        self.state = int(first_state(seed, index)[0])

    def __call__(self) -> float:
        mask = (1 << 64) - 1
        self.state = (self.state + 0x9E3779B97F4A7C15) & mask
        z = self.state
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & mask
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & mask
        return ((z ^ (z >> 31)) >> 11) * 2.0**-53

    def below(self, n: int) -> int:
        return int(self() * n)


def move(point, angle: float, distance) -> tuple[Any, Any]:
    return math.ceil(point[0] + distance * math.sin(angle)), math.ceil(point[1] + distance * math.cos(angle))


class NoRoom(Exception):
    pass


@dataclasses.dataclass
class Line:
    pivot: tuple
    angle: float
    tip: tuple
    occupancy: np.ndarray  # of the last dash, as large as the picture


class Plain:
    """Draws one picture as the source describes it, with operations on whole arrays."""

    def __init__(self, side, seed: int, index: int) -> None:
        self.p, self.draw = SIZES[side], Stream(seed, index)
        self.side, self.seed, self.index = side, seed, index

    def picture(self) -> tuple[Any, int]:
        p = self.p
        label, chosen, self.margin = self.draw.below(2), self.draw.below(2), p.margins[self.draw.below(len(p.margins))]
        while True:
            try:
                lines, free_of, firsts, lasts = self.contours()
                break
            except NoRoom:
                continue
        for _ in range(p.n_distractors):
            for _ in range(5):
                try:
                    lines, free_of = self.distractor(lines, free_of)
                    break
                except NoRoom:
                    continue
        for tip in (firsts[chosen], lasts[chosen if label else 1 - chosen]):
            lines = np.maximum(lines, draw_marker(p, *tip))
        lines = (lines - lines.min()) / (lines.max() - lines.min()) * 255
        return (lines + 0.5).astype(np.uint8), label

    def paste(self, stamp, at) -> np.ndarray:
        half = len(stamp) // 2
        canvas = np.zeros((self.side + 2 * half,) * 2)
        canvas[at[0] : at[0] + 2 * half + 1, at[1] : at[1] + 2 * half + 1] = stamp
        return canvas[half : half + self.side, half : half + self.side]

    def paddle(self, start, angle: float) -> tuple[np.ndarray, ...]:
        p = self.p
        centre = canvas_half(p, self.margin) * p.fineness
        end = move((centre, centre), angle, p.length * p.fineness)
        drawn = draw_paddle(p, self.margin, end[0] - centre, end[1] - centre)
        return tuple(self.paste(stamp, start) for stamp in drawn)

    def inside(self, *points: Any) -> bool:
        return all(0 <= y < self.side and 0 <= x < self.side for y, x in points)

    def begun(self, tail: tuple[int, ...], angle: float) -> tuple[tuple[Any, Any], tuple[Any, Any]] | None:
        head = move(tail, angle, self.p.length)
        pivot = move(head, angle + math.pi, self.p.length + self.margin)
        return (head, pivot) if self.inside(tail, head, pivot) else None

    def seed_line(self, free_of, border):
        for _ in range(3):
            angle = (self.draw.below(360) - 180) * math.pi / 180
            bordered = free_of.copy()
            bordered[:border], bordered[-border:], bordered[:, :border], bordered[:, -border:] = 1, 1, 1, 1
            room = self.p.length + self.margin
            p, centre = self.p, canvas_half(self.p, self.margin) * self.p.fineness
            end = move((centre, centre), angle, p.length * p.fineness)
            stamp = draw_paddle(p, self.margin, end[0] - centre, end[1] - centre)[1] >= 1
            # On a canvas of 2 room + 1 the dash begins one pixel off the middle.
            small = np.zeros((2 * room + 1,) * 2, bool)
            half = len(stamp) // 2
            for j, i in np.argwhere(stamp):
                y, x = j - half + room + 1, i - half + room + 1
                if 0 <= y <= 2 * room and 0 <= x <= 2 * room:
                    small[y, x] = True
            # As OpenCV does it: where the footprint lies outside altogether, the least number, a sign of no room.
            framed = np.full((self.side + 2 * room,) * 2, -np.inf)
            framed[room:-room, room:-room] = bordered
            near = dilate(framed, small)[room:-room, room:-room]
            free = np.argwhere(np.ceil(near - 0.3) <= 0)
            if near.min() < 0 or not len(free):
                raise NoRoom
            tail = tuple(int(v) for v in free[self.draw.below(len(free))])
            if begun := self.begun(tail, angle):
                return tail, angle, *begun
        raise NoRoom

    def extend(self, line: Line, lines, free_of, contrast) -> Line:
        p, m = self.p, self.margin
        pivot = move(line.pivot, line.angle, p.length + 2 * m)
        radius = p.length + m
        circle = [
            (pivot[0] + radius * math.sin(k / radius), pivot[1] + radius * math.cos(k / radius))
            for k in range(math.ceil(2 * math.pi * radius))
        ]
        places = sorted({(int(y), int(x)) for y, x in circle if 0 <= y < self.side and 0 <= x < self.side})
        near = dilate(free_of, disc(m))
        angles = [math.atan2(y - pivot[0], x - pivot[1]) for y, x in places]
        turns = [abs(angle - line.angle) for angle in angles]
        turns = [min(p.continuity * min(turn, 2 * math.pi - turn), math.pi / 2) for turn in turns]
        weights = [math.cos(turn) ** 2 * (1 - near[place]) for turn, place in zip(turns, places, strict=True)]
        if sum(weights) < 1e-4:
            raise NoRoom
        for _ in range(3):
            left, k = self.draw() * sum(weights), 0
            while k < len(weights) - 1 and left >= weights[k]:
                left, k = left - weights[k], k + 1
            drawn, occupancy = self.paddle(places[k], angles[k] + math.pi)
            if (free_of + occupancy).max() < 1.8:
                np.maximum(lines, drawn * contrast, out=lines)
                np.maximum(free_of, line.occupancy, out=free_of)
                return Line(pivot, angles[k], places[k], occupancy)
        raise NoRoom

    def contours(self):
        p = self.p
        contrast = p.snake_contrast * p.paddle_contrast
        free_of = np.ones((self.side, self.side))
        free_of[p.padding : -p.padding, p.padding : -p.padding] = 0
        tail, angle, _, pivot = self.seed_line(free_of, 2 * p.seed_distance)
        tails, begun = [tail], [(angle, pivot)]
        for _ in range(3):
            away = self.draw.below(360) * math.pi / 180
            next_to = (
                round(tail[0] + p.seed_distance * math.sin(away)),
                round(tail[1] + p.seed_distance * math.cos(away)),
            )
            angle = (self.draw.below(360) - 180) * math.pi / 180
            if found := self.begun(next_to, angle):
                tails.append(next_to)
                begun.append((angle, found[1]))
                break
        else:
            raise NoRoom
        both, images = [], []
        for start, (angle, pivot) in zip(tails, begun, strict=True):
            drawn, occupancy = self.paddle(start, angle)
            images.append(drawn * contrast)
            both.append(Line(pivot, angle, start, occupancy))
        for _ in range(p.contour_length - 1):
            for k in range(2):
                both[k] = self.extend(both[k], images[k], free_of, contrast)
        np.maximum(free_of, both[1].occupancy, out=free_of)
        return np.maximum(*images), free_of, tails, [line.tip for line in both]

    def distractor(self, lines, free_of) -> tuple[np.ndarray, np.ndarray]:
        p, lines, free_of = self.p, lines.copy(), free_of.copy()
        if (free_of <= 0.3).mean() < 0.01:
            raise NoRoom
        tail, angle, _, pivot = self.seed_line(free_of, 1)
        drawn, occupancy = self.paddle(tail, angle)
        lines = np.maximum(lines, drawn * p.snake_contrast)
        line = Line(pivot, angle, tail, occupancy)
        for _ in range(p.distractor_length - 1):
            line = self.extend(line, lines, free_of, p.snake_contrast)
        return lines, np.maximum(free_of, line.occupancy)


# Pictures that are begun again a few times only, since the plain search takes its time.
@pytest.mark.parametrize(("side", "indices"), [(32, (275, 261, 342, 212)), (128, (105,))])
def test_the_compiled_search_is_the_plain_one(side: int, indices: tuple[int, ...]) -> None:
    for index in indices:
        picture, label = draw_picture(side, 3, index)
        plain, plain_label = Plain(side, 3, index).picture()
        assert label == plain_label
        np.testing.assert_array_equal(picture, plain)


def test_a_picture_depends_on_seed_and_number_alone() -> None:
    first, _ = draw_picture(32, 0, 7)
    draw_picture(32, 0, 8)
    again, _ = draw_picture(32, 0, 7)
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, draw_picture(32, 1, 7)[0])


def test_labels_are_balanced_and_pictures_mostly_dark() -> None:
    pictures, labels = zip(*(draw_picture(32, 0, index) for index in range(400)), strict=True)
    assert 160 < sum(labels) < 240
    values = np.stack(pictures) / 127.5 - 1
    # What the published program draws has mean -0.84 and deviation 0.40, since most short lines find no room.
    assert values.mean() == pytest.approx(-0.842, abs=0.006) and values.std() == pytest.approx(0.398, abs=0.01)
    assert all(picture.min() == 0 and picture.max() == 255 for picture in pictures)


def test_the_pictures_of_a_version_stay_what_they_are() -> None:
    # If you meant to change them, raise their version in s5/catalog/pathfinder.py, and `data.version` in the recipes.
    labels = [draw_picture(32, 0, index)[1] for index in range(16)]
    assert labels == [0, 0, 0, 1, 0, 1, 1, 0, 0, 0, 0, 1, 1, 1, 1, 1]
    sums = {(side, index): int(draw_picture(side, 0, index)[0].sum()) for side in (32, 128) for index in (0, 1)}
    assert sums == pytest.approx({(32, 0): 19015, (32, 1): 20520, (128, 0): 119317, (128, 1): 128745}, rel=1e-3)


def test_made_pictures_are_a_data_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("S5_CACHE", str(tmp_path))
    name = "pathfinder32_regenerated_20k"
    sizes = {"train": 16, "val": 2, "test": 2}
    monkeypatch.setitem(CATALOG, name, dataclasses.replace(CATALOG[name], sizes=sizes))
    config = DataConfig(name=name, version=2)
    convert(config)
    dataset = load(config)
    assert {split: len(part) for split, part in dataset.splits.items()} == sizes
    stored = dataset.splits["train"].inputs.reshape(20, 32, 32)
    np.testing.assert_array_equal(stored[13], draw_picture(32, 0, 13)[0])
    # A run that began on the first version's pictures does not go on with these.
    with pytest.raises(DataError, match=f"data.version=1: {name} is version 2 in this code"):
        load(DataConfig(name=name))


def test_dilation_looks_where_the_footprint_lies() -> None:
    values, footprint = np.zeros((5, 5)), np.zeros((3, 3), bool)
    values[2, 2], footprint[1, 2] = 1, True
    assert np.argwhere(dilate(values, footprint)).tolist() == [[2, 1]]


_WITHOUT_CACHES = """
import os, sys
sys.path.insert(0, sys.argv[1])
import dataclasses
import s5
from s5.catalog import DataError
from s5.data import conversion
from s5.data.generate.pathfinder import draw_picture
assert s5.__file__.startswith(sys.argv[1])
if len(sys.argv) > 2:
    from s5.data import pathfinder
    from s5.catalog import CATALOG
    info = dataclasses.replace(CATALOG["pathfinder32_regenerated_20k"], sizes={"train": 1, "val": 1, "test": 1})
    stored = conversion.open_or_convert(info, sys.argv[2], lambda: pathfinder.make_plan(info, None))
    print(stored.arrays["inputs"].shape)
else:
    try:
        draw_picture(32, 0, 0)
    except DataError as error:
        print(error.hint)
"""


def test_numba_keeps_its_programs_in_the_data_cache(tmp_path: Path) -> None:
    """As in a container or for a service user: neither the code nor the home folder can be written."""
    shutil.copytree(Path(s5.__file__).parent, tmp_path / "s5", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "s5" / "data" / "generate" / "__pycache__").write_text("")  # a file keeps root from writing, too
    unset = {"NUMBA_CACHE_DIR", "XDG_CACHE_HOME"}
    environment = {name: value for name, value in os.environ.items() if name not in unset} | {"HOME": "/dev/null"}
    environment["NUMBA_OPT"] = "0"  # compiles in half the time

    def run(*words: str) -> str:
        command = [sys.executable, "-P", "-c", _WITHOUT_CACHES, str(tmp_path), *words]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    assert "NUMBA_CACHE_DIR=" in run()
    assert run(str(tmp_path / "cache")) == "(3, 1024, 1)"
    assert list((tmp_path / "cache" / "numba").rglob("*.nbi"))
