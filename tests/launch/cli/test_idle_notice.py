"""What `launch wait`, and `launch watch` in a pipe, say while all runs wait."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from launch.cli import idle_notice, main
from launch.cli.idle_notice import LONG_S, IdleNotice
from launch.cli.live_view import LiveView
from launch.store.state import State
from launch.store.view import RunView
from tests.launch.cli.test_live_view import view
from tests.launch.made_sweep import Made, make_sweep

HELD = [replace(view(n), message="held by the user ada") for n in (0, 1)]
QUEUED = [replace(view(0), message="Resources"), replace(view(1), message="Priority")]
RUNS = [view(0, State.RUNNING), view(1)]


@pytest.mark.parametrize("shower", [lambda: IdleNotice().show, lambda: LiveView("x").show], ids=["wait", "watch"])
def test_a_long_wait_is_told_when_it_begins_and_when_it_ends(
    shower: Callable[[], Callable[[list[RunView]], None]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    now = [0.0]
    monkeypatch.setattr(idle_notice.time, "monotonic", lambda: now[0])
    show = shower()

    def told(views: list[RunView], seconds: float) -> list[str]:
        now[0] += seconds
        show(views)
        return [line for line in capsys.readouterr().err.splitlines() if "wait" in line]

    assert told(RUNS, 0) == told(QUEUED, 1) == told(QUEUED, LONG_S - 1) == told(RUNS, LONG_S) == []
    assert told(QUEUED, 0) == []
    (line,) = told(QUEUED, LONG_S)
    assert "nothing runs, and 2 runs wait: " in line
    assert told(QUEUED[::-1], 60) == []
    (line,) = told(HELD, 60)
    assert line.endswith("nothing runs, and 2 runs wait: held by the user ada")
    assert told(HELD, 600) == []
    (line,) = told(RUNS, 1)
    assert line.endswith("the waiting is over: 1 running, 1 pending")
    assert told(RUNS, 600) == []


def test_wait_looks_at_the_runs(
    runs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    make_sweep(runs, "x", [Made(state=State.RUNNING)])
    monkeypatch.setattr(idle_notice, "LONG_S", 0.0)
    monkeypatch.setattr(idle_notice, "idle_words", lambda views: f"nothing runs, and {len(views)} run waits")
    assert main(["wait", "x", "--timeout", "0"]) == 1
    assert "nothing runs, and 1 run waits" in capsys.readouterr().err
