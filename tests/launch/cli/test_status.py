import json
import time
from pathlib import Path

import pytest

from launch.cli import console, main
from launch.store.state import Reason, State
from tests.launch.made_sweep import Made, make_sweep

GOOD = Made(state=State.SUCCEEDED, accuracy=0.95, settings={"optim.lr": 0.001})
BAD = Made(state=State.FAILED, settings={"optim.lr": 0.1})
WHY = "the loss is not finite from step 12 on"
OPEN = Made(state=State.PLANNED, settings={"optim.lr": 0.1}, seed=1)


def launch(*words: str) -> None:
    assert main(list(words)) == 0


def test_status_lists_the_newest_sweep_last(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    now = time.time()
    for name, minutes in (("a", 1), ("b", 130), ("c", 60 * 24 * 3 + 1)):
        sweep = make_sweep(runs, name, [OPEN])
        file = sweep.path / "manifest/0001.jsonl"
        header, _, rest = file.read_text().partition("\n")
        file.write_text(json.dumps(json.loads(header) | {"created": now - 60 * minutes}) + "\n" + rest)
    launch("status")
    lines = [line.split(maxsplit=3) for line in capsys.readouterr().out.splitlines()]
    assert [(line[0], line[3].strip()) for line in lines[1:]] == [
        ("c", "3 d ago"),
        ("b", "2 h ago"),
        ("a", "1 min ago"),
    ]
    launch("status", "--sort", "name")
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()[1:]] == ["a", "b", "c"]


def test_status_filters_by_several_states_and_sorts(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_sweep(runs, "one", [OPEN, BAD, GOOD])
    make_sweep(runs, "two", [OPEN])
    for words in (["--state", "failed,Succeeded"], ["--state", "failed", "--state", "succeeded"]):
        launch("status", "one", *words, "--sort", "state")
        lines = capsys.readouterr().out.splitlines()
        assert [line.split()[1] for line in lines[1:]] == ["FAILED", "SUCCEEDED"]
    launch("status", "--state", "failed,lost")
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == ["sweep", "one"]
    launch("status", "--state", "lost,running")
    assert "no run is lost or running" in capsys.readouterr().err


def test_the_help_of_status_explains_every_state(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        launch("status", "--help")
    lines = capsys.readouterr().out.partition("states:")[2].partition("examples:")[0].strip().splitlines()
    assert {line.split()[0].upper() for line in lines} == set(State)
    assert all(len(line.split()) > 4 for line in lines)


@pytest.mark.parametrize("columns", [80, 120])
def test_on_a_narrow_terminal_no_two_runs_look_alike(
    runs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], columns: int
) -> None:
    settings = [
        {"model.dropout": dropout, "model.n_layers": layers, "model.norm": norm, "optim.lr": lr}
        for dropout in (0.0, 0.1)
        for layers in (1, 2)
        for norm in ("batch", "layer")
        for lr in (0.001, 0.003)
    ]
    make_sweep(
        runs, "wide", [Made(settings=one, state=State.FAILED, reason=Reason.NAN, message=WHY) for one in settings]
    )
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setattr(console, "draws_on", lambda stream: True)
    monkeypatch.setenv("NO_COLOR", "1")
    launch("status", "wide")
    head, *lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= columns
    assert head.split()[1:5] == ["dropout", "n_layers", "norm", "lr"]
    rows = [line for line in lines if "FAILED" in line]
    assert len({tuple(line.split()[1:5]) for line in rows}) == len(settings)
    assert sum("nan: the loss is not" in line for line in lines) == len(settings)
    assert (head.split()[-1] == "reason") == (columns > 80)
