import io
import sys

import pytest

from launch.cli import console, formatting
from launch.errors import LaunchError
from launch.results import format
from launch.results.format import value_text


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def put_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Called by the test itself: pytest replaces stdout between a fixture and its test."""
    monkeypatch.setattr(sys, "stdout", Terminal())
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("COLUMNS", "40")


def test_a_mistake_is_a_message_a_blank_line_and_a_hint(capsys: pytest.CaptureFixture[str]) -> None:
    console.error(LaunchError("x.yaml: grid.lr: no values", hint="write a list"))
    out, err = capsys.readouterr()
    assert out == ""
    assert err == "error: x.yaml: grid.lr: no values\n\nhint: write a list\n"


def test_a_table_in_a_pipe_is_plain_and_whole(capsys: pytest.CaptureFixture[str]) -> None:
    text = console.table(["run", "state"], [["r" * 300, "FAILED"], ["b", "RUNNING"]], elastic="run")
    assert text.splitlines() == [f"run{' ' * 297}  state", f"{'r' * 300}  FAILED", f"b{' ' * 299}  RUNNING"]


def test_a_table_on_a_terminal_fits_it_and_shows_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    put_terminal(monkeypatch)
    text = console.table(["run", "state"], [["r" * 300, "FAILED"]], elastic="run")
    assert "\x1b[31mFAILED\x1b[0m" in text
    assert console.width(text.splitlines()[1]) - len("\x1b[31m\x1b[0m") <= 40


def test_no_color_is_honoured(monkeypatch: pytest.MonkeyPatch) -> None:
    put_terminal(monkeypatch)
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b" not in console.table(["state"], [["FAILED"]])


def test_a_cell_cannot_command_the_terminal() -> None:
    text = console.table(["run"], [["a\x1b[2Jb\nc"]])
    assert text.splitlines()[1] == "a\\x1b[2Jb\\nc"


def test_wide_and_combining_characters_keep_columns_aligned() -> None:
    lines = console.table(["a", "b"], [["層層", "x"], ["é", "x"], ["abcd", "x"]]).splitlines()
    assert {console.width(line.rpartition("x")[0]) for line in lines[1:]} == {6}


@pytest.mark.parametrize(
    ("keys", "names"),
    [
        (["optim.lr", "model.d_state"], ["lr", "d_state"]),
        (["optim.lr", "ssm.lr"], ["optim.lr", "ssm.lr"]),
        (["lr", "optim.lr"], ["lr", "optim.lr"]),
        (["a.b.x", "c.b.x", "y"], ["a.b.x", "c.b.x", "y"]),
    ],
)
def test_settings_go_by_the_shortest_clear_name(keys: list[str], names: list[str]) -> None:
    assert list(format.short_names(keys).values()) == names


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.001, "0.001"),
        (0.1 + 0.2, "0.3"),
        (True, "true"),
        (None, "null"),
        ("a b", "a b"),
        ([1, 2], "[1, 2]"),
        (64, "64"),
    ],
)
def test_values_are_shown_as_typed(value, text: str) -> None:
    assert value_text(value) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0:00"), (59.6, "1:00"), (3661, "1:01:01"), (90_061, "1d 01:01"), (-3, "0:00")]
)
def test_durations(seconds: float, text: str) -> None:
    assert formatting.duration(seconds) == text


@pytest.mark.parametrize(("count", "text"), [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (5 << 40, "5.0 TiB")])
def test_sizes(count: int, text: str) -> None:
    assert formatting.size(count) == text


@pytest.mark.parametrize(("value", "text"), [(0.0042, "0.0042"), (0.25, "0.25"), (1.5, "1.50"), (1234.5, "1,234")])
def test_hours(value: float, text: str) -> None:
    assert formatting.hours(value) == text


@pytest.mark.parametrize("columns", [30, 47, 80])
def test_a_long_line_on_a_terminal_breaks_between_words_and_not_inside_a_command(
    columns: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    text = (
        "the checkpoint cannot be written to the disk: `launch rm old` frees some space, then type it again\n\n  kept"
    )
    console.note(text)
    assert capsys.readouterr().err == f"{text}\n"  # in a pipe
    monkeypatch.setattr(console, "draws_on", lambda stream: True)
    console.note(text)
    lines = capsys.readouterr().err.splitlines()
    assert max(map(len, lines)) <= columns
    assert " ".join(" ".join(lines).split()) == " ".join(text.split())
    assert sum("`launch rm old`" in line for line in lines) == 1
    assert lines[-2:] == ["", "  kept"]
