"""The Python interface: its public names, and its effects on real runs."""

import inspect
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import launch
from launch.errors import BackendError

# A run that leaves a result, or fails, or waits to be told; it notes each of its starts.
PAYLOAD = """
import json, os, signal, sys, time
from pathlib import Path
stops = []
signal.signal(signal.SIGTERM, lambda *_: stops.append(1))
place, control = Path(os.environ["LAUNCH_ATTEMPT_DIR"]), Path(sys.argv[1])
with (control / "starts").open("a") as starts:
    starts.write(place.parent.parent.name + "\\n")
print("begun", flush=True)
while (control / "hold").exists() and not stops:
    time.sleep(0.01)
if stops:
    sys.exit(75)
if (control / "fail").exists():
    sys.exit("no luck today")
(place / "result.json").write_text(json.dumps({"version": 1, "metrics": {"test/accuracy": 0.9}}))
"""


@pytest.fixture
def control(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a sweep `x.yaml` of three runs, and with files that control these runs."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LAUNCH_RUNS", str(tmp_path / "runs"))
    (tmp_path / "payload.py").write_text(PAYLOAD)
    command = json.dumps([sys.executable, "-S", str(tmp_path / "payload.py"), str(tmp_path)])
    grid = "grid: {optim.lr: [0.001, 0.002, 0.003]}\n"
    (tmp_path / "x.yaml").write_text(f"experiment: digits/s5\ncommand: {command}\n{grid}retry: {{killed: 0}}\n")
    return tmp_path


def starts(control: Path) -> list[str]:
    return sorted((control / "starts").read_text().split())


def states(views: list[launch.RunView]) -> set[launch.State]:
    return {view.state for view in views}


SIGNATURES = {
    "cancel": "(*targets: 'Folder', runs: 'Folder | None' = None) -> 'list[RunView]'",
    "list_profiles": "() -> 'list[str]'",
    "list_sweeps": "(*, runs: 'Folder | None' = None) -> 'list[str]'",
    "load_profile": "(name: 'str' = 'local', folders: 'Sequence[Path] | None' = None) -> 'Profile'",
    "load_results": "(sweep: 'Folder', metric: 'str | None' = None, *, superseded: 'bool' = False, "
    "runs: 'Folder | None' = None) -> 'Results'",
    "load_sweep": "(file: 'Folder', overrides: 'Sequence[str]' = ()) -> 'Sweep'",
    "open_sweep": "(sweep: 'Folder', *, runs: 'Folder | None' = None) -> 'SweepHandle'",
    "plan": "(sweep: 'Sweep', *, on: 'str | Profile' = 'local', only: 'str | None' = None, "
    "runtime: 'str | None' = None, image: 'str | None' = None, mounts: 'Sequence[str]' = (), "
    "reuse: 'bool' = False, runs: 'Folder | None' = None) -> 'Plan'",
    "read_log": "(run: 'str', *, attempt: 'int | None' = None, tail: 'int | None' = None, follow: 'bool' = False, "
    "runs: 'Folder | None' = None) -> 'Iterator[str]'",
    "retry": "(sweep: 'Folder', *, failed_only: 'bool' = False, earlier: 'bool' = False, "
    "on: 'str | Profile | None' = None, runtime: 'str | None' = None, image: 'str | None' = None, "
    "mounts: 'Sequence[str]' = (), runs: 'Folder | None' = None, source: 'Folder | None' = None) -> 'SweepHandle'",
    "single_run": "(experiment: 'str', overrides: 'Sequence[str]' = ()) -> 'Sweep'",
    "status": "(sweep: 'Folder', *, runs: 'Folder | None' = None) -> 'list[RunView]'",
    "submit": "(sweep: 'Plan | Sweep', *, on: 'str | Profile | None' = None, runs: 'Folder | None' = None, "
    "source: 'Folder | None' = None) -> 'SweepHandle'",
    "wait": "(sweep: 'Folder', *, timeout_s: 'float | None' = None, runs: 'Folder | None' = None) -> 'list[RunView]'",
}
CLASSES = {
    *("LaunchError", "Plan", "Profile", "ResultRow", "Results", "RunView", "State", "Sweep", "SweepHandle"),
}


def test_the_surface_is_what_is_promised() -> None:
    assert set(launch.__all__) == SIGNATURES.keys() | CLASSES
    assert launch.__all__ == sorted(launch.__all__)
    assert set(launch.__all__) <= set(dir(launch))
    for name in launch.__all__:
        exported = getattr(launch, name)
        assert inspect.getdoc(exported), name
        assert inspect.isclass(exported) == (name in CLASSES)
    assert {name: str(inspect.signature(getattr(launch, name))) for name in SIGNATURES} == SIGNATURES
    methods = [name for name, _ in inspect.getmembers(launch.SweepHandle, inspect.isfunction) if name[0] != "_"]
    assert methods == ["cancel", "results", "status", "wait"]
    with pytest.raises(AttributeError, match="has no attribute 'sumbit'"):
        launch.sumbit  # noqa: B018


def test_importing_it_loads_nothing() -> None:
    code = "import sys, launch; before = set(sys.modules); launch.plan; print('launch.api' in before, *sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()
    assert out[0] == "False"
    assert not {"jax", "flax", "numpy", "hydra", "submitit", "docker", "rich", "pandas", "polars"} & set(out)


def test_a_sweep_is_planned_submitted_waited_for_and_read(control: Path) -> None:
    sweep = launch.load_sweep("x.yaml", ["optim.weight_decay=0.01"])
    plan = launch.plan(sweep)
    assert [view.state for view in plan.views] == [launch.State.PLANNED] * 3
    assert str(plan).splitlines()[0] == "x on local: 3 runs: 3 new"
    assert plan.runs[0].record.run_id in str(plan) and plan.runs[0].record.run_id in plan._repr_html_()
    assert not (control / "runs").exists(), "a plan writes nothing"
    seen: list[int] = []
    handle = launch.submit(plan)
    views = handle.wait(timeout_s=60, on_change=lambda views: seen.append(len(views)))
    assert states(views) == {launch.State.SUCCEEDED} == states(launch.status("x"))
    assert set(seen) == {3}
    assert launch.list_sweeps() == ["x"] and repr(handle) == f"SweepHandle({str(control / 'runs' / 'x')!r})"
    results = launch.load_results("x")
    assert [(row.settings, row.mean, row.seeds) for row in results] == [
        ({"optim.lr": lr}, 0.9, [0]) for lr in (0.001, 0.002, 0.003)
    ]
    assert list(launch.read_log(views[0].run_id, follow=True)) == ["begun"]
    assert states(launch.submit(sweep).wait()) == {launch.State.SUCCEEDED}
    assert len(starts(control)) == 3, "submitting again starts nothing that has succeeded"


def test_results_become_data_frames(control: Path) -> None:
    launch.submit(launch.load_sweep("x.yaml")).wait()
    results = launch.load_results("x")
    pandas, polars = results.to_pandas(), results.to_polars()
    assert list(pandas.columns) == list(polars.columns) == list(results.to_records()[0])
    assert pandas["optim.lr"].tolist() == polars["optim.lr"].to_list() == [0.001, 0.002, 0.003]
    assert pandas["mean"].mean() == pytest.approx(0.9) == polars["mean"].mean()
    assert "0.002" in results._repr_html_()


def test_a_missing_package_is_named(control: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    launch.submit(launch.load_sweep("x.yaml")).wait()
    monkeypatch.setitem(sys.modules, "polars", None)
    with pytest.raises(launch.LaunchError, match="polars is not installed") as caught:
        launch.load_results("x").to_polars()
    assert "pip install polars" in (caught.value.hint or "")


def test_failures_are_retried(control: Path) -> None:
    (control / "fail").touch()
    views = launch.submit(launch.load_sweep("x.yaml")).wait()
    assert states(views) == {launch.State.FAILED}
    (control / "fail").unlink()
    assert states(launch.submit(launch.load_sweep("x.yaml")).wait()) == {launch.State.FAILED}, "left alone"
    assert states(launch.retry("x").wait()) == {launch.State.SUCCEEDED}


def test_waiting_can_time_out_and_cancelling_ends_it(control: Path) -> None:
    (control / "hold").touch()
    handle = launch.submit(launch.load_sweep("x.yaml"))
    with pytest.raises(TimeoutError, match=r"x has not ended after 0\.1 s"):
        launch.wait("x", timeout_s=0.1)
    assert sum(launch.plan(launch.load_sweep("x.yaml")).counts.values()) == 3  # a plan writes nothing
    with pytest.raises(launch.LaunchError, match="the sweep x is being run by process") as caught:
        launch.submit(launch.load_sweep("x.yaml"))
    assert "launch cancel x" in (caught.value.hint or "")
    assert len(handle.cancel()) == 3
    assert states(handle.wait(timeout_s=60)) == {launch.State.CANCELLED}


@pytest.mark.parametrize(
    ("on_interrupt", "end"), [("leave", launch.State.SUCCEEDED), ("cancel", launch.State.CANCELLED)]
)
def test_an_interrupt_leaves_the_runs_alone_unless_asked(
    control: Path, monkeypatch: pytest.MonkeyPatch, on_interrupt: str, end: launch.State
) -> None:
    (control / "hold").touch()
    handle = launch.submit(launch.load_sweep("x.yaml"))

    def interrupt(_: list[launch.RunView]) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        handle.wait(on_change=interrupt, on_interrupt=on_interrupt)  # type: ignore[arg-type]
    (control / "hold").unlink()
    assert states(handle.wait(timeout_s=60)) == {end}


SCRIPT = """
import launch
launch.submit(launch.load_sweep("x.yaml")).wait()
"""


# Where the script dies, and its queue in the background, and a supervisor.
POINTS = [
    "plan.placed:2",
    "submit.planned",
    "freeze.before",
    "submit.frozen",
    "queue.held",
    "queue.started:2",
    "claim.made",
]


@pytest.mark.parametrize("point", POINTS)
def test_a_script_that_is_killed_and_run_again_executes_each_run_once(control: Path, point: str) -> None:
    command = [sys.executable, "-c", SCRIPT]
    subprocess.run(command, env={**os.environ, "LAUNCH_FAULT": point}, capture_output=True)
    again = subprocess.run(command, capture_output=True, text=True)
    assert again.returncode == 0, again.stderr
    assert states(launch.status("x")) == {launch.State.SUCCEEDED}
    assert len(starts(control)) == len(set(starts(control))) == 3


def test_a_mistake_is_an_error_with_a_hint(control: Path) -> None:
    with pytest.raises(launch.LaunchError) as caught:
        launch.load_sweep("x.yaml", ["optim.lrr=1"])
        launch.plan(launch.load_sweep("x.yaml", ["optim.lrr=1"]))
    assert caught.value.hint
    with pytest.raises(launch.LaunchError, match="no sweep 'y'"):
        launch.open_sweep("y")
    plan = launch.plan(launch.load_sweep("x.yaml"), runtime="dokcer")
    assert "unknown runtime 'dokcer'" in plan.obstacles[0].message and "obstacle: " in str(plan)
    with pytest.raises(launch.LaunchError, match="unknown runtime 'dokcer'"):
        launch.submit(plan)
    with pytest.raises(launch.LaunchError, match="a plan has its profile"):
        launch.submit(plan, on="local")
    assert not issubclass(BackendError, TimeoutError)
    assert "local" in launch.list_profiles()
    assert not os.path.exists("runs")
