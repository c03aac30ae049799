import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from launch.cli import main
from launch.store.state import State
from launch.store.store import Store, SweepStore
from tests.launch.command_sweep import python, submitted
from tests.launch.made_sweep import Made, make_sweep, run_id_of

GOOD = Made(state=State.SUCCEEDED, accuracy=0.95)
ALSO_GOOD = Made(state=State.SUCCEEDED, accuracy=0.97, seed=1)


def truncate(sweep: SweepStore) -> None:
    file = sweep.path / "manifest" / "0001.jsonl"
    file.write_bytes(file.read_bytes()[:-20])


def delete(sweep: SweepStore) -> None:
    shutil.rmtree(sweep.path / "manifest")


@pytest.mark.parametrize("words", [["status", "tiny"], ["status"], ["wait", "tiny"], ["watch", "tiny"]])
def test_a_truncated_manifest_is_told_of_and_is_no_success(
    words: list[str], runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    truncate(make_sweep(runs, "tiny", [GOOD]))
    assert main(words) == 2
    err = capsys.readouterr().err
    assert "0001.jsonl: the file is cut off" in err
    assert "hint: type the sweep's command again" in err


@pytest.mark.parametrize(("words", "text"), [(["status", "tiny"], "manifest is missing"), (["status"], "no manifest")])
def test_a_deleted_manifest_is_told_of(
    words: list[str], text: str, runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_sweep(runs, "whole", [GOOD])
    delete(make_sweep(runs, "tiny", [GOOD]))
    assert main(words) == 2
    err = capsys.readouterr().err
    assert text in err and "tiny" in err and "whole" not in err
    assert "type the sweep's command again" in err


@pytest.mark.parametrize("damage", [truncate, delete])
def test_typing_the_command_again_mends_a_manifest(
    damage: Callable[..., Any], runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = Store(runs)
    submitted(store, [python("pass")] * 2)
    damage(store.sweep("work"))
    assert main(["status", "work"]) == 2
    submitted(store, [python("pass")] * 2)
    capsys.readouterr()
    assert main(["status", "work"]) == 0
    assert "warning" not in capsys.readouterr().err
    assert len(store.sweep("work").views()) == 2


def test_a_manifest_that_is_mended_in_part_is_still_damaged(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = Store(runs)
    submitted(store, [python("pass")] * 2)
    truncate(store.sweep("work"))
    submitted(store, [python("pass")])
    assert main(["status", "work"]) == 2
    assert "0001.jsonl: the file is cut off" in capsys.readouterr().err


@pytest.mark.parametrize("content", ["{", '{"version": 1, "metrics": {"test/accuracy": "high"}}'])
def test_one_damaged_result_hides_no_other(content: str, runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sweep = make_sweep(runs, "x", [GOOD, ALSO_GOOD])
    (sweep.run_dir(run_id_of(GOOD)) / "result.json").write_text(content)
    assert main(["results", "x"]) == 1
    out, err = capsys.readouterr()
    assert "97.00" in out and "95.00" not in out
    assert run_id_of(GOOD) in err and run_id_of(ALSO_GOOD) not in err
    assert main(["report", "x", "--output", "-"]) == 1
    assert "97.00" in capsys.readouterr().out


def pipe(file: Path) -> None:
    file.unlink()
    os.mkfifo(file)


DAMAGE: dict[str, tuple[str, Callable[[Path], Any], str]] = {
    "deep": (
        "attempts/0/attempt.json",
        lambda file: file.write_text('{"a": [' * 50_000),
        "nested deeper than 64 levels",
    ),
    "pipe": ("attempts/0/attempt.json", pipe, "not a regular file"),
    "time": (
        "attempts/0/attempt.json",
        lambda file: file.write_text(file.read_text().replace('"started": 1000.0', '"started": 1e300')),
        "started: 1e+300 is not a number in range",
    ),
    "deep run": ("run.json", lambda file: file.write_text("[" * 50_000), "nested deeper than 64 levels"),
    "run pipe": ("run.json", pipe, "not a regular file"),
}


@pytest.mark.parametrize(("name", "damage", "said"), DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_record_is_named_and_hides_no_other(
    name: str, damage: Callable[[Path], Any], said: str, runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lost = Made(state=State.LOST, seed=3)
    make_sweep(runs, "whole", [GOOD])
    sweep = make_sweep(runs, "hurt", [lost, GOOD])
    damage(sweep.run_dir(run_id_of(lost)) / name)
    (sweep.run_dir(run_id_of(lost)) / "attempts" / "³").mkdir()
    main(["status", "hurt"])
    out = capsys.readouterr().out
    assert said in " ".join(out.split()) and run_id_of(GOOD) in out
    for words in (["status"], ["results", "hurt"], ["report", "hurt", "--output", "-"], ["gc", "--dry-run"]):
        assert main(words) in (0, 1, 2)
        assert "Traceback" not in "".join(capsys.readouterr())
    assert main(["results", "whole"]) == 0


@pytest.mark.parametrize("name", ["../elsewhere/x", "a\\u0000b", "\\ud800", "..", ""])
def test_a_run_id_that_names_no_folder_of_its_sweep_is_damage(
    name: str, runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sweep = make_sweep(runs, "x", [GOOD, ALSO_GOOD])
    file = sweep.path / "manifest" / "0001.jsonl"
    file.write_text(file.read_text().replace(f'"run_id": "{run_id_of(GOOD)}"', f'"run_id": "{name}"'))
    assert main(["status", "x"]) == 2
    out, err = capsys.readouterr()
    assert "0001.jsonl: line 2: run_id" in err
    assert run_id_of(ALSO_GOOD) in out
