"""The dependencies between arrays, as they are passed to sbatch, for runs with predecessors."""

from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from launch.backends.slurm.arrays import Array, ArrayRecord, ArrayTask, read_array, write_array
from launch.backends.slurm.job_dependencies import QueuePosition, find_positions, pending_tasks
from launch.backends.slurm.queue_state import QueueState
from launch.backends.slurm.request import Limits, SubmissionInput, SubmitRequest, build_requests
from launch.backends.slurm.squeue import QueueRow, QueueSnapshot
from launch.backends.slurm.throttle import Share, share_limit
from launch.profiles.profile import Profile
from launch.profiles.slurm import SlurmSettings
from launch.specs.resources import Resources
from launch.store.dependencies import OpenRequirements, Requirement
from launch.store.manifest import ListedRun, Manifest
from launch.store.records import ManifestEntry, ManifestHeader
from launch.store.sweep_state import SweepState


def requests(runs, after, *, positions: Any = None, most: int = 1001, **more: Any) -> tuple[SubmitRequest, ...]:
    """Ask for runs; some wait for others: by label the runs that provide it, by run its labels."""
    of = {run: tuple(Requirement(label, 1) for label in labels) for run, labels in after["waits"].items()}
    left = {Requirement(label, 1): tuple(given) for label, given in after["left"].items()}
    want = SubmissionInput(
        sweep="x",
        folder="/runs/x",
        generation=1,
        tasks=[(ArrayTask(run_id=run, generation=1), Resources()) for run in runs],
        unmet=OpenRequirements(of=of, left=left),
        positions=positions or {},
        **more,
    )
    numbers = count()
    own = Profile(name="big", backend="slurm", site=SlurmSettings())
    return build_requests(want, own, Limits(array_tasks=most), lambda: f"{next(numbers):016x}")


def held(found: Any) -> list[tuple[str, str]]:
    """Return which runs each array holds, and what it waits for, with short names of arrays."""
    short = {request.record.uuid: f"A{number}" for number, request in enumerate(found)}
    waits = [[name.replace(name[:16], short.get(name[:16], name[:16])) for name in r.record.waits] for r in found]
    return [(" ".join(t.run_id for t in r.record.tasks), " ".join(own)) for r, own in zip(found, waits, strict=True)]


def test_what_comes_first_is_submitted_first_and_the_rest_waits_for_it() -> None:
    after = {"waits": {"b": ["a"], "c": ["b"]}, "left": {"a": ["a0", "a1"], "b": ["b"]}}
    found = requests(["c", "b", "a0", "free", "a1"], after)
    assert held(found) == [("a0 free a1", ""), ("b", "A0_0 A0_2"), ("c", "A1")]
    words = found[1].words({found[0].record.uuid: "41"})
    assert words[:3] == ["sbatch", "--dependency=afterok:41_0,afterok:41_2", "--hold"]
    assert "kill-on-invalid-dep" in found[1].script and "kill-on-invalid-dep" not in found[0].script


def test_runs_that_wait_for_the_same_share_an_array() -> None:
    after = {"waits": {"b0": ["s0"], "b1": ["s1"], "c0": ["s0"]}, "left": {"s0": ["a0"], "s1": ["a1"]}}
    found = requests(["a0", "a1", "b0", "b1", "c0"], after)
    assert held(found) == [("a0 a1", ""), ("b0 c0", "A0_0"), ("b1", "A0_1")]


def test_a_block_that_others_wait_for_has_arrays_of_its_own() -> None:
    after = {"waits": {"b": ["a"]}, "left": {"a": ["a0", "a1", "a2"]}}
    blocks = {"a0": ("a",), "a1": ("a",), "a2": ("a",)}
    assert held(requests(["a0", "free", "a1", "b", "a2"], after, blocks=blocks, most=2)) == [
        ("a0 a1", ""),
        ("a2", ""),
        ("free", ""),
        ("b", "A0 A1"),
    ]


def test_with_too_many_arrays_all_waits_for_all() -> None:
    many = range(40)
    after = {"waits": {f"b{n}": [f"s{n}"] for n in many}, "left": {f"s{n}": [f"a{n}"] for n in many}}
    found = requests([f"a{n}" for n in many] + [f"b{n}" for n in many], after)
    assert [waits for _, waits in held(found)] == ["", "A0"]


def test_what_is_in_the_queue_already_is_waited_for_there_and_what_is_nowhere_keeps_a_run_out() -> None:
    after = {"waits": {"b": ["a"], "c": ["z"]}, "left": {"a": ["a0", "a1"], "z": ["gone"]}}
    live = "f" * 16
    found = requests(["b", "c", "a1"], after, positions={"a0": QueuePosition(array=live, index=7, size=9)})
    assert held(found) == [("a1", ""), ("b", f"{live}_7 A0")]


def test_arrays_that_wait_take_no_room_from_those_that_do_not() -> None:
    after = {"waits": {"b": ["a"]}, "left": {"a": ["a0"]}}
    first, second = requests(["b", "a0", "a1"], after, max_parallel=4)
    assert (first.record.throttle, second.record.throttle, second.follows) == (4, 4, (first.record.uuid,))
    assert second.words({first.record.uuid: "7"})[1] == "--dependency=afterok:7_0,afterany:7"
    waiting = [Share(array=name, waits=True) for name in "ab"]
    assert [one.follows for one in share_limit(2, [], waiting)] == [(), ()]


def record(
    uuid: str = "a" * 16, runs: tuple[str, ...] = ("r0", "r1", "r2"), waits: tuple[Any, ...] = ()
) -> ArrayRecord:
    tasks = tuple(ArrayTask(run_id=run, generation=1) for run in runs)
    known = {"uuid": uuid, "name": f"x.{uuid}", "generation": 1, "profile": "big", "resources": Resources()}
    return ArrayRecord(**known, tasks=tasks, throttle=None, signal_delay_s=1.0, created=1.0, waits=waits)


def row(uuid, tasks, state: str = "PENDING") -> QueueRow:
    return QueueRow(
        job="12", tasks=tasks, throttle=None, state=state, reason="", nodes="", user="ada", name=f"x.{uuid}"
    )


def test_the_record_of_an_array_says_what_it_waits_for(tmp_path: Path) -> None:
    for waits in ((), ("b" * 16, f"{'c' * 16}_3")):
        one = record(uuid=f"{len(waits):016x}", waits=waits)
        write_array(str(tmp_path), one, "")
        file = tmp_path / ".slurm" / f"{one.uuid}.json"
        assert read_array(str(file)) == one
        assert ("waits" in file.read_text()) == bool(waits)


A, B, C = "a" * 16, "b" * 16, "c" * 16


def stale(
    tmp_path: Path,
    waits: Any,
    rows,
    succeeded: tuple[Any, ...] = (),
    *,
    requires: tuple[str, ...] = ("t",),
    reason: str = "Dependency",
) -> bool:
    """Return whether an array that waits, of the run `d` that comes after `r0` and `r2`, has to be submitted again."""
    provides = {"r0": ("t",), "r1": (), "r2": ("t", "two"), "d": ()}
    listed = {
        run: ListedRun(
            entry=ManifestEntry(
                run_id=run,
                experiment="e",
                settings={},
                seed=0,
                resources=Resources(),
                provides=labels,
                requires=requires if run == "d" else (),
            ),
            generation=1,
            submitted=1,
        )
        for run, labels in provides.items()
    }
    for run in succeeded:
        (tmp_path / run).mkdir()
        (tmp_path / run / "result.json").write_text("{}")
    arrays = [
        Array(record=record(A), job="12"),
        Array(record=record(B, ("r0", "r2")), job="13"),
        Array(record=record(C, ("d",), waits), job="14"),
    ]
    own = replace(row(C, (0,)), job="14", reason=reason)
    listing = QueueSnapshot(rows=(*(row(uuid, tasks) for uuid, tasks in rows), own))
    header = ManifestHeader(
        sweep="x",
        generation=1,
        why="submit",
        file=None,
        backend="slurm",
        profile="big",
        runtime="bare",
        snapshot=None,
        metric="m",
        retry={},
        published=(),
        created=1.0,
    )
    sweep = SweepState(str(tmp_path), Manifest(headers={1: header}, listed=listed))
    return QueueState(sweep, arrays, listing).stale_jobs() == {"14": ["d"]}


@pytest.mark.parametrize(
    ("waits", "rows", "succeeded", "is_stale"),
    [
        ((f"{A}_0", f"{A}_2"), [(A, (0, 1, 2))], (), False),
        ((A,), [(A, (0, 1, 2))], (), False),
        ((A,), [(A, (0, 2))], ("r1",), False),
        ((f"{A}_0", f"{A}_2"), [(A, (0,))], ("r2",), False),
        ((f"{A}_0", f"{A}_2"), [(A, (0,))], (), True),  # r2 is nowhere
        ((A,), [(A, (0,))], (), True),
        ((f"{A}_0", f"{A}_1"), [(A, (0, 1, 2))], (), True),  # of r2 it does not know
        ((f"{A}_0", f"{A}_2"), [(B, (0, 1))], (), True),  # both were submitted again
        ((B,), [(B, (0, 1))], (), False),
        ((A,), [(A, (0, 1, 2))], ("r0", "r2"), True),  # both have results, and Slurm makes it wait
    ],
)
def test_an_array_waits_only_for_where_those_before_it_stand_now(
    tmp_path: Path, waits: Any, rows, succeeded, is_stale: bool
) -> None:
    assert stale(tmp_path, waits, rows, succeeded) is is_stale


def test_an_array_that_slurm_lets_begin_is_left_alone(tmp_path: Path) -> None:
    assert not stale(tmp_path, (A,), [], ("r0", "r2"), reason="Priority")
    assert not stale(tmp_path / "other", (), [(A, (0, 1, 2))], requires=())


def test_places_in_the_queue_are_read_from_it() -> None:
    arrays = [Array(record=record(), job="12")]
    listing = QueueSnapshot(rows=(row("a" * 16, (0,), "RUNNING"), row("a" * 16, (2, 7)), row("f" * 16, (1,))))
    assert find_positions(arrays, listing) == {
        r: QueuePosition(array="a" * 16, index=n, size=3) for r, n in (("r0", 0), ("r2", 2))
    }
    assert pending_tasks(arrays[0], listing) == {2: "r2"}


@settings(max_examples=60, deadline=None)
@given(
    waits=st.lists(st.lists(st.integers(0, 7), max_size=2), min_size=2, max_size=40),
    gives=st.lists(st.integers(0, 7), min_size=40, max_size=40),
    most=st.integers(1, 9),
)
def test_every_array_waits_for_all_that_comes_before_its_runs(waits: Any, gives, most) -> None:
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
