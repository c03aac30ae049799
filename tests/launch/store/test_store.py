import errno
import json
import os
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from launch.errors import StoreError
from launch.store import files
from launch.store.attempts import write_record
from launch.store.claims import claim_attempt
from launch.store.manifest import freeze
from launch.store.processes import host, start_time
from launch.store.record_json import to_json
from launch.store.run_dirs import plan_run_dirs
from launch.store.state import Reason, State
from launch.store.store import Store, SweepStore
from s5.run_dir.result import write_result
from tests.launch.records import GONE, Planned
from tests.launch.stored_runs import HEADER, RECORD, attempted, entries_of, listed, plan_of, tree, write_runs


def test_root_is_the_argument_else_the_variable_else_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert Store().root == tmp_path / "runs"
    monkeypatch.setenv("LAUNCH_RUNS", "elsewhere")
    assert Store().root == tmp_path / "elsewhere"
    assert Store(tmp_path / "x").root == tmp_path / "x"
    assert Store().sweeps() == []


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", ".hidden", "a b", "a\nb", "-x"])
def test_name_of_a_sweep_must_be_a_folder(tmp_path: Path, name: str) -> None:
    with pytest.raises(StoreError, match="cannot be the name of a sweep"):
        Store(tmp_path).sweep(name)


def test_planning_again_changes_nothing(sweep: SweepStore) -> None:
    plans = [plan_of(number) for number in range(5)]
    report = write_runs(sweep, plans)
    assert sorted(report.missing) == sorted(plan.record.run_id for plan in plans)
    assert sorted(p.name for p in sweep.run_dir(plans[0].record.run_id).iterdir()) == ["config.yaml", "run.json"]
    before = tree(sweep.path)
    again = write_runs(sweep, plans)
    assert (again.missing, again.repairs, again.changed) == ({}, [], [])
    assert tree(sweep.path) == before


def test_a_plan_writes_nothing(sweep: SweepStore) -> None:
    assert len(plan_run_dirs(str(sweep.path), sweep.state().manifest, [plan_of(1)]).missing) == 1
    assert not sweep.path.exists()


def test_what_a_dead_planner_left_is_removed(sweep: SweepStore) -> None:
    listed(sweep)
    (sweep.path / f".new-{host()}-{GONE}-1").mkdir()
    mine = sweep.path / f".new-{host()}-{os.getpid()}-{start_time(os.getpid())}0"
    mine.mkdir()
    write_runs(sweep, [plan_of(1)])
    assert not list(sweep.path.glob(".new-*"))


@pytest.mark.parametrize("found", [None, "", "{", '{"run_id": 1}'], ids=["missing", "empty", "torn", "of another kind"])
def test_unreadable_run_record_is_written_again(sweep: SweepStore, found: str | None) -> None:
    (plan,) = listed(sweep)
    file = sweep.run_dir(plan.record.run_id) / "run.json"
    whole = file.read_bytes()
    file.unlink() if found is None else file.write_text(found)
    report = write_runs(sweep, [plan])
    assert [(one.file, one.before) for one in report.repairs] == [(str(file), None)]
    assert file.read_bytes() == whole


def test_run_directory_made_by_hand_is_completed(sweep: SweepStore) -> None:
    plan = plan_of(1)
    run_dir = sweep.run_dir(plan.record.run_id)
    run_dir.mkdir(parents=True)
    (run_dir / "notes.txt").write_text("mine")
    write_runs(sweep, [plan])
    assert sorted(p.name for p in run_dir.iterdir()) == ["config.yaml", "notes.txt", "run.json"]


def test_same_eight_digits_of_another_science_are_refused(sweep: SweepStore) -> None:
    (plan,) = listed(sweep)
    other = Planned(replace(plan.record, science_hash="f" * 64))
    words = r"has the science hash f{64}, but this directory belongs to a run with 0{64}"
    with pytest.raises(StoreError, match=words) as caught:
        write_runs(sweep, [other])
    assert "sweep of another name" in (caught.value.hint or "")


def test_keys_outside_the_science_follow_until_there_is_a_result(sweep: SweepStore) -> None:
    (plan,) = listed(sweep)
    run_dir = sweep.run_dir(plan.record.run_id)
    online = replace(plan, text=plan.text.replace("disabled", "offline"))
    (one,) = write_runs(sweep, [online]).repairs
    assert (one.before, one.after) == (plan.text, online.text)
    assert (run_dir / "config.yaml").read_text() == online.text
    write_result(run_dir, {})
    assert write_runs(sweep, [plan]).repairs == []
    assert (run_dir / "config.yaml").read_text() == online.text


def test_run_whose_config_resolves_differently_is_reported(sweep: SweepStore) -> None:
    (plan,) = listed(sweep)
    today = Planned(replace(plan.record, run_id="digits-lr=0-s0-ffffffff", science_hash="f" * 64))
    (changed,) = write_runs(sweep, [today]).changed
    assert (changed.run_id, changed.earlier) == (today.record.run_id, plan.record.run_id)
    sweep.state().freeze(HEADER, entries_of([today]))
    assert write_runs(sweep, [today]).changed == []


def test_generations_are_numbered_and_never_change(sweep: SweepStore) -> None:
    plans = listed(sweep, 2)
    first = (sweep.path / "manifest" / "0001.jsonl").read_bytes()
    assert sweep.state().freeze(HEADER, entries_of(plans[:1]))[1] == 2
    assert list(sweep.state().manifest.headers) == [1, 2]
    assert (sweep.path / "manifest" / "0001.jsonl").read_bytes() == first
    assert sweep.state().manifest.headers[2] == replace(HEADER, generation=2)
    assert [one.entry for one in sweep.state().manifest.listed.values()] == entries_of(plans)
    assert {view.run_id: view.generation for view in sweep.views()} == {
        plans[0].record.run_id: 2,
        plans[1].record.run_id: 1,
    }


def test_of_many_writers_each_gets_its_own_generation(sweep: SweepStore) -> None:
    listed(sweep)
    numbers: list[int] = []

    def add() -> None:
        numbers.append(freeze(str(sweep.path), HEADER, entries_of([plan_of()])).generation)

    writers = [threading.Thread(target=add) for _ in range(8)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert sorted(numbers) == list(range(2, 10))
    assert not list((sweep.path / "manifest").glob(".*"))


def _header_line(**change: object) -> bytes:
    return json.dumps(to_json(replace(HEADER, generation=2)) | change).encode() + b"\n"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"{", "the file is cut off"),
        (b"{\n", "line 1: not JSON"),
        (b"{}\n", "line 1"),
        (b'{"version": 9}\n', "version 9"),
        (_header_line(backend="slrm"), "line 1: backend: unknown word 'slrm'; did you mean slurm"),
    ],
)
def test_status_survives_a_bad_manifest_and_names_it(sweep: SweepStore, content: bytes, words: str) -> None:
    (plan,) = listed(sweep)
    bad = sweep.path / "manifest" / "0002.jsonl"
    bad.write_bytes(content)
    assert [view.run_id for view in sweep.views()] == [plan.record.run_id]
    (problem,) = sweep.state().manifest.problems
    assert str(bad) in problem and words in problem
    assert sweep.state().freeze(HEADER, entries_of([plan]))[1] == 3


def test_bad_line_of_a_manifest_costs_one_run(sweep: SweepStore) -> None:
    listed(sweep, 3)
    path = sweep.path / "manifest" / "0001.jsonl"
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines[:2], "garbage", lines[3]]) + "\n")
    assert len(sweep.views()) == 2
    assert f"{path}: line 3: not JSON" in sweep.state().manifest.problems[0]


def test_no_such_sweep_or_run(sweep: SweepStore) -> None:
    with pytest.raises(StoreError, match="no sweep 'a' under"):
        sweep.views()
    listed(sweep)
    with pytest.raises(StoreError, match="no run 'x' in the sweep 'a'"):
        sweep.state().view("x")


@pytest.mark.parametrize(
    ("number", "hint"),
    [
        (errno.ENOSPC, "free some space, then type the command again"),
        (errno.EROFS, "`--runs DIR` names another folder"),
        (errno.EACCES, "and wins over `runs_dir` of a profile"),
        (errno.EDQUOT, "quota"),
    ],
    ids=["full disk", "read-only file system", "no right to write", "quota"],
)
@pytest.mark.parametrize("step", ["plan", "freeze", "claim", "record"])
def test_disk_that_refuses_is_explained(
    sweep: SweepStore, monkeypatch: pytest.MonkeyPatch, number: int, hint: str, step: str
) -> None:
    (plan,) = listed(sweep)
    path = attempted(sweep, plan)

    def refuse(*_: object) -> int:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(files.os, "write", refuse)
    steps = {
        "plan": lambda: write_runs(sweep, [plan_of(7)]),
        "freeze": lambda: sweep.state().freeze(HEADER, entries_of([plan])),
        "claim": lambda: claim_attempt(str(sweep.run_dir(plan.record.run_id)), 1, RECORD),
        "record": lambda: write_record(str(path), RECORD),
    }
    with pytest.raises(StoreError, match=os.strerror(number)) as caught:
        steps[step]()
    assert str(sweep.path) in caught.value.message
    assert hint in (caught.value.hint or "")
    monkeypatch.undo()
    left = [p for p in sweep.path.rglob("*") if p.name.startswith((".new-", ".claim-")) or p.name.endswith(".tmp")]
    assert left == [], "nothing half-written stays"
    assert [view.state for view in sweep.views()] == [State.LOST]


def test_file_in_the_place_of_the_runs_is_explained(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("")
    with pytest.raises(StoreError, match=r"runs/a/manifest: Not a directory") as caught:
        write_runs(Store(tmp_path / "runs").sweep("a"), [plan_of()])
    assert "a part of the path is a file, not a folder" in (caught.value.hint or "")


def test_views_of_a_thousand_runs_read_little(sweep: SweepStore, monkeypatch: pytest.MonkeyPatch) -> None:
    plans = listed(sweep, 1000)
    for plan in plans[:500]:
        attempted(sweep, plan, replace(RECORD, ended=2.0, reason=Reason.SUCCESS))
        write_result(sweep.run_dir(plan.record.run_id), {})
    opened = 0
    real = os.open

    def count(*words: object, **more: object) -> int:
        nonlocal opened
        opened += 1
        return real(*words, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(files.os, "open", count)
    assert len(sweep.views()) == 1000
    assert opened <= 1000 + 10, "one small file for each run, and the manifest"
