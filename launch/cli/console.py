"""The only module that prints: results to stdout, everything else to stderr; colours only on a terminal."""

from __future__ import annotations

import os
import re
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

from launch.cli.verbs import OF_STORED_RUNS, OF_SUBMISSION
from launch.errors import LaunchError
from launch.errors import printable as printable

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence
    from contextlib import AbstractContextManager

    from rich.console import RenderableType

_QUOTED = re.compile(r"`[^`]*`")
_NO_BREAK = "\N{WORD JOINER}"  # stands for a space at which a line must not be broken
_STYLES = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33", "cyan": "36"}
STATE_COLOURS = {
    "PLANNED": "dim",
    "PENDING": "dim",
    "RUNNING": "cyan",
    "PREEMPTED": "yellow",
    "SUCCEEDED": "green",
    "FAILED": "red",
    "CANCELLED": "yellow",
    "LOST": "red",
    "ok": "green",
    "warn": "yellow",
    "fail": "red",
}


# Commands in backticks that are about a folder of runs.
_COMMAND = re.compile(rf"`(launch (?:{'|'.join(sorted(OF_STORED_RUNS | OF_SUBMISSION))})\b[^`]*)`")

# While a command runs: the function that adds the options that name the folder of runs.
_complete: list[Callable[[str], str]] = []


def prepare() -> None:
    """Make sure that stdin, stdout and stderr exist, and that any file name can be printed."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:  # closed by the process that started this: `>&-`
            setattr(sys, name, open(os.devnull, mode))  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]


def print_out(text: str) -> None:
    """Write text of the command's output to stdout, with a newline."""
    with _writing():
        sys.stdout.write(text + "\n")


def raw(content: bytes) -> None:
    """Write bytes, such as a part of a log, to stdout unchanged and without buffering."""
    with _writing():
        sys.stdout.flush()
        sys.stdout.buffer.write(content)
        sys.stdout.buffer.flush()


def flush() -> None:
    """Write the rest of stdout's buffer.

    Raises:
        LaunchError: If stdout cannot be written. A closed pipe raises BrokenPipeError instead.
    """
    with _writing():
        sys.stdout.flush()


def forget_stdout() -> None:
    """Discard the rest of stdout's buffer, so that Python does not fail again at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@contextmanager
def _writing() -> Generator[None]:
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as problem:
        forget_stdout()
        raise LaunchError(f"stdout cannot be written: {problem.strerror}") from problem


def complete_commands(complete: Callable[[str], str]) -> None:
    """Add options to the commands in all further lines for the user, since they are about another folder of runs.

    Args:
        complete: Returns a command, such as `launch watch x`, with the options that it needs.
    """
    _complete[:] = [complete]


def complete_no_commands() -> None:
    """Undo `complete_commands`: the command has ended, and the next one of this process may be about another folder."""
    _complete.clear()


def completed(text: str) -> str:
    """Return a text whose commands in backticks have the options that they need; see `complete_commands`."""
    if not _complete or "`launch " not in text:
        return text
    return _COMMAND.sub(lambda found: f"`{_complete[0](found[1])}`", text)


def note(text: str) -> None:
    """Write a line for the user to stderr; do nothing if stderr is closed."""
    text = completed(text)
    if draws_on(sys.stderr):
        text = "\n".join(wrapped(line) for line in text.split("\n"))
    try:
        sys.stderr.write(text + "\n")
        sys.stderr.flush()
    except OSError:
        pass


def warn(text: str) -> None:
    """Write a warning to stderr."""
    note(f"{paint('warning:', 'yellow', sys.stderr)} {text}")


def hint(text: str) -> None:
    """Write a hint on the next command to stderr, after a blank line."""
    note(f"\n{paint('hint:', 'cyan', sys.stderr)} {text}")


def error(mistake: LaunchError) -> None:
    """Write an error to stderr: the message, a blank line, and the hint if there is one."""
    note(f"{paint('error:', 'red', sys.stderr)} {mistake.message}")
    if mistake.hint:
        hint(mistake.hint)


def traceback_of(problem: BaseException) -> None:
    """Write the whole traceback of an exception to stderr."""
    import traceback  # imported here, as most commands do not need it

    lines = traceback.format_exception(problem)
    # The note of a LaunchError is its hint, which is printed after the message.
    note("".join(line for line in lines if not line.startswith("hint: ")).rstrip())


def ask(question: str) -> str:
    """Write a question to stderr, and return the line that the user types; "" at the end of the input."""
    sys.stderr.write(question)
    sys.stderr.flush()
    return sys.stdin.readline()


def wrapped(line: str, indent: int = 0) -> str:
    """Return a line broken between words so that it fits the terminal, but not inside of a command in backticks.

    Args:
        line: The line.
        indent: How many spaces begin each further line.
    """
    if width(line) <= terminal_columns():
        return line
    from textwrap import wrap  # most lines are short

    joined = _QUOTED.sub(lambda found: found[0].replace(" ", _NO_BREAK), line)
    parts = wrap(
        joined,
        max(20, terminal_columns()),
        subsequent_indent=" " * indent,
        break_long_words=False,
        break_on_hyphens=False,
        drop_whitespace=True,
        replace_whitespace=False,
    )
    return "\n".join(parts).replace(_NO_BREAK, " ")


def draws_on(stream: TextIO) -> bool:
    """Return whether `stream` is a terminal that can move its cursor."""
    return stream.isatty() and os.environ.get("TERM") != "dumb"


def coloured(stream: TextIO) -> bool:
    """Return whether to write in colour to `stream`: it is a terminal, and `NO_COLOR` is not set."""
    return draws_on(stream) and not os.environ.get("NO_COLOR")


def paint(text: str, style: str, stream: TextIO) -> str:
    """Return `text` in a colour or weight of `_STYLES` if `stream` shows colours."""
    return f"\x1b[{_STYLES[style]}m{text}\x1b[0m" if coloured(stream) else text


def width(text: str) -> int:
    """Return the number of terminal columns that `text` takes."""
    if text.isascii():
        return len(text)
    from unicodedata import combining, east_asian_width  # imported here, as the module is large

    return sum(0 if combining(c) else 2 if east_asian_width(c) in "WF" else 1 for c in text)


def table(
    header: Sequence[str], rows: Sequence[Sequence[str]], *, right: Sequence[str] = (), elastic: str | None = None
) -> str:
    """Return a table for stdout as text: columns aligned, states in colour on a terminal.

    Args:
        header: The names of the columns.
        rows: The cells of each row.
        right: The names of the columns that are aligned to the right.
        elastic: The column whose cells are cut if the table is wider than the terminal. In a pipe nothing is cut.
    """
    stream = sys.stdout
    cells = [[printable(cell) for cell in row] for row in rows]
    widths = [max((width(row[i]) for row in (header, *cells)), default=0) for i in range(len(header))]
    if elastic is not None and draws_on(stream):
        _shrink(cells, widths, list(header).index(elastic))
    aligned = [name in right for name in header]
    head = paint(_line(header, widths, aligned), "bold", stream)
    colours = STATE_COLOURS if coloured(stream) else {}
    return "\n".join([head, *(_line(row, widths, aligned, colours) for row in cells)])


def _shrink(cells: list[list[str]], widths: list[int], column: int) -> None:
    """Cut the cells of one column so that the table fits the terminal, if that column is wide enough."""
    over = sum(widths) + 2 * (len(widths) - 1) - terminal_columns()
    if over <= 0:
        return
    room = max(8, widths[column] - over)
    for row in cells:
        if width(row[column]) > room:
            row[column] = row[column][: room - 1] + "…"
    widths[column] = min(widths[column], room)


def _line(row: Sequence[str], widths: list[int], right: list[bool], colours: dict[str, str] | None = None) -> str:
    parts: list[str] = []
    for cell, wide, to_right in zip(row, widths, right, strict=True):
        gap = " " * (wide - width(cell))
        shown = f"\x1b[{_STYLES[colours[cell]]}m{cell}\x1b[0m" if colours and cell in colours else cell
        parts.append(gap + shown if to_right else shown + gap)
    return "  ".join(parts).rstrip()


def terminal_columns() -> int:
    """Return the width of the terminal."""
    import shutil  # imported here, as its import is slow

    return shutil.get_terminal_size().columns


def live(render: Callable[[int, int], RenderableType]) -> AbstractContextManager[object]:
    """Draw `render(columns, rows)` on stderr's terminal repeatedly until the `with` block ends; the last one stays."""
    from rich.console import Console
    from rich.live import Live

    console = Console(stderr=True, no_color=bool(os.environ.get("NO_COLOR")), highlight=False)
    return Live(
        get_renderable=lambda: render(console.width, console.height),
        console=console,
        refresh_per_second=4,
        redirect_stdout=False,
        redirect_stderr=False,
        vertical_overflow="crop",
    )
