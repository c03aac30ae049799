"""Reading of large text files in ranges of whole lines."""

import codecs
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from s5.catalog import DataError
from s5.data.conversion import Chunk

_BLOCK = 1 << 22


@dataclass(frozen=True)
class LineRange:
    """Consecutive lines of a file.

    Attributes:
        path: The file.
        offset: Byte offset of the first line.
        first: Number of the first line, counted from 1.
        count: Number of lines.
    """

    path: Path
    offset: int
    first: int
    count: int

    def read(self) -> Iterator[tuple[int, str]]:
        """Yield the number and the text of each line, without the line break.

        Raises:
            DataError: If a line is not UTF-8.
        """
        with self.path.open("rb") as file:
            file.seek(self.offset)
            for number in range(self.first, self.first + self.count):
                line = file.readline()
                if self.offset == 0 and number == self.first:
                    line = line.removeprefix(codecs.BOM_UTF8)  # Excel and Notepad write it
                try:
                    yield number, line.decode("utf-8").rstrip("\r\n")
                except UnicodeDecodeError as error:
                    raise DataError(f"{self.path}, line {number}: not UTF-8: {error.reason}") from error


def chunk_lines(path: Path, rows: int, start: int, *, header: bool, size: int) -> list[Chunk]:
    """Divide a file into chunks of whole lines; each line is a row of the arrays.

    Args:
        path: The file.
        rows: The expected number of rows.
        start: The row of the first line.
        header: Whether the first line is a header, which is skipped.
        size: Lines per chunk.

    Returns:
        The chunks; the source of each chunk is a `LineRange`.

    Raises:
        DataError: If the file has another number of lines.
    """
    pieces: list[LineRange] = []
    number = offset = end = 0  # complete lines so far; bytes before the block; the end of the last complete line
    with path.open("rb") as file:
        begin, first, held = 0, 1, 0
        while block := file.read(_BLOCK):
            at = -1
            while (at := block.find(b"\n", at + 1)) >= 0:
                number, end = number + 1, offset + at + 1
                if header and number == 1:
                    begin, first = end, 2
                    continue
                held += 1
                if held == size:
                    pieces.append(LineRange(path, begin, first, held))
                    begin, first, held = end, number + 1, 0
            offset += len(block)
    held += end < os.path.getsize(path)  # a last line without a line break
    if held:
        pieces.append(LineRange(path, begin, first, held))
    found = sum(piece.count for piece in pieces)
    if found != rows:
        raise DataError(
            f"{path}: {found:,} lines{' after its header' if header else ''}; the published file has {rows:,}",
            hint="the file is incomplete or another file; get it again",
        )
    firsts = [start + sum(piece.count for piece in pieces[:k]) for k in range(len(pieces))]
    return [Chunk(row, row + piece.count, piece) for row, piece in zip(firsts, pieces, strict=True)]
