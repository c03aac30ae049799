"""A failed run whose config was corrected in the sweep file no longer counts after the sweep is started again."""

from __future__ import annotations

import json
import os
from binascii import crc32
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from launch.actions.cancel import cancel
from launch.actions.drive import run_queue
from launch.actions.plan import Plan, plan_runs
from launch.actions.submit import submit
from launch.store.attempts import ATTEMPT, attempt_path
from launch.store.state import Reason, State
from launch.store.store import Store
from s5.run_dir.result import Exit
from tests.launch.command_sweep import LOCAL, code_under, command_runs, python, sweep_of

if TYPE_CHECKING:
    from launch.actions.submit import Submission

# Its folder is the attempt's; the run's config lies two above.
CANNOT_RUN = python(
    f"import sys; print('s5: no'); sys.exit({Exit.USER_ERROR} * ('wrong' in open('../../config.yaml').read()))"
)
CRASHES = python("raise SystemExit(1)")
SAID = "ended with user_error under a config.yaml that has changed since"


def planned(store: Store, root: str) -> Plan:
    """Plan one run that cannot run with a wrong folder, one that crashes, and one that does without a folder."""
    runs = command_runs([CANNOT_RUN, CRASHES, python("pass")], config={"data": {"root": root}})
    return plan_runs(sweep_of(runs), runs, store, LOCAL)


def submitted(store: Store, root: str) -> Submission:
    return submit(planned(store, root), source=code_under(store.root.parent))


def driven(store: Store, root: str) -> list[tuple[State, int]]:
    return [(view.state, view.attempts) for view in run_queue(submitted(store, root))]


def said(submission: Submission | Plan) -> list[str]:
    return [warning for warning in submission.warnings if SAID in warning]


def test_a_corrected_config_starts_its_run_again_and_no_other(store: Store) -> None:
    assert driven(store, "/wrong") == [(State.FAILED, 1), (State.FAILED, 1), (State.SUCCEEDED, 1)]
    dry = planned(store, "/right")
    assert said(dry) == [f"command-s0-00000000 {SAID}: it is started again"]
    assert [view.state for view in dry.views] == [State.PLANNED, State.FAILED, State.SUCCEEDED]
    assert list(store.sweep("work").state().manifest.headers) == [1]
    submission = submitted(store, "/right")
    assert said(submission) == [f"command-s0-00000000 {SAID}: it is started again"]
    assert [view.state for view in submission.views] == [State.PLANNED, State.FAILED, State.SUCCEEDED]
    assert [view.state for view in run_queue(submission)] == [State.SUCCEEDED, State.FAILED, State.SUCCEEDED]
    manifest = store.sweep("work").state().manifest
    assert [header.why for header in manifest.headers.values()] == ["submit", "retry", "submit"]
    assert [len(run_ids) for run_ids in manifest.run_ids.values()] == [3, 1, 3]
    assert driven(store, "/right") == [(State.SUCCEEDED, 2), (State.FAILED, 1), (State.SUCCEEDED, 1)]
    assert store.sweep("work").state().manifest.newest == 3


def test_what_has_not_changed_or_not_helped_stays_failed(store: Store) -> None:
    driven(store, "/wrong")
    again = submitted(store, "/wrong")
    assert (said(again), again.views[0].state) == ([], State.FAILED)
    assert driven(store, "/wronger")[0] == (State.FAILED, 2)
    again = submitted(store, "/wronger")
    assert (said(again), again.views[0].state) == ([], State.FAILED)
    assert driven(store, "/wrong")[0] == (State.FAILED, 3), "the last attempt saw another"


def test_a_config_whose_keys_stand_in_another_order_has_not_changed(store: Store) -> None:
    """Earlier versions wrote the keys of a model in another order."""
    driven(store, "/wrong")
    view = store.sweep("work").views()[0]
    file, record = Path(view.run_dir, "config.yaml"), Path(attempt_path(view.run_dir, 0), "attempt.json")
    earlier = "model:\n  other: 1\n" + file.read_text()
    file.write_text(earlier)
    record.write_text(json.dumps({**json.loads(record.read_text()), "config_crc": crc32(earlier.encode())}))
    runs = command_runs(
        [CANNOT_RUN, CRASHES, python("pass")], config={"data": {"root": "/wrong"}, "model": {"other": 1}}
    )
    again = submit(plan_runs(sweep_of(runs), runs, store, LOCAL), source=code_under(store.root.parent))
    assert (said(again), again.views[0].state) == ([], State.FAILED)
    assert file.read_text() == earlier


@pytest.mark.parametrize("left_out", ["config_crc", "reason"])
def test_an_attempt_that_does_not_say_what_it_saw_stays_failed(store: Store, left_out: str) -> None:
    driven(store, "/wrong")
    view = store.sweep("work").views()[0]
    path = attempt_path(view.run_dir, 0)
    record = {**json.loads(Path(path, ATTEMPT).read_text()), left_out: Reason.CRASH if left_out == "reason" else None}
    Path(path, "attempt.json").write_text(json.dumps(record))
    again = submitted(store, "/right")
    assert (said(again), again.views[0].state) == ([], State.FAILED)


def test_a_cancelled_run_waits_for_a_retry(store: Store) -> None:
    driven(store, "/wrong")
    assert submitted(store, "/right").views[0].state is State.PLANNED
    cancel(store, ["work"])
    again = submitted(store, "/other")
    assert (said(again), again.views[0].state) == ([], State.CANCELLED)


def test_a_kill_between_the_two_generations_starts_nothing_twice(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    driven(store, "/wrong")
    link = os.link

    def dies_at_the_third(source: str, target: str, **settings: int) -> None:
        if str(target).endswith("0003.jsonl"):
            raise KeyboardInterrupt
        link(source, target, **settings)

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(os, "link", dies_at_the_third)
        submitted(store, "/right")
    assert list(store.sweep("work").state().manifest.headers) == [1, 2]
    assert driven(store, "/right") == [(State.SUCCEEDED, 2), (State.FAILED, 1), (State.SUCCEEDED, 1)]
    assert driven(store, "/right")[0] == (State.SUCCEEDED, 2)
