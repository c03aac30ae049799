"""Which arrays wait for which: runs that come after others, as sbatch is asked for them."""

from itertools import count

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from launch.backends.slurm.arrays import Array, ArrayRecord, ArrayTask, read_array, write_array
from launch.backends.slurm.job_dependencies import (
    QueuePosition,
    Requirements,
    find_positions,
    is_tied_to_jobs,
    may_still_succeed,
    pending_tasks,
)
from launch.backends.slurm.request import Limits, SubmissionInput, build_requests
from launch.backends.slurm.squeue import QueueSnapshot
from launch.backends.slurm.squeue_format import QueueRow
from launch.backends.slurm.throttle import share
from launch.profiles.profile import Profile
from launch.profiles.slurm import SlurmSettings
from launch.specs.resources import Resources
from launch.store.state import State


def requests(runs, after, *, spots=None, most=1001, **more):
    """Ask for runs, of which some wait for others: by token the runs that give it, by run its tokens."""
    keys = {run: tuple((token, 1) for token in tokens) for run, tokens in after["waits"].items()}
    left = {(token, 1): tuple(given) for token, given in after["left"].items()}
    want = SubmissionInput(
        sweep="x",
        folder="/runs/x",
        generation=1,
        tasks=[(ArrayTask(run_id=run, generation=1), Resources()) for run in runs],
        needs=Requirements(keys=keys, left=left),
        spots=spots or {},
        **more,
    )
    numbers = count()
    own = Profile(name="big", backend="slurm", site=SlurmSettings())
    return build_requests(want, own, Limits(array_tasks=most), lambda: f"{next(numbers):016x}")


def held(found):
    """Return which runs each array holds, and what it waits for, with short names of arrays."""
    short = {request.record.uuid: f"A{number}" for number, request in enumerate(found)}
    ties = [[tie.replace(tie[:16], short.get(tie[:16], tie[:16])) for tie in r.record.waits] for r in found]
    return [(" ".join(t.run_id for t in r.record.tasks), " ".join(tied)) for r, tied in zip(found, ties, strict=True)]


def test_what_comes_first_is_submitted_first_and_the_rest_tied_to_it():
    after = {"waits": {"b": ["a"], "c": ["b"]}, "left": {"a": ["a0", "a1"], "b": ["b"]}}
    found = requests(["c", "b", "a0", "free", "a1"], after)
    assert held(found) == [("a0 free a1", ""), ("b", "A0_0 A0_2"), ("c", "A1")]
    words = found[1].words({found[0].record.uuid: "41"})
    assert words[:3] == ["sbatch", "--dependency=afterok:41_0,afterok:41_2", "--hold"]
    assert "kill-on-invalid-dep" in found[1].script and "kill-on-invalid-dep" not in found[0].script


def test_runs_that_wait_for_the_same_share_an_array():
    after = {"waits": {"b0": ["s0"], "b1": ["s1"], "c0": ["s0"]}, "left": {"s0": ["a0"], "s1": ["a1"]}}
    found = requests(["a0", "a1", "b0", "b1", "c0"], after)
    assert held(found) == [("a0 a1", ""), ("b0 c0", "A0_0"), ("b1", "A0_1")]


def test_with_too_many_arrays_all_waits_for_all():
    many = range(40)
    after = {"waits": {f"b{n}": [f"s{n}"] for n in many}, "left": {f"s{n}": [f"a{n}"] for n in many}}
    found = requests([f"a{n}" for n in many] + [f"b{n}" for n in many], after)
    assert [ties for _, ties in held(found)] == ["", "A0"]


def test_what_is_in_the_queue_already_is_waited_for_there_and_what_is_nowhere_keeps_a_run_out():
    after = {"waits": {"b": ["a"], "c": ["z"]}, "left": {"a": ["a0", "a1"], "z": ["gone"]}}
    live = "f" * 16
    found = requests(["b", "c", "a1"], after, spots={"a0": QueuePosition(array=live, index=7, size=9)})
    assert held(found) == [("a1", ""), ("b", f"{live}_7 A0")]


def test_arrays_that_wait_take_no_room_from_those_that_do_not():
    after = {"waits": {"b": ["a"]}, "left": {"a": ["a0"]}}
    first, second = requests(["b", "a0", "a1"], after, max_parallel=4)
    assert (first.record.throttle, second.record.throttle, second.behind) == (4, 4, first.record.uuid)
    assert second.words({first.record.uuid: "7"})[1] == "--dependency=afterok:7_0,afterany:7"
    assert [lane.behind for lane in share(2, [], ["a", "b"], 0)] == [None, None]


def record(uuid="a" * 16, runs=("r0", "r1", "r2"), waits=()):
    tasks = tuple(ArrayTask(run_id=run, generation=1) for run in runs)
    known = {"uuid": uuid, "name": f"x.{uuid}", "generation": 1, "profile": "big", "resources": Resources()}
    return ArrayRecord(**known, tasks=tasks, throttle=None, signal_delay_s=1.0, created=1.0, waits=waits)


def row(uuid, tasks, state="PENDING"):
    return QueueRow(job="12", tasks=tasks, throttle=None, state=state, reason="", nodes="", name=f"x.{uuid}")


def test_the_record_of_an_array_says_what_it_waits_for(tmp_path):
    for waits in ((), ("b" * 16, f"{'c' * 16}_3")):
        one = record(uuid=f"{len(waits):016x}", waits=waits)
        write_array(str(tmp_path), one, "")
        file = tmp_path / ".slurm" / f"{one.uuid}.json"
        assert read_array(str(file)) == one
        assert ("waits" in file.read_text()) == bool(waits)


def test_an_array_is_bound_only_to_where_those_before_it_stand_now():
    old, new, own = "a" * 16, "b" * 16, record(uuid="c" * 16, runs=("d",), waits=(f"{'a' * 16}_0",))
    needs = Requirements(keys={"d": (("t", 1),)}, left={("t", 1): ("r0",)})
    here = {"r0": QueuePosition(array=old, index=0, size=3)}
    assert is_tied_to_jobs(own, ["d"], needs, here)
    assert is_tied_to_jobs(record(uuid="c" * 16, runs=("d",), waits=(old,)), ["d"], needs, here)
    assert not is_tied_to_jobs(own, ["d"], needs, {"r0": QueuePosition(array=old, index=1, size=3)})
    assert not is_tied_to_jobs(own, ["d"], needs, {"r0": QueuePosition(array=new, index=0, size=1)})
    assert not is_tied_to_jobs(own, ["d"], needs, {})
    assert is_tied_to_jobs(own, ["d"], Requirements(), {})  # its turn has come


@pytest.mark.parametrize(
    ("tie", "there", "succeeded", "may"),
    [
        ("a", {0, 1, 2}, set(), True),
        ("a", {0}, {"r1", "r2"}, True),
        ("a", {0}, {"r1"}, False),
        ("a_0", {0}, set(), True),
        ("a_1", {0}, set(), False),
        ("a_1", {0}, {"r1"}, True),
    ],
)
def test_what_has_failed_is_waited_for_in_vain(tie, there, succeeded, may):
    spots = {f"r{n}": QueuePosition(array="a" * 16, index=n, size=3) for n in there}
    full = tie.replace("a", "a" * 16, 1)
    state = {True: State.SUCCEEDED, False: State.FAILED}
    assert may_still_succeed(full, record(), spots, lambda run: state[run in succeeded]) is may


def test_places_in_the_queue_are_read_from_it():
    arrays = [Array(record=record(), job="12")]
    listing = QueueSnapshot(rows=(row("a" * 16, (0,), "RUNNING"), row("a" * 16, (2, 7)), row("f" * 16, (1,))))
    assert find_positions(arrays, listing) == {
        r: QueuePosition(array="a" * 16, index=n, size=3) for r, n in (("r0", 0), ("r2", 2))
    }
    assert pending_tasks(arrays[0], listing) == ["r2"]


@settings(max_examples=60, deadline=None)
@given(
    waits=st.lists(st.lists(st.integers(0, 7), max_size=2), min_size=2, max_size=40),
    gives=st.lists(st.integers(0, 7), min_size=40, max_size=40),
    most=st.integers(1, 9),
)
def test_every_array_waits_for_all_that_comes_before_its_runs(waits, gives, most):
    runs = [f"r{n}" for n in range(len(waits))]
    # Tokens of lower numbers only: no cycles.
    after = {run: [f"t{t}" for t in own if t < gives[n]] for n, (run, own) in enumerate(zip(runs, waits, strict=True))}
    left = {f"t{t}": [run for n, run in enumerate(runs) if gives[n] == t] for t in range(8)}
    assume(any(after.values()))
    found = requests(runs, {"waits": after, "left": left}, most=most)
    places = {task.run_id: (r, index) for r in found for index, task in enumerate(r.record.tasks)}
    assert sorted(places) == sorted(runs)
    order = {request.record.uuid: number for number, request in enumerate(found)}
    for run, (request, _) in places.items():
        for before in (before for token in after[run] for before in left[token]):
            other, index = places[before]
            assert order[other.record.uuid] < order[request.record.uuid]
            assert {other.record.uuid, f"{other.record.uuid}_{index}"} & set(request.record.waits)
