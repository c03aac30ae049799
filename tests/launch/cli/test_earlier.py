"""A sweep that was interrupted, edited or overridden, and submitted again: each hint names what continues a run."""

import json
import re
import shlex
from pathlib import Path

import pytest

import launch
from launch.cli import main
from launch.store.state import State
from tests.launch.edited_sweep import EditedSweep
from tests.launch.made_sweep import Made, write_state

PREEMPTED = Made(state=State.PREEMPTED)


@pytest.fixture
def edited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> EditedSweep:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LAUNCH_RUNS", str(tmp_path / "runs"))
    sweep = EditedSweep(tmp_path)
    sweep.write(text(1))
    sweep.file = Path("edited.yaml")
    return sweep


def text(value: int, seeds: int = 2) -> str:
    return json.dumps({"command": ["true", "{a}"], "base": {"a": value}, "seeds": seeds})


def interrupt(sweep: EditedSweep, only: str | None = None, overrides: tuple[str, ...] = ()) -> set[str]:
    """Submit the sweep, and let its new runs be interrupted; return these."""
    views = [view for view in sweep.submit(only, overrides).views if view.state is State.PLANNED]
    for view in views:
        write_state(Path(view.run_dir), PREEMPTED)
    return {view.run_id for view in views}


def states() -> dict[str, State]:
    return {view.run_id: view.state for view in launch.status("edited")}


def told(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, list[str]]:
    """Execute a command; return its exit code and the commands in its hints that resume runs."""
    code = main(list(words))
    return code, re.findall(r"`(launch (?:sweep|retry) [^`]+)`", capsys.readouterr().err)


def type_in(command: str) -> None:
    main(shlex.split(command)[1:])


def test_a_retry_leaves_what_failed_before_an_edit(edited: EditedSweep, capsys: pytest.CaptureFixture[str]) -> None:
    for view in edited.submit().views:
        write_state(Path(view.run_dir), Made(state=State.FAILED))
    edited.write(text(2))
    assert edited.execute() == 2
    assert told(capsys, "retry", "edited") == (0, ["launch retry edited --earlier"])
    assert sorted(states().values()) == [State.FAILED] * 2 + [State.SUCCEEDED] * 2
    assert main(["doctor"]) in (0, 1)
    assert "launch retry" not in capsys.readouterr().out


def test_what_the_file_has_no_longer_is_continued_by_a_retry(
    edited: EditedSweep, capsys: pytest.CaptureFixture[str]
) -> None:
    earlier = interrupt(edited)
    edited.write(text(2))
    assert edited.execute() == 2
    again = ["launch retry edited --earlier"]
    assert told(capsys, "status", "edited") == (0, again)
    assert told(capsys, "retry", "edited") == (0, again)
    assert told(capsys, "sweep", "edited.yaml") == (0, [])
    for verb in ("wait", "watch"):
        code = main([verb, "edited"])
        err = capsys.readouterr().err
        assert code == 0
        assert "edited: 2 succeeded\nedited: runs of earlier submissions do not count: 2 preempted\n" in err
        assert f"`{again[0]}` continues them" in err
    assert {run_id for run_id, state in states().items() if state is State.PREEMPTED} == earlier
    type_in(again[0])
    assert set(states().values()) == {State.SUCCEEDED}
    capsys.readouterr()
    assert told(capsys, "status", "edited") == (0, [])


def test_a_retry_of_earlier_runs_that_is_interrupted_or_fails_counts(
    edited: EditedSweep, capsys: pytest.CaptureFixture[str]
) -> None:
    edited.write(text(1).replace("true", "false"))
    (run,) = interrupt(edited, overrides=("seeds=1",))
    edited.write(text(2))
    edited.execute()
    assert told(capsys, "retry", "edited", "--earlier")[0] == 1
    assert states()[run] is State.FAILED
    assert told(capsys, "wait", "edited") == (1, ["launch retry edited --earlier"])
    main(["status", "edited"])
    assert f"`launch rm edited/{run}` deletes it" in capsys.readouterr().err
    edited.write(text(3))
    edited.execute()
    assert told(capsys, "wait", "edited") == (0, ["launch retry edited --earlier"])


def test_the_hint_has_the_overrides_that_were_typed(edited: EditedSweep, capsys: pytest.CaptureFixture[str]) -> None:
    interrupt(edited, overrides=("a=3", "seeds=1"))
    wanted = ["launch sweep edited.yaml a=3 seeds=1"]
    assert told(capsys, "status", "edited") == (0, wanted)
    assert told(capsys, "retry", "edited") == (0, wanted)
    assert told(capsys, "wait", "edited") == (1, wanted)
    type_in(wanted[0])
    assert set(states().values()) == {State.SUCCEEDED}


def test_each_submission_with_only_has_its_command(edited: EditedSweep, capsys: pytest.CaptureFixture[str]) -> None:
    interrupt(edited, only="*s0*")
    interrupt(edited, only="seed=1")
    wanted = ["launch sweep edited.yaml --only '*s0*'", "launch sweep edited.yaml --only seed=1"]
    assert told(capsys, "status", "edited") == (0, wanted)
    edited.submit()
    assert told(capsys, "status", "edited") == (0, ["launch sweep edited.yaml"])
    edited.submit(only="seed=1")
    assert told(capsys, "status", "edited") == (0, ["launch sweep edited.yaml"]), "this one resumes both"


def test_a_file_that_was_edited_since_may_have_the_runs_no_longer(
    edited: EditedSweep, capsys: pytest.CaptureFixture[str]
) -> None:
    interrupt(edited)
    main(["status", "edited"])
    assert "`launch sweep edited.yaml` resumes\n" in capsys.readouterr().err
    edited.write(text(2))
    edited.execute(only="*s0*")
    main(["status", "edited"])
    assert "`launch sweep edited.yaml` resumes those that the file, edited since, still has" in capsys.readouterr().err
    edited.execute()
    assert told(capsys, "status", "edited") == (0, ["launch retry edited --earlier"])


def test_runs_of_seeds_that_were_left_out_last_are_earlier(
    edited: EditedSweep, capsys: pytest.CaptureFixture[str]
) -> None:
    interrupt(edited)
    assert edited.submit(overrides=("seeds=1",)).views
    assert told(capsys, "status", "edited") == (
        0,
        ["launch sweep edited.yaml seeds=1", "launch retry edited --earlier"],
    )


def test_a_manifest_of_an_older_version_has_no_words(edited: EditedSweep, capsys: pytest.CaptureFixture[str]) -> None:
    interrupt(edited, overrides=("seeds=1",))
    file = edited.sweep.path / "manifest" / "0001.jsonl"
    header, _, rest = file.read_text().partition("\n")
    old = {key: value for key, value in json.loads(header).items() if key != "words"}
    file.write_text(json.dumps(old) + "\n" + rest)
    assert told(capsys, "status", "edited") == (0, ["launch sweep edited.yaml …"])


def test_the_command_of_a_single_run_is_complete(edited: EditedSweep, capsys: pytest.CaptureFixture[str]) -> None:
    del edited
    words = ["run", "digits/s5", "optim.lr=0.1", "seed=3"]
    assert main([*words, "--plan-only"]) == 0
    (name,) = launch.list_sweeps()
    capsys.readouterr()
    main(["status", name])
    assert f"`{shlex.join(['launch', *words])}` resumes" in capsys.readouterr().err
