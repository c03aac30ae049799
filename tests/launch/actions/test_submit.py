import os
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from launch.actions.cancel import cancel
from launch.actions.container_plan import ContainerOptions
from launch.actions.differences import changed_keys
from launch.actions.drive import run_queue
from launch.actions.plan import plan_sweep
from launch.actions.retry import retry
from launch.actions.submit import Submission, submit
from launch.compose.run import Run
from launch.errors import LaunchError
from launch.profiles.profile import Profile
from launch.specs.resources import Resources
from launch.store.attempts import attempt_path, read_attempt, write_record
from launch.store.state import Reason, State
from launch.store.store import Store
from launch.store.view import RunView
from launch.sweepfile.runs import RunSpec
from launch.sweepfile.sweep import Sweep
from tests.launch.command_sweep import LOCAL, code_under, command_runs, python, submit_runs, submitted, sweep_of


@pytest.fixture
def code(tmp_path: Path) -> Path:
    return code_under(tmp_path)


def spec_of(seed: int, *overrides: str) -> RunSpec:
    return RunSpec(
        experiment="digits/s5",
        overrides=overrides,
        settings=dict(word.split("=") for word in overrides),
        seed=seed,
        resources=Resources(),
        command=python("pass"),
        where="sweeps/x.yaml: grid",
    )


def sweep_file(*specs: RunSpec) -> Sweep:
    return Sweep(name="digits", file="sweeps/x.yaml", runs=specs)


def counts(submission: Submission) -> dict[State, int]:
    return Counter(view.state for view in submission.views)


def states(views: list[RunView]) -> list[State]:
    return [view.state for view in views]


def test_sweep_is_composed_stored_driven_and_resumed(store: Store, code: Path) -> None:
    sweep = sweep_file(spec_of(0), spec_of(1), spec_of(0, "model.n_layers=5"))
    plan = plan_sweep(sweep, store, LOCAL)
    assert (len(plan.runs), len(plan.new), plan.obstacles) == (3, 3, ())
    assert plan.counts == {"new": 3}
    assert {view.state for view in plan.views} == {State.PLANNED}
    assert not store.root.exists(), "a dry run writes nothing"
    submission = submit(plan, source=code)
    assert counts(submission) == {State.PLANNED: 3}
    header = store.sweep("digits").state().manifest.headers[1]
    assert (header.file, header.why, header.backend, header.runtime) == ("sweeps/x.yaml", "submit", "local", "bare")
    assert (store.root / ".snapshots" / (header.snapshot or "")).is_dir()
    assert states(run_queue(submission)) == [State.SUCCEEDED] * 3
    again = submit(plan_sweep(sweep, store, LOCAL), source=code)
    assert (again.generation, counts(again)) == (1, {State.SUCCEEDED: 3})


def test_only_selects_by_glob(store: Store, code: Path) -> None:
    sweep = sweep_file(spec_of(0), spec_of(1))
    submission = submit(plan_sweep(sweep, store, LOCAL, only="*-s1-*"), source=code)
    assert [view.seed for view in submission.views] == [1]
    assert states(run_queue(submission)) == [State.SUCCEEDED]
    assert [view.seed for view in submit(plan_sweep(sweep, store, LOCAL), source=code).views] == [0, 1]
    with pytest.raises(LaunchError, match=r"--only 'x\*' matches none of the 2 runs") as caught:
        plan_sweep(sweep, store, LOCAL, only="x*")
    assert "digits" in (caught.value.hint or "")


def test_mistake_dies_before_anything_is_written(store: Store, code: Path) -> None:
    sweep = sweep_file(spec_of(0))
    for planned in (
        lambda: plan_sweep(sweep, store, LOCAL, options=ContainerOptions(runtime="dokcer")),
        lambda: plan_sweep(sweep, store, Profile(name="x", backend="slrm")),
        lambda: plan_sweep(sweep_file(replace(spec_of(0), resources=Resources(nodes=3))), store, LOCAL),
    ):
        with pytest.raises(LaunchError):
            submit(planned(), source=code)
    assert not store.root.exists()


def test_generation_is_added_only_where_something_has_changed(store: Store, code: Path) -> None:
    runs = command_runs([python("pass")] * 2)

    def generation(runs: list[Run] = runs, **settings: object) -> int | None:
        return submit_runs(sweep_of(runs, **settings), runs, store, LOCAL, source=code).generation

    assert [generation(), generation()] == [1, 1]
    assert generation(runs[:1]) == 2
    assert generation() == 3, "the second submission was complete too, and superseded the first"
    assert generation(retry={"nan": 1}) == 4
    more = [replace(run, spec=replace(run.spec, resources=Resources(timeout_min=5))) for run in runs]
    assert generation(more, retry={"nan": 1}) == 5
    (code / "s5" / "new.py").write_text("x = 1\n")
    assert generation(more, retry={"nan": 1}) == 6
    assert generation(retry={"nan": 1}) == 7, "other resources than those of the newest"


def test_a_part_of_a_sweep_adds_no_second_generation_when_it_is_submitted_again(store: Store, code: Path) -> None:
    runs = command_runs([python("pass")] * 3)

    def generation(chosen: list[Run]) -> int | None:
        return submit_runs(sweep_of(runs), chosen, store, LOCAL, source=code, sweep_runs=runs).generation

    assert [generation(chosen) for chosen in (runs, runs[:1], runs[:1])] == [1, 2, 2]
    assert generation(runs) == 3, "complete again: parts of other configurations would be superseded"


def test_changed_code_reaches_the_runs_that_are_left(store: Store, code: Path) -> None:
    runs = command_runs([python("raise SystemExit(75)")])
    run_queue(submit_runs(sweep_of(runs), runs, store, LOCAL, source=code))
    (code / "s5" / "new.py").write_text("x = 1\n")
    (view,) = run_queue(submit_runs(sweep_of(runs), runs, store, LOCAL, source=code))
    first, last = (read_attempt(attempt_path(view.run_dir, k)) for k in (0, view.attempts - 1))
    assert (first.generation, last.generation) == (1, 2)
    assert first.snapshot != last.snapshot


def test_code_that_was_changed_and_changed_back_is_what_runs(store: Store, code: Path) -> None:
    runs, more = command_runs([python("pass")]), code / "s5" / "more.py"

    def submitted_again() -> Submission:
        return submit_runs(sweep_of(runs), runs, store, LOCAL, source=code)

    assert submitted_again().generation == 1
    more.touch()
    assert submitted_again().generation == 2
    more.unlink()
    submission = submitted_again()
    assert submission.generation == 3, "the second has superseded the first, though that says the same"
    (view,) = run_queue(submission)
    snapshots = [store.sweep("work").state().manifest.headers[generation].snapshot for generation in (1, 2, 3)]
    assert snapshots[0] != snapshots[1]
    assert read_attempt(attempt_path(view.run_dir, 0)).snapshot == snapshots[0] == snapshots[2]


def test_missing_snapshot_is_taken_anew_by_submitting_and_by_retrying(store: Store, code: Path) -> None:
    submission = submitted(store, [python("pass")])
    snapshots = store.root / ".snapshots"
    shutil.rmtree(snapshots)
    (view,) = run_queue(submission)
    assert (view.state, view.reason) == (State.FAILED, Reason.START)
    assert submitted(store, [python("pass")]).generation == 1
    assert [path.name for path in snapshots.iterdir()] == [store.sweep("work").state().manifest.headers[1].snapshot]
    shutil.rmtree(snapshots)
    assert states(run_queue(retry(store, "work", failed_only=True, source=code))) == [State.SUCCEEDED]


def test_key_outside_the_science_follows_and_is_named(store: Store, code: Path) -> None:
    def runs(mode: str) -> list[Run]:
        return command_runs([python("raise SystemExit(1)")] * 2, config={"wandb": {"mode": mode}, "seed": 0})

    submit_runs(sweep_of(runs("disabled")), runs("disabled"), store, LOCAL, source=code)
    submission = submit_runs(sweep_of(runs("offline")), runs("offline"), store, LOCAL, source=code)
    (warning,) = submission.warnings
    assert warning.startswith("wandb.mode: disabled before, offline now, in 2 runs such as command-s0-00000000")
    assert "mode: offline" in Path(submission.views[0].run_dir, "config.yaml").read_text()


def test_config_that_resolves_differently_is_named_with_its_key(store: Store, code: Path) -> None:
    def run(dropout: float, digits: str) -> Run:
        (made,) = command_runs([python("pass")], config={"model": {"dropout": dropout}})
        record = replace(made.record, run_id=f"command-s0-{digits}", science_hash=digits * 8)
        return replace(made, record=record)

    submit_runs(sweep_of([run(0.0, "0" * 8)]), [run(0.0, "0" * 8)], store, LOCAL, source=code)
    today = [run(0.5, "f" * 8)]
    submission = submit_runs(sweep_of(today), today, store, LOCAL, source=code)
    (warning,) = submission.warnings
    assert "model.dropout: 0.0 when this run was submitted, 0.5 now: command-s0-00000000" in warning
    assert [view.run_id for view in submission.views] == ["command-s0-ffffffff"]
    assert len(store.sweep("work").views()) == 2, "what was submitted before is still there"


def test_unreadable_files_are_written_again_and_named(store: Store, code: Path) -> None:
    submission = submitted(store, [python("pass")])
    run_dir = Path(submission.views[0].run_dir)
    (run_dir / "run.json").write_text("{")
    (run_dir.parent / "manifest" / "0001.jsonl").write_text("{")
    again = submitted(store, [python("pass")])
    assert any(str(run_dir / "run.json") in warning for warning in again.warnings)
    assert any("0001.jsonl: the file is cut off" in warning for warning in again.warnings)
    assert again.generation == 2
    assert states(run_queue(again)) == [State.SUCCEEDED]


def test_changed_keys_of_nested_configs() -> None:
    assert changed_keys("a: {b: 1, c: 2}\nd: [1]\n", "a: {b: 1, c: 3}\nd: [1]\ne: x\n") == {
        "a.c": (2, 3),
        "e": (None, "x"),
    }


def lost(store: Store, submission: Submission, *, result: bool) -> RunView:
    """Leave the first run as a supervisor does that is killed while its command runs on to its end."""
    view = submission.views[0]
    path = attempt_path(view.run_dir, 0)
    record = read_attempt(path)
    write_record(path, replace(record, ended=None, reason=None, pid=4_000_000))
    os.unlink(os.path.join(view.run_dir, "result.json"))
    if not result:
        os.unlink(os.path.join(path, "result.json"))
    return store.sweep("work").state().views([view.run_id])[0]


@pytest.mark.parametrize(("result", "attempts"), [(True, 1), (False, 2)], ids=["adopted", "executed again"])
def test_lost_run(store: Store, result: bool, attempts: int) -> None:
    submission = submitted(store, [python("pass")])
    run_queue(submission)
    assert lost(store, submission, result=result).state is State.LOST
    again = submitted(store, [python("pass")])
    assert again.views[0].state is (State.SUCCEEDED if result else State.LOST)
    (view,) = run_queue(again)
    assert (view.state, view.attempts) == (State.SUCCEEDED, attempts)


def test_retry_starts_failures_anew_and_leaves_the_rest(store: Store, code: Path, tmp_path: Path) -> None:
    flag = tmp_path / "mended"
    fails = python(f"import os, sys; sys.exit(not os.path.exists({str(flag)!r}))")
    views = run_queue(submitted(store, [fails, python("pass"), fails]))
    assert states(views) == [State.FAILED, State.SUCCEEDED, State.FAILED]
    flag.touch()
    submission = retry(store, "work", failed_only=True, source=code)
    assert [view.run_id for view in submission.views] == [views[0].run_id, views[2].run_id]
    assert store.sweep("work").state().manifest.headers[submission.generation or 0].why == "retry"
    assert states(run_queue(submission)) == [State.SUCCEEDED] * 2
    assert states(store.sweep("work").views()) == [State.SUCCEEDED] * 3
    assert retry(store, "work", failed_only=True, source=code).views == ()


def test_retry_counts_the_policy_anew(store: Store, code: Path) -> None:
    run_queue(submitted(store, [python("print('s5: nan'); raise SystemExit(3)")], retry={"nan": 1}))
    (view,) = run_queue(retry(store, "work", failed_only=True, source=code))
    assert (view.state, view.attempts) == (State.FAILED, 4)


def test_cancelled_runs_are_left_alone_until_they_are_retried(store: Store, code: Path) -> None:
    submission = submitted(store, [python("pass")] * 2)
    run_id = submission.views[0].run_id
    assert states(cancel(store, [f"work/{run_id}"]).views) == [State.CANCELLED]
    assert states(run_queue(submission)) == [State.CANCELLED, State.SUCCEEDED]
    again = submitted(store, [python("pass")] * 2)
    assert [view.run_id for view in again.left_alone] == [run_id]
    assert retry(store, "work", failed_only=True, source=code).views == ()
    assert states(run_queue(retry(store, "work", failed_only=False, source=code))) == [State.SUCCEEDED]
    assert cancel(store, [run_id]).views == [], "a run that is done is not cancelled"


def test_nothing_of_that_name_to_cancel(store: Store) -> None:
    submitted(store, [python("pass")])
    with pytest.raises(LaunchError, match="no sweep or run 'x'") as caught:
        cancel(store, ["x"])
    assert "launch status" in (caught.value.hint or "")
