from pathlib import Path

import pytest

from launch.cli import main
from launch.store.state import State
from tests.launch.made_sweep import Made, make_sweep


@pytest.mark.parametrize("verb", ["wait", "watch"])
@pytest.mark.parametrize(
    ("state", "code", "hint"),
    [
        (State.SUCCEEDED, 0, "launch results x"),
        (State.FAILED, 1, "launch retry x"),
        (State.CANCELLED, 1, "launch retry x"),
        (State.PLANNED, 1, "launch sweep FILE"),
        (State.LOST, 1, "launch sweep FILE"),
    ],
)
def test_nothing_alive_ends_it_at_once(
    runs: Path, capsys: pytest.CaptureFixture[str], verb: str, state: State, code: int, hint: str
) -> None:
    make_sweep(runs, "x", [Made(state=State.SUCCEEDED, seed=1), Made(state=state)])
    assert main([verb, "x"]) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert "x: " in err
    assert hint in err or (verb, state) == ("watch", State.SUCCEEDED)


def test_waiting_gives_up_after_its_timeout(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_sweep(runs, "x", [Made(state=State.RUNNING)])
    assert main(["wait", "x", "--timeout", "0"]) == 1
    assert capsys.readouterr().err == "x: not ended after 0 min: 1 running\n"


def test_watching_everything_names_every_sweep(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_sweep(runs, "x", [Made(state=State.SUCCEEDED)])
    make_sweep(runs, "y", [Made(state=State.FAILED)])
    assert main(["watch"]) == 1
    assert "2 sweeps: 1 failed, 1 succeeded" in capsys.readouterr().err


def test_watching_nothing_says_so(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["watch"]) == 2
    assert "no sweeps under" in capsys.readouterr().err


def test_an_interrupt_stops_the_watching_only(
    runs: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    make_sweep(runs, "x", [Made(state=State.RUNNING)])

    def interrupt(seconds: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("launch.actions.wait.time.sleep", interrupt)
    assert main(["watch", "x"]) == 0
    assert "stopped watching; the runs go on" in capsys.readouterr().err


def test_an_interrupt_elsewhere_ends_with_130(
    runs: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    make_sweep(runs, "x", [Made(state=State.RUNNING)])

    def interrupt(seconds: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("launch.actions.wait.time.sleep", interrupt)
    assert main(["wait", "x"]) == 130
    assert capsys.readouterr().err == "interrupted\n"
