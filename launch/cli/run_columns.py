"""The columns that tell the runs of a table apart: the digits at the end of their ids, and what varies between them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from launch.cli import console
from launch.results.format import MISSING, short_names, value_text
from launch.store.manifest import BLOCK

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from launch.store.view import RunView

GAP = 2  # columns of the terminal between two columns of a table
_MAX_VALUE = 16  # a longer value is cut; the digits of the id still tell the rows apart
_MIN_HEADER = 5
_KEPT = ("id", "seed")


def identifying_columns(views: Sequence[RunView]) -> dict[str, list[str]]:
    """Return the header and the cells of each column: `id`, then what varies in the order of the settings, then `seed`.

    `id` is the end of a run's id, which `launch logs`, `show` and `cancel` accept in place of the whole id.
    """
    keys = dict.fromkeys(key for view in views for key in view.settings if key != BLOCK)
    varied = [key for key in keys if len({repr(view.settings.get(key, MISSING)) for view in views}) > 1]
    names = short_names(varied)
    columns = {"id": [view.run_id.rpartition("-")[2] for view in views]}
    if len({view.experiment for view in views}) > 1:
        columns["recipe"] = [view.experiment for view in views]
    if any(BLOCK in view.settings for view in views):
        columns["block"] = [str(view.settings.get(BLOCK, MISSING)) for view in views]
    for key in varied:
        cells = [value_text(view.settings[key]) if key in view.settings else MISSING for view in views]
        columns[names[key] if names[key] not in columns else key] = cells
    if len({view.seed for view in views}) > 1:
        columns["seed"] = [str(view.seed) for view in views]
    return {name: [_cut(console.printable(cell), _MAX_VALUE) for cell in cells] for name, cells in columns.items()}


def table_width(columns: Mapping[str, Sequence[str]]) -> int:
    """Return how many columns of the terminal a table takes."""
    widths = [max(map(console.width, (name, *cells))) for name, cells in columns.items()]
    return sum(widths) + GAP * max(0, len(widths) - 1)


def fit(columns: Mapping[str, list[str]], room: int) -> dict[str, list[str]]:
    """Return the columns so that they take at most `room` columns of the terminal, if `id` and `seed` alone do.

    First the headers are cut, then columns are left out, the last one first.
    """
    if table_width(columns) <= room:
        return dict(columns)
    shown: dict[str, list[str]] = {}
    for name, cells in columns.items():
        short = _cut(name, max(_MIN_HEADER, *map(console.width, cells)))
        shown[short if short not in shown else name] = cells
    for name in [name for name in reversed(shown) if name not in _KEPT]:
        if table_width(shown) <= room:
            break
        del shown[name]
    return shown


def _cut(text: str, room: int) -> str:
    return text if len(text) <= room else f"{text[: room - 1]}…"
