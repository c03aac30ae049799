"""What an error says of a word that names no sweep, no run, or several."""

from pathlib import Path

import pytest

from launch.cli import main
from launch.store.state import State
from tests.launch.made_sweep import Made, make_sweep, run_id_of

DONE = Made(state=State.SUCCEEDED, accuracy=0.9)


@pytest.mark.parametrize("verb", ["rm", "cancel"])
def test_a_word_that_names_nothing_could_be_a_sweep_or_a_run(
    runs: Path, verb: str, capsys: pytest.CaptureFixture[str]
) -> None:
    make_sweep(runs, "older", [DONE])
    assert main([verb, "oldr"]) == 2
    assert f"no sweep or run 'oldr' under {runs}; did you mean older?" in capsys.readouterr().err


def test_a_run_of_two_sweeps_is_named_with_its_sweep(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("one", "two"):
        make_sweep(runs, name, [DONE])
    run_id = run_id_of(DONE)
    assert main(["logs", run_id]) == 2
    err = capsys.readouterr().err
    assert f"2 sweeps have the run {run_id!r}: one/{run_id}, two/{run_id}" in err
    assert "hint: type SWEEP/RUN\n" in err


@pytest.mark.parametrize("verb", ["show", "logs", "status", "report", "results"])
def test_a_run_that_no_sweep_has_is_told_from_one_that_is_missing(
    runs: Path, verb: str, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = Path("runs", "_single", "digits-s5-s0-01234567")
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text("seed: 0\n")
    assert main([verb, str(folder)]) == 2
    err = capsys.readouterr().err
    assert f"{folder} is a run without a sweep" in err and f"`python -m s5 evaluate {folder}`" in err
