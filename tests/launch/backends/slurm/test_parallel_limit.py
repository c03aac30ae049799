"""What the arrays in the queue are told when `max_parallel` has changed; `tests/slurm` does it with a real Slurm."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from launch.backends.slurm import parallel_limit
from launch.backends.slurm.arrays import Array, ArrayRecord, ArrayTask
from launch.backends.slurm.client import ClientError
from launch.backends.slurm.cluster_identity import own_name
from launch.backends.slurm.parallel_limit import apply_limit
from launch.backends.slurm.squeue import QueueSnapshot, parse_rows
from launch.specs.resources import Resources
from launch.store.manifest import ListedRun, Manifest
from tests.launch.records import manifest_entry, manifest_header, run_record

ME = own_name()


class Client:
    """Slurm's client commands: answers about dependencies, and the changes that were asked for."""

    def __init__(self, dependencies: str = "", refuses: str = "") -> None:
        self.dependencies = dependencies
        self.refuses = refuses
        self.changes: list[str] = []

    def __call__(self, words: Sequence[str]) -> str:
        if words[0] == "squeue":
            return self.dependencies
        if self.refuses:
            raise ClientError("scontrol", self.refuses)
        self.changes.append(" ".join(words[2:]))
        return ""


def array(job: str, tasks: int, user: str = ME) -> Array:
    uuid = job * 16
    record = ArrayRecord(
        uuid=uuid,
        name=f"x.{uuid}",
        generation=1,
        profile="test",
        resources=Resources(),
        tasks=tuple(ArrayTask(run_id=f"r{job}{index}", generation=1) for index in range(tasks)),
        throttle=1,
        signal_delay_s=1.0,
        created=1.0,
        user=user,
    )
    return Array(record=record, job=job, released=True)


def rows(text: str, arrays: Sequence[Array]) -> QueueSnapshot:
    """Return the queue; a line has a job with its tasks, and its state."""
    named = {one.job: one.record for one in arrays}
    words = (line.split() for line in text.splitlines())
    records = ((job, state, named[job.partition("_")[0]]) for job, state in words)
    lines = [f"{job}|{state}|None||{record.user}|{record.name}" for job, state, record in records]
    return QueueSnapshot(rows=tuple(parse_rows("\n".join(lines))))


@pytest.fixture
def manifest() -> Manifest:
    """A sweep that an older version submitted, with `max_parallel: 1`: no file says which number its arrays have."""
    entries = [manifest_entry(run_record(run_id=f"r{job}{index}")) for job in "45" for index in range(4)]
    listed = {entry.run_id: ListedRun(entry=entry, generation=1) for entry in entries}
    return Manifest(headers={1: manifest_header(max_parallel=1)}, listed=listed)


def test_a_number_that_is_raised_reaches_an_array_that_waits_for_another(
    tmp_path: Path, manifest: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    arrays = [array("4", 4), array("5", 1)]
    listing = rows("4_0 RUNNING\n4_[1,3%1] PENDING\n5_[0%1] PENDING", arrays)
    client = Client("5|afterok:9_*(unfulfilled),afterany:4_*(unfulfilled)\n4|(null)\n")
    monkeypatch.setattr(parallel_limit, "run_client", client)
    told = apply_limit(str(tmp_path), arrays, manifest, 2, listing)
    assert client.changes == ["jobid=4 arraytaskthrottle=2", "jobid=5 arraytaskthrottle=2"]  # 5 waits for other runs
    assert told.words == "max_parallel is now 2 (was 1)"
    client.dependencies, client.changes = "5|afterany:4_*(unfulfilled)\n", []
    told = apply_limit(str(tmp_path), arrays, manifest, None, listing)
    assert client.changes == ["jobid=4 arraytaskthrottle=0", "jobid=5 arraytaskthrottle=0", "jobid=5_[0] dependency="]
    assert told.words == "max_parallel is no longer set (was 2)"


def test_what_keeps_its_number_is_told(tmp_path: Path, manifest: Manifest, monkeypatch: pytest.MonkeyPatch) -> None:
    arrays = [array("4", 3), array("5", 1, user="ada")]
    listing = rows("4_0 RUNNING\n4_[1-2%1] PENDING\n5_[0%1] PENDING", arrays)
    monkeypatch.setattr(parallel_limit, "run_client", Client(refuses="Access denied"))
    told = apply_limit(str(tmp_path), arrays, manifest, 4, listing)
    assert told.words == (
        "max_parallel is now 4 (was 1); job 5 of ada keeps its number, since only ada can change it; "
        "job 4 stays as it is (scontrol: Access denied)"
    )
    assert [one.throttle for one in told.shares] == [1, 1]
    monkeypatch.setattr(parallel_limit, "run_client", Client(refuses="Invalid job id specified"))  # it has ended
    assert apply_limit(str(tmp_path), arrays, manifest, 4, listing).words is None


def test_tasks_that_have_ended_do_not_keep_the_others_from_a_new_number(
    tmp_path: Path, manifest: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    arrays, listing = [array("4", 3)], rows("4_[1-2%1] PENDING", [array("4", 3)])
    said = "4_0: Job has already finished\n4_1-2: No error\n"
    monkeypatch.setattr(parallel_limit, "run_client", Client(refuses=said))
    told = apply_limit(str(tmp_path), arrays, manifest, 2, listing)
    assert told.words == "max_parallel is now 2 (was 1)"
    assert [one.throttle for one in told.shares] == [2]
    assert apply_limit(str(tmp_path), arrays, manifest, 2, listing).words is None
    monkeypatch.setattr(parallel_limit, "run_client", Client(refuses=f"{said}4_2: Access denied\n"))
    assert "4_2: Access denied" in str(apply_limit(str(tmp_path), arrays, manifest, 3, listing).words)


def test_a_job_of_another_user_whose_runs_were_retried_takes_no_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entries = [manifest_entry(run_record(run_id=f"r4{index}")) for index in range(2)]
    listed = {entry.run_id: ListedRun(entry=entry, generation=2, retried=2) for entry in entries}
    manifest = Manifest(headers={1: manifest_header(max_parallel=1)}, listed=listed)
    other = array("4", 2, user="ada")
    monkeypatch.setattr(parallel_limit, "run_client", Client())
    assert apply_limit(str(tmp_path), [other], manifest, 1, rows("4_[0-1%1] PENDING", [other])).shares == ()
    (share,) = apply_limit(str(tmp_path), [other], manifest, 1, rows("4_0 RUNNING\n4_[1%1] PENDING", [other])).shares
    assert (share.tasks, share.width) == (1, 1)


def test_without_a_number_slurm_is_not_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = array("4", 3)
    free = replace(one, record=replace(one.record, throttle=None))
    monkeypatch.setattr(parallel_limit, "run_client", None)
    assert apply_limit(str(tmp_path), [free], Manifest(), None, rows("4_[0-2] PENDING", [free])).shares == ()
    assert not list(tmp_path.iterdir())
