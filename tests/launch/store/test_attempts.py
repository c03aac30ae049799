import json
import os
import time
from dataclasses import replace

import pytest

from launch.errors import StoreError
from launch.store.attempts import ATTEMPT, attempt_path, read_attempt
from launch.store.claims import claim_attempt, remove_torn_claims
from launch.store.locks import acquire
from launch.store.processes import host, start_time
from launch.store.record_json import to_json
from launch.store.run_result import adopt_result
from launch.store.state import Reason
from launch.store.store import SweepStore
from s5.run_dir.result import write_result
from tests.launch.records import GONE
from tests.launch.stored_runs import RECORD, attempted, listed


def test_of_two_claimants_one_gets_the_attempt(sweep: SweepStore) -> None:
    (plan,) = listed(sweep)
    run_dir = str(sweep.run_dir(plan.record.run_id))
    first = claim_attempt(run_dir, 0, RECORD)
    assert first is not None
    assert claim_attempt(run_dir, 0, RECORD) is None
    assert os.listdir(os.path.join(run_dir, "attempts")) == ["0"]
    assert read_attempt(attempt_path(run_dir, 0)) == RECORD
    os.close(first.lock)


def test_leftovers_of_dead_claimants_are_removed(sweep: SweepStore) -> None:
    (plan,) = listed(sweep)
    folder = sweep.run_dir(plan.record.run_id) / "attempts"
    own, start = os.getpid(), start_time(os.getpid())
    dead = [f"{GONE}-1", f"{own}-1", str(GONE)]  # gone, its pid another's now, gone and of `python -m s5`
    alive = [f"{own}-{start}", str(own), f"{GONE + 1}-1"]
    for name in (*dead, *alive):
        (folder / f".claim-{host()}-{name}").mkdir(parents=True)
    others = {".claim-elsewhere-1-1", f".claim-{host()}-b-1-1"}
    for name in others:
        (folder / name).mkdir()
    held = acquire(str(folder / f".claim-{host()}-{GONE + 1}-1" / "lock"))
    assert held is not None
    remove_torn_claims(str(folder.parent))
    assert set(os.listdir(folder)) == others | {f".claim-{host()}-{name}" for name in alive}
    os.close(held)


def test_claim_that_is_being_made_is_not_swept_by_another_supervisor(
    sweep: SweepStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    (plan,) = listed(sweep)
    run_dir = str(sweep.run_dir(plan.record.run_id))

    def sweep_then_acquire(path: str) -> int | None:
        remove_torn_claims(run_dir)
        return acquire(path)

    monkeypatch.setattr("launch.store.claims.acquire", sweep_then_acquire)
    claim = claim_attempt(run_dir, 0, RECORD)
    assert claim is not None
    os.close(claim.lock)


def test_result_without_a_supervisor_is_adopted_once(sweep: SweepStore) -> None:
    (plan,) = listed(sweep)
    run_dir = str(sweep.run_dir(plan.record.run_id))
    path = attempted(sweep, plan)
    write_result(path, {"test/accuracy": 0.5})
    held = acquire(str(path / "lock"))
    assert held is not None
    assert not adopt_result(run_dir), "the process that works on it publishes it"
    os.close(held)
    assert adopt_result(run_dir)
    assert adopt_result(run_dir)
    assert os.path.samefile(path / "result.json", os.path.join(run_dir, "result.json"))


def test_result_that_is_none_is_set_aside(sweep: SweepStore) -> None:
    (plan,) = listed(sweep)
    path = attempted(sweep, plan)
    (path / "result.json").write_text("[]")
    assert not adopt_result(str(sweep.run_dir(plan.record.run_id)))
    assert (path / "result.json.bad").exists()


def test_records_come_back_from_the_disk_as_they_were(sweep: SweepStore) -> None:
    (plan,) = listed(sweep)
    path = attempted(sweep, plan, replace(RECORD, ended=time.time(), reason=Reason.NAN, message="\udce9 é\n"))
    record = read_attempt(str(path))
    assert json.loads((path / ATTEMPT).read_text()) == json.loads(json.dumps(to_json(record)))
    (path / ATTEMPT).write_text("null")
    with pytest.raises(StoreError, match=r"attempt\.json: not a JSON object"):
        read_attempt(str(path))
