"""A run in a container finds the files of its predecessors under the same paths as outside."""

from dataclasses import replace
from pathlib import Path

import pytest

from launch.actions.drive import run_queue
from launch.profiles.profile import Profile
from launch.store.state import State
from launch.store.store import Store
from launch.sweepfile.dependencies import RunDependencies
from tests.launch.command_sweep import code_under, command_runs, submit_runs, sweep_of

COMMANDS = (
    "echo forty-two > $LAUNCH_RUN_DIR/word; echo told: $LAUNCH_AFTER.",
    "read -r word < $LAUNCH_AFTER/word; echo $word from $LAUNCH_AFTER; : > $LAUNCH_AFTER/mine; : > $LAUNCH_RUN_DIR/own",
)


def test_a_run_reads_what_those_before_it_left(
    contained: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("S5_CACHE", str(tmp_path / "cache"))
    runtime, image = contained
    store, profile = Store(tmp_path / "runs"), Profile(name="local", runtime=runtime, image=image)
    turns = (RunDependencies(provides=("first",)), RunDependencies(requires=("first",)))
    runs = [
        replace(run, spec=replace(run.spec, dependencies=turn))
        for run, turn in zip(command_runs([["bash", "-c", text] for text in COMMANDS]), turns, strict=True)
    ]
    views = run_queue(submit_runs(sweep_of(runs), runs, store, profile, source=code_under(tmp_path)))
    assert {view.state for view in views} == {State.SUCCEEDED}, [view.message for view in views]
    first, second = (Path(view.run_dir) for view in views)
    assert (first / "attempts/0/log.txt").read_text() == "told: .\n"
    # Docker keeps no order between what is printed and what is complained of.
    assert f"forty-two from {first}\n" in (second / "attempts/0/log.txt").read_text()
    assert (second / "own").exists()
    # Charliecloud has no mounts that are read-only.
    assert (first / "mine").exists() == (runtime == "charliecloud")
