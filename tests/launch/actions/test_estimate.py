import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from launch.actions.estimate import Estimate, estimate_plan
from launch.actions.plan import plan_runs
from launch.actions.submit import Submission
from launch.compose.composer import identity_of
from launch.compose.run import Run
from launch.compose.run_id import make_run_id
from launch.store.claims import claim_attempt
from launch.store.state import Reason
from launch.store.store import Store
from launch.sweepfile.sweep import Sweep
from s5.config.identity import science_hash
from s5.run_dir.result import publish, write_result
from tests.launch.command_sweep import LOCAL, code_under, command_runs, python, submit_runs, sweep_of
from tests.launch.stored_runs import RECORD


def run(seed: int = 0, code: str = "pass", **config: Any) -> Run:
    (made,) = command_runs([python(code)], config={"seed": seed, "data": {"name": "digits"}, **config})
    identity = identity_of(science_hash(made.config), made.spec)
    facts = {"run_id": make_run_id(made.record.experiment, {}, seed, identity), "science_hash": identity, "seed": seed}
    return replace(made, record=replace(made.record, **facts), spec=replace(made.spec, seed=seed))


def submitted(store: Store, *runs: Run, sweep: str = "work") -> Submission:
    sheet: Sweep = replace(sweep_of(runs), name=sweep)
    return submit_runs(sheet, runs, store, LOCAL, source=code_under(store.root.parent))


def finish(submission: Submission, *times: tuple[float, float], number: int = 0) -> None:
    """Let a run have succeeded in its last attempt."""
    run_dir = submission.views[number].run_dir
    for attempt, (started, ended) in enumerate(times):
        reason = Reason.SUCCESS if attempt == len(times) - 1 else Reason.INTERRUPTED
        record = replace(RECORD, attempt=attempt, started=started, ended=ended, reason=reason)
        claim = claim_attempt(run_dir, attempt, record)
        assert claim is not None
        os.close(claim.lock)
    write_result(Path(claim.path), {})
    publish(Path(claim.path))


def estimated(store: Store, *runs: Run, sweep: str = "work") -> Estimate:
    sheet: Sweep = replace(sweep_of(runs), name=sweep)
    return estimate_plan(plan_runs(sheet, runs, store, LOCAL), store)


def core_hours(store: Store, *runs: Run, sweep: str = "work") -> tuple[int, float | None]:
    guess = estimated(store, *runs, sweep=sweep)
    assert guess.runs == len(runs)
    return guess.known, guess.core_hours


def test_other_seeds_are_judged_by_all_attempts_of_a_finished_run(store: Store) -> None:
    first = submitted(store, run(0))
    assert estimated(store, run(0)).core_hours is None
    finish(first, (1000.0, 4600.0), (9000.0, 12600.0))
    assert core_hours(store, run(1), run(2)) == (2, 4.0)
    assert core_hours(store, run(3), sweep="another") == (1, 2.0)


@pytest.mark.parametrize("other", [run(1, model={"d_model": 64}), run(1, code="1"), run(1, train={"epochs": 25})])
def test_a_run_of_another_configuration_is_no_evidence(store: Store, other) -> None:
    finish(submitted(store, run(0, model={"d_model": 8}, train={"epochs": 2})), (0.0, 3600.0))
    assert core_hours(store, other) == (0, None)


def test_the_same_sweep_counts_before_others(store: Store) -> None:
    finish(submitted(store, run(0), sweep="old"), (0.0, 36000.0))
    finish(submitted(store, run(0)), (0.0, 3600.0))
    assert core_hours(store, run(1)) == (1, 1.0)


def test_a_clock_that_went_back_does_not_make_time(store: Store) -> None:
    finish(submitted(store, run(0)), (9000.0, 1.0))
    assert core_hours(store, run(1)) == (1, 0.0)
