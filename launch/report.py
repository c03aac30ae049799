"""A sweep on one HTML page: its table and its learning curves, self-contained."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from launch.records import RunView
    from launch.results import Row


def page(sweep: str, table: Sequence[Row], views: Sequence[RunView]) -> str:
    """Return the page.

    Args:
        sweep: Name of the sweep.
        table: Its rows.
        views: Its runs, whose metrics are read for the curves.

    Returns:
        HTML without references to anything outside it.
    """
    del sweep, table, views
    return ""
