import io
from dataclasses import replace
from pathlib import Path

import pytest

from launch.cli import formatting
from launch.cli.live_view import LiveView, seconds_left
from launch.cli.progress import ProgressTracker
from launch.specs.resources import Resources
from launch.store.state import Reason, State
from launch.store.view import RunView


def view(number: int, state: State = State.PENDING, step: int | None = None, attempts: int = 1) -> RunView:
    failed = state == State.FAILED
    return RunView(
        sweep="x",
        run_id=f"mnist5k-s5-sequential-optim.lr={number}-model.d_state=64-s{number % 3}-{number:08x}",
        experiment="mnist5k/s5",
        settings={"optim.lr": number},
        seed=number % 3,
        state=state,
        attempts=attempts,
        generation=1,
        reason=Reason.CRASH if failed else None,
        message="a very long message " * 20 if failed else None,
        host=None,
        pid=None,
        started=1000.0,
        ended=1090.0 if state in (State.FAILED, State.SUCCEEDED) else None,
        step=step,
        steps=100,
        run_dir="",
        resources=Resources(),
    )


def mixed(count: int) -> list[RunView]:
    states = [State.SUCCEEDED, State.RUNNING, State.FAILED, *[State.PENDING] * 7]
    return [view(n, states[n % 10], step=50, attempts=1 + n % 2) for n in range(count)]


def drawn(views: list[RunView], columns: int, rows: int) -> list[str]:
    board = LiveView("a sweep")
    board._draws = True
    board.show(views)
    return shown(board, columns, rows)


def shown(board: LiveView, columns: int, rows: int) -> list[str]:
    from rich.console import Console

    screen = io.StringIO()
    Console(file=screen, width=columns, height=rows, color_system=None).print(board.render(columns, rows))
    return screen.getvalue().splitlines()


@pytest.mark.parametrize("count", [1, 7, 1000])
@pytest.mark.parametrize(("columns", "rows"), [(40, 8), (60, 15), (89, 24), (90, 24), (120, 30), (200, 60)])
def test_the_picture_never_overflows_the_screen(count: int, columns: int, rows: int) -> None:
    lines = drawn(mixed(count), columns, rows)
    assert len(lines) < rows
    assert max(map(len, lines)) <= columns


def test_what_needs_a_person_is_shown_first_where_not_all_fits() -> None:
    lines = drawn(mixed(1000), 120, 12)
    states = [next(word for word in line.split() if word in set(State)) for line in lines[3:-1]]
    assert set(states) == {"RUNNING"}
    assert "700 pending" in lines[-1] and "100 failed" in lines[-1]
    assert "a sweep" in lines[0]


def test_running_shows_its_share_and_failing_its_last_words() -> None:
    lines = drawn([view(0, State.RUNNING, step=50), view(1, State.FAILED)], 160, 20)
    assert "━━━━━╌╌╌╌╌  50 %" in lines[3]
    assert "crash: a very long message" in lines[4]


GRID = [
    {"optim.lr": lr, "model.dropout": dropout, "model.n_layers": layers, "model.norm": norm}
    for lr in (0.001, 0.01)
    for dropout in (0.0, 0.25)
    for layers in (1, 3)
    for norm in ("batch", "layer")
]


def grid_views(state: State, sweep: str = "x") -> list[RunView]:
    names = [f"-lr={i}".join(["digits-s5", f"-s0-{i:04x}{sweep * 4:.4}"]) for i in range(len(GRID))]
    return [replace(view(i, state), sweep=sweep, run_id=names[i], settings=one, seed=0) for i, one in enumerate(GRID)]


@pytest.mark.parametrize("columns", [60, 80, 100, 140])
@pytest.mark.parametrize("state", [State.PENDING, State.FAILED])
def test_no_two_runs_look_alike(columns: int, state: State) -> None:
    views = [
        replace(one, run_id=one.run_id.replace("digits-s5", "digits-s5-norm=layer-dropout=0.25-n_layers=1-lr"))
        for one in grid_views(state)
    ]
    lines = drawn(views, columns, 60)[3:]
    runs = [line.partition(str(state))[0] for line in lines if str(state) in line]
    assert len(set(runs)) == len(views)
    assert sum("crash: a very" in line for line in lines) == (len(views) if state is State.FAILED else 0)
    if columns == 80:
        head = drawn(views, columns, 60)[2].split()
        assert head[:5] == ["id", "lr", "dropout", "n_layers", "norm"]


def test_what_fails_keeps_its_place_among_the_runs() -> None:
    before = [view(0), view(1, State.RUNNING), view(2)]
    after = [view(0), view(1, State.FAILED), view(2, State.RUNNING)]
    orders = [[line.split()[1] for line in drawn(views, 200, 24)[3:]] for views in (before, after)]
    assert orders == [["PENDING", "RUNNING", "PENDING"], ["PENDING", "FAILED", "RUNNING"]]


def test_runs_of_several_sweeps_stand_under_the_names_of_their_sweeps() -> None:
    views = [*grid_views(State.PENDING, "a")[:2], *grid_views(State.PENDING, "b")[:2]]
    lines = [line.split()[0] for line in drawn(views, 80, 40)[3:]]
    assert (lines[0], lines[3]) == ("a", "b")


def test_a_running_run_shows_its_newest_metric_and_that_it_compiles(tmp_path: Path) -> None:
    views: list[RunView] = []
    for number, (timing, metrics) in enumerate(
        [
            ('{"step": 0, "of": 78}\n', ""),
            ('{"step": 20, "of": 78, "steps_per_s": 9.0}\n', '{"step": 20, "lr": 0.1, "train/loss": 1.23456}\n'),
            ('{"step": 39, "of": 78, "steps_per_s": 9.0}\n', '{"step": 39, "train/loss": 0.5}\n{"step": 3'),
        ]
    ):
        folder = tmp_path / str(number) / "attempts/0"
        folder.mkdir(parents=True)
        (folder / "timing.jsonl").write_text(timing)
        (folder / "metrics.jsonl").write_text(metrics)
        step = (0, 20, 39)[number]
        views.append(replace(view(number, State.RUNNING, step=step), run_dir=str(tmp_path / str(number)), steps=78))
    head, first, second, third = drawn(views, 80, 20)[2:6]
    assert head.split() == ["id", "lr", "seed", "state", "done", "train/loss", "time"]
    assert first.split()[3:5] == ["RUNNING", "compiling"]
    assert second.split()[4:7] == ["26", "%", "1.235"]
    assert third.split()[4:7] == ["50", "%", "0.5"]


def test_the_line_about_the_keys_is_last() -> None:
    board = LiveView("x", keys="q: stop watching")
    board._draws = True
    board.show([view(0)])
    assert shown(board, 80, 24)[-1].strip() == "q: stop watching"
    assert len(shown(board, 80, 8)) < 8


def test_share_done_counts_steps_of_what_runs() -> None:
    views = [view(0, State.SUCCEEDED), view(1, State.RUNNING, step=50), view(2), view(3)]
    assert ProgressTracker().done(views) == ProgressTracker().ended(views) == 0.375
    assert ProgressTracker().done([]) == ProgressTracker().ended([]) == 1


def test_what_failed_or_was_cancelled_is_over_and_not_done() -> None:
    views = [view(0, State.CANCELLED), view(1, State.FAILED), view(2, State.SUCCEEDED), view(3)]
    assert ProgressTracker().done(views) == 0.25
    assert ProgressTracker().ended(views) == 0.75
    assert "  25 %" in drawn(views, 80, 20)[1]


@pytest.mark.parametrize("state", [State.PREEMPTED, State.CANCELLED, State.PENDING, State.RUNNING, State.FAILED])
@pytest.mark.parametrize("seen", [True, False])
def test_an_interruption_takes_no_progress_back(state: State, seen: bool, tmp_path: Path) -> None:
    for attempt, line in enumerate(['{"step": 40, "of": 100}\n', ""]):  # the second has not said how far it is
        (tmp_path / "attempts" / str(attempt)).mkdir(parents=True)
        (tmp_path / "attempts" / str(attempt) / "timing.jsonl").write_text(line)
    board = LiveView("x")
    if seen:
        board.show([replace(view(0, State.RUNNING, step=40), run_dir=str(tmp_path))])
    board._draws = True
    board.show([replace(view(0, state), run_dir=str(tmp_path), attempts=2)])
    lines = shown(board, 160, 20)
    assert lines[1].endswith(" 40 %") and " 40 %" in lines[-1]


@pytest.mark.parametrize(("columns", "rows"), [(60, 24), (80, 24), (120, 24)])
def test_what_blocks_the_queue_and_why_runs_ended_is_never_cut(columns: int, rows: int) -> None:
    words = "waits for 1 core that other sweeps on this machine hold"
    blocked = replace(view(0), reason=Reason.INTERRUPTED, message=words)
    text = " ".join(" ".join(drawn([blocked, view(1, State.PREEMPTED)], columns, rows)).split())
    assert words in text
    stopped = replace(view(1, State.PREEMPTED), reason=Reason.INTERRUPTED)
    assert "interrupted" in " ".join(drawn([stopped], columns, rows))


@pytest.mark.parametrize("columns", [40, 60, 80])
def test_what_a_second_interrupt_does_is_never_cut(columns: int) -> None:
    board = LiveView("a sweep of some name")
    board._draws, board._stops = True, 1
    board.show(mixed(100))
    lines = shown(board, columns, 12)
    assert "Ctrl-C again kills them" in " ".join(" ".join(lines).split())
    assert len(lines) < 12


def test_a_pipe_is_told_once_what_blocks_the_queue(capsys: pytest.CaptureFixture[str]) -> None:
    blocked = replace(view(0), message="waits for 1 core that other sweeps on this machine hold")
    with LiveView("x") as board:
        for views in ([view(0)], [blocked], [blocked], [view(0, State.RUNNING)]):
            board.show(views)
    assert capsys.readouterr().err.count("waits for 1 core") == 1


@pytest.mark.parametrize(
    ("pace", "left"),
    [
        ([], None),
        ([(0, 0.0)], None),
        ([(0, 0.0), (10, 0.25)], 30.0),
        ([(0, 0.5), (10, 0.5)], None),
        ([(0, 0.9), (9, 1)], None),
    ],
)
def test_time_left_follows_the_pace(pace, left: float | None) -> None:
    assert seconds_left(pace) == left


def test_a_pipe_gets_one_line_per_change(capsys: pytest.CaptureFixture[str]) -> None:
    with LiveView("mnist5k") as board:
        board.show([view(0), view(1), view(2, State.SUCCEEDED)])
        board.show([view(0, State.RUNNING), view(1), view(2, State.SUCCEEDED)])
        board.show([view(0, State.RUNNING, step=7), view(1), view(2, State.SUCCEEDED)])
        board.show([view(0, State.SUCCEEDED), view(1, State.RUNNING, attempts=2), view(2, State.SUCCEEDED)])
        board.show([view(0, State.SUCCEEDED), view(1, State.FAILED, attempts=2), view(2, State.SUCCEEDED)])
    out, err = capsys.readouterr()
    assert out == ""
    first, *changes = err.splitlines()
    assert first == "mnist5k: 3 runs: 2 pending, 1 succeeded"
    assert [line.split()[1] for line in changes] == ["RUNNING", "SUCCEEDED", "RUNNING", "FAILED"]
    assert changes[1].endswith("-s0-00000000  in 1:30")
    assert changes[2].endswith("2 attempts")
    assert "\x1b" not in err


@pytest.mark.parametrize(
    ("state", "message", "told"),
    [
        (State.PENDING, "oh", "last: crash: oh"),
        (State.PLANNED, None, "last: crash"),
        (State.PENDING, "queued: Dependency", "last: crash; queued: Dependency"),
        (State.PENDING, "oh; queued: Priority", "last: crash: oh; queued: Priority"),
        (State.PREEMPTED, "oh", "last: crash: oh"),
        (State.FAILED, "oh", "crash: oh"),
    ],
)
def test_the_reason_of_an_attempt_before_is_told_as_such(state: State, message: str | None, told: str) -> None:
    assert formatting.last_log_line(replace(view(1), state=state, reason=Reason.CRASH, message=message)) == told
