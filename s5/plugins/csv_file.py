"""Reading of a CSV file of numbers. NumPy is imported when a file is read, since the launcher imports this module."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from s5.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from os import PathLike

    import numpy as np
    from jaxtyping import Float64

_MISSING = {"", "-", "?", "na", "n/a", "null", "none"}  # a line of these is a row that lacks values, not a header
_LONGEST = 40  # characters of a cell in a message


def read_csv(
    path: str | PathLike[str], *, delimiter: str | None = ",", header: bool | None = None
) -> Float64[np.ndarray, "rows columns"]:
    """Read a CSV file of numbers: lines are rows, and blank lines are skipped.

    Args:
        path: The file, in UTF-8.
        delimiter: What separates columns; None for spaces and tabs.
        header: Whether the first line has the names of the columns. If None, it has them if it has text and no number.

    Returns:
        The numbers. `nan` and `inf` count as numbers; the check of `Examples` refuses them.

    Raises:
        UserError: If a cell is not a number, rows have different lengths, or there are no rows. The message has the
            file, the line (counted from 1, with the header) and the column (from 1).
        OSError: If the file cannot be read.
    """
    import numpy as np

    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(
            f"{path}: not UTF-8: {error.reason} at byte {error.start}", hint="store the table as a CSV file in UTF-8"
        ) from error
    lines = [(number, line) for number, line in enumerate(text.split("\n"), 1) if line.strip()]
    if header is None:
        header = bool(lines) and _is_header(_cells(lines[0][1], delimiter))
    lines = lines[header:]
    if not lines:
        raise UserError(f"{path}: no rows of numbers", hint="remove it, or get the file again")
    try:
        return np.loadtxt(
            [line for _, line in lines], np.float64, comments=None, delimiter=delimiter, quotechar='"', ndmin=2
        )
    except ValueError as error:
        _raise_fault(str(path), lines, delimiter)
        raise UserError(f"{path}: {error}", hint="correct the file") from error  # a fault that only NumPy sees


def _raise_fault(path: str, lines: Sequence[tuple[int, str]], delimiter: str | None) -> None:
    """Raise about the first cell that is not a number, or the first row that has another length than the first row."""
    first, width = lines[0][0], len(_cells(lines[0][1], delimiter))
    for number, line in lines:
        cells = _cells(line, delimiter)
        for column, cell in enumerate(cells, 1):
            if not _is_number(cell):
                shown = f"{cell[:_LONGEST]}…" if len(cell) > _LONGEST else cell
                what = f"{shown!r} is not a number" if cell else "the cell is empty"
                raise UserError(f"{path}, line {number}, column {column}: {what}", hint=_hint(cell, number))
        if len(cells) != width:
            columns = "1 column" if len(cells) == 1 else f"{len(cells)} columns"
            raise UserError(
                f"{path}, line {number}: {columns}; line {first} has {width}", hint="write as many numbers in each line"
            )


def _hint(cell: str, line: int) -> str:
    """Return the hint about a cell that is not a number."""
    for other in (";", "\t", "|", None):
        parts = cell.split(other)
        if len(parts) > 1 and all(map(_is_number, parts)):
            return f"if columns are separated otherwise, read_csv(…, delimiter={other!r})"
    if line == 1 and cell:
        return "if line 1 has the names of the columns, read_csv(…, header=True)"
    return "correct the file; replace a missing value by a number"


def _cells(line: str, delimiter: str | None) -> list[str]:
    return [cell.strip().strip('"').strip() for cell in line.split(delimiter)]


def _is_header(cells: Sequence[str]) -> bool:
    return not any(map(_is_number, cells)) and any(cell.lower() not in _MISSING for cell in cells)


def _is_number(cell: str) -> bool:
    """Return whether NumPy reads the cell; Python alone also reads `1_000` and digits of other scripts."""
    try:
        float(cell)
    except ValueError:
        return False
    return cell.isascii() and "_" not in cell
