"""Stored files are read with limits: a process that can write one must not stop those that read it."""

import json
import os
from pathlib import Path

import pytest

from s5.run_dir.json_file import MAX_DEPTH, parse_json
from s5.run_dir.numbers import numbers_in
from s5.run_dir.regular_file import NotRegular, read_regular, read_tail
from s5.run_dir.result import attempt_dirs, last_line, read_lines, read_metrics


def nested(depth: int) -> str:
    return '{"a":' * depth + "[1, 2]" + "}" * depth


@pytest.mark.parametrize("text", [nested(MAX_DEPTH), "[" * 300_000, "[" * 70 + "]" * 70, "1" * 10_000, "{"])
def test_what_is_not_json_or_too_deep_is_a_value_error(text: str) -> None:
    with pytest.raises(ValueError):
        parse_json(text)


def test_a_wide_document_is_read() -> None:
    wide = [{"a": [number]} for number in range(1000)]
    assert parse_json(json.dumps(wide).encode()) == wide
    assert parse_json(nested(MAX_DEPTH - 2)) == json.loads(nested(MAX_DEPTH - 2))


def test_only_regular_files_of_a_bounded_size_are_read(tmp_path: Path) -> None:
    pipe, large = tmp_path / "pipe", tmp_path / "large"
    os.mkfifo(pipe)
    large.write_bytes(b"x" * 200_000)
    for path in (pipe, Path("/dev/zero")):
        with pytest.raises(NotRegular, match="not a regular file"):
            read_regular(path)
        with pytest.raises(NotRegular):
            read_tail(path, 10)
    writer = os.open(pipe, os.O_RDWR)  # a pipe that has its other end, and nothing to read yet
    with pytest.raises(NotRegular, match="not a regular file"):
        read_regular(pipe)
    os.close(writer)
    with pytest.raises(IsADirectoryError):
        read_regular(tmp_path)
    with pytest.raises(NotRegular, match="larger than 1,000 bytes"):
        read_regular(large, max_bytes=1000)
    assert read_regular(large) == b"x" * 200_000
    assert read_tail(large, 5) == b"xxxxx"


def test_only_our_own_numbers_count(tmp_path: Path) -> None:
    assert numbers_in(["10", "0", "2", "²", "٣", "007", "-1", "1.5", ""]) == [0, 2, 10]
    for name in ("1", "0", "³", "01"):
        (tmp_path / "attempts" / name).mkdir(parents=True)
    assert [path.name for path in attempt_dirs(tmp_path)] == ["0", "1"]


def test_damaged_lines_of_metrics_are_left_out(tmp_path: Path) -> None:
    file = tmp_path / "attempts" / "0" / "metrics.jsonl"
    file.parent.mkdir(parents=True)
    file.write_text(
        f'{{"resumed_from": 3}}\n{{"step": []}}\n{nested(5000)}\n[1]\n{{"step": 1, "val/loss": 0.5}}\n{{"step": 2'
    )
    assert read_metrics(tmp_path) == [{"step": 1, "val/loss": 0.5}]
    assert last_line(file) == {"step": 1, "val/loss": 0.5}
    file.unlink()
    os.mkfifo(file)
    assert read_lines(file) == [] and last_line(file) is None
