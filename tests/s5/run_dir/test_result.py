import json
import math
from pathlib import Path

import pytest

from s5.run_dir.result import (
    METRICS,
    RESULT,
    ResultError,
    attempt_dirs,
    last_line,
    metrics_line,
    publish,
    read_lines,
    read_metrics,
    read_result,
    resume_line,
    write_result,
)


def write_attempt(run_dir: Path, attempt: int, *lines: str) -> None:
    folder = run_dir / "attempts" / str(attempt)
    folder.mkdir(parents=True)
    (folder / METRICS).write_text("".join(lines))


def steps(run_dir: Path) -> list[int]:
    return [line["step"] for line in read_metrics(run_dir)]


def test_metrics_are_cut_where_the_next_attempt_took_over(tmp_path: Path) -> None:
    write_attempt(tmp_path, 0, *(metrics_line(n, {"of": 0}) for n in (1, 2, 3)))
    write_attempt(tmp_path, 1, resume_line(0, 2), *(metrics_line(n, {"of": 1}) for n in (3, 4)))
    assert [(line["step"], line["of"]) for line in read_metrics(tmp_path)] == [(1, 0), (2, 0), (3, 1), (4, 1)]


def test_an_attempt_that_starts_afresh_discards_the_others(tmp_path: Path) -> None:
    write_attempt(tmp_path, 0, *(metrics_line(n, {}) for n in (1, 2, 3)))
    write_attempt(tmp_path, 1, metrics_line(1, {}))
    assert steps(tmp_path) == [1]


def test_an_attempt_that_skips_a_shorter_one_stands_on_the_one_it_names(tmp_path: Path) -> None:
    write_attempt(tmp_path, 0, *(metrics_line(n, {}) for n in (1, 2, 3, 4)))
    write_attempt(tmp_path, 1, resume_line(0, 1), metrics_line(2, {}))
    write_attempt(tmp_path, 2, resume_line(0, 3), metrics_line(4, {}), metrics_line(5, {}))
    assert steps(tmp_path) == [1, 2, 3, 4, 5]


def test_an_attempt_that_wrote_nothing_changes_nothing(tmp_path: Path) -> None:
    write_attempt(tmp_path, 0, metrics_line(1, {}))
    write_attempt(tmp_path, 1)
    (tmp_path / "attempts" / "2").mkdir()
    write_attempt(tmp_path, 10, resume_line(0, 1), metrics_line(2, {}))
    assert steps(tmp_path) == [1, 2]
    assert [path.name for path in attempt_dirs(tmp_path)] == ["0", "1", "2", "10"]


def test_a_torn_last_line_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / METRICS
    path.write_text(metrics_line(1, {"x": 0.5}) + '{"step": 2, "x": 0.')
    assert read_lines(path) == [{"step": 1, "x": 0.5}]
    assert last_line(path) == {"step": 1, "x": 0.5}


def test_the_last_line_is_found_behind_a_long_file(tmp_path: Path) -> None:
    path = tmp_path / METRICS
    path.write_text("".join(metrics_line(n, {}) for n in range(5000)))
    assert last_line(path) == {"step": 4999}
    assert last_line(tmp_path / "no such file") is None


def test_numbers_that_are_none_are_null(tmp_path: Path) -> None:
    write_result(tmp_path, {"test/loss": math.nan, "test/accuracy": 0.5}, steps=3)
    document = json.loads((tmp_path / RESULT).read_text())
    assert document["metrics"] == {"test/loss": None, "test/accuracy": 0.5}
    assert document["steps"] == 3


def test_a_result_is_published_once(tmp_path: Path) -> None:
    for attempt, value in ((0, 0.25), (1, 0.75)):
        folder = tmp_path / "attempts" / str(attempt)
        folder.mkdir(parents=True)
        write_result(folder, {"test/accuracy": value})
    assert read_result(tmp_path) is None
    assert publish(tmp_path / "attempts" / "1")
    assert not publish(tmp_path / "attempts" / "0")
    result = read_result(tmp_path)
    assert result is not None
    assert result["metrics"] == {"test/accuracy": 0.75}


@pytest.mark.parametrize(
    ("text", "wrong"),
    [("{", "not JSON"), ("[]", "not a result"), ('{"version": 9, "metrics": {}}', "version 9")],
    ids=["torn", "list", "version"],
)
def test_a_file_that_is_no_result_is_refused(tmp_path: Path, text: str, wrong: str) -> None:
    (tmp_path / RESULT).write_text(text)
    with pytest.raises(ResultError, match=wrong):
        read_result(tmp_path)
