"""The list of predecessors that the command of a run gets."""

import json
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from launch.actions.drive import run_queue
from launch.actions.submit import Submission
from launch.compose.composer import Composer
from launch.compose.run import Run
from launch.store.state import State
from launch.store.store import Store
from launch.sweepfile.dependencies import RunDependencies
from launch.sweepfile.sweep import load_sweep
from tests.launch.command_sweep import LOCAL, code_under, command_runs, python, submit_runs, sweep_of
from tests.launch.sweepfile.test_docs import EXAMPLES

# Leaves a word that those after it read, and prints what it was told.
TELLING = """
import json, os
folders = os.environ["LAUNCH_AFTER"].split(os.pathsep) if os.environ["LAUNCH_AFTER"] else []
words = [open(folder + "/word").read() for folder in folders]
listed = json.load(open("after.json")) if os.path.exists("after.json") else None
open(os.environ["LAUNCH_RUN_DIR"] + "/word", "w").write(os.path.basename(os.environ["LAUNCH_RUN_DIR"])[:10])
print(json.dumps([words, listed]))
"""
# c comes after b and both a, in this order.
SOURCE = {"a0": ((), ("a",)), "a1": ((), ("a", "one")), "b": (("one",), ("b",)), "c": (("b", "a", "one"), ())}


@pytest.fixture(autouse=True)
def told_of_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAUNCH_AFTER", "/of/a/run/that/started/this/launcher")


def submit(store: Store, names: Sequence[str] = tuple(SOURCE)) -> Submission:
    runs: list[Run] = []
    for run, (after, gives) in zip(command_runs([python(TELLING)] * 4), SOURCE.values(), strict=True):
        runs.append(replace(run, spec=replace(run.spec, dependencies=RunDependencies(requires=after, provides=gives))))
    chosen = [runs[list(SOURCE).index(name)] for name in names]
    code = code_under(store.root.parent)
    return submit_runs(sweep_of(runs), chosen, store, LOCAL, sweep_runs=runs, source=code)


def told(submission: Submission, store: Store) -> list[list[object]]:
    """Run a submission; return what each of its commands printed."""
    views = run_queue(submission)
    assert {view.state for view in views} == {State.SUCCEEDED}
    return [json.loads(Path(view.run_dir, "attempts", "0", "log.txt").read_text()) for view in views]


def test_a_command_finds_the_runs_before_it(tmp_path: Path) -> None:
    store = Store(tmp_path / "runs")
    submission = submit(store)
    a0, a1, b, _ = (view.run_dir for view in submission.views)
    assert told(submission, store) == [
        [[], None],
        [[], None],
        [["command-s1"], {"one": [a1]}],
        [["command-s2", "command-s0", "command-s1"], {"b": [b], "a": [a0, a1], "one": [a1]}],
    ]


def test_runs_that_were_chosen_without_those_before_them_find_them_too(tmp_path: Path) -> None:
    store = Store(tmp_path / "runs")
    told(submit(store, ["a0", "a1"]), store)
    submission = submit(store, ["b", "c"])
    assert len(submission.views) == 2
    assert [words for words, _ in told(submission, store)] == [
        ["command-s1"],
        ["command-s2", "command-s0", "command-s1"],
    ]
    assert submit(store, ["b", "c"]).generation == submission.generation


@pytest.mark.parametrize("folder", ["a:b", "long/" * 700])
def test_what_a_variable_cannot_hold_stands_in_the_file_alone(
    folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("launch.supervise.after_file._MOST_BYTES", 3000)
    from launch.supervise.after_file import write_dependencies

    store = Store(tmp_path / "runs")
    submission = submit(store)
    place = tmp_path / folder
    place.mkdir(parents=True)
    os.rename(store.root / "work", place / "work")
    run_dir = place / "work" / submission.views[3].run_id
    assert write_dependencies(str(run_dir), str(run_dir)) == ""
    assert len(json.loads((run_dir / "after.json").read_text())["a"]) == 2


def test_the_example_of_the_page_runs(tmp_path: Path) -> None:
    file = tmp_path / "told.yaml"
    file.write_text(next(text for text, name, _ in EXAMPLES if name == file.name))
    sweep, store = load_sweep(file), Store(tmp_path / "runs")
    runs = Composer().plan_all(sweep.runs)
    views = run_queue(submit_runs(sweep, runs, store, LOCAL, sweep_runs=runs, source=code_under(tmp_path)))
    logs = [Path(view.run_dir, "attempts", "0", "log.txt").read_text() for view in views]
    assert logs == ["", "", "learned\n", "learned\n"]
