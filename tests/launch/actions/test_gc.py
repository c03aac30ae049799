import json
import os
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from launch.actions import gc
from launch.actions.plugins import PLUGINS
from launch.cli import main
from launch.errors import StoreError
from launch.store.state import State
from launch.store.store import Store
from tests.launch.made_sweep import Made, make_sweep, run_id_of

DONE = Made(state=State.SUCCEEDED, accuracy=0.9, attempts=2)
OPEN = {
    state: Made(state=state, settings={"lr": number}, attempts=2)
    for number, state in enumerate((State.RUNNING, State.FAILED, State.PREEMPTED, State.LOST))
}


def add_checkpoint(run_dir: Path, attempt: int, step: int) -> Path:
    path = run_dir / "attempts" / str(attempt) / "checkpoints" / str(step)
    (path / "state").mkdir(parents=True)
    (path / "state" / "array").write_bytes(b"x" * 100)
    (path / "checkpoint.json").write_text("{}")
    return path


def add_old(path: Path, *, folder: bool = False) -> Path:
    path.mkdir(parents=True) if folder else path.write_text("torn")
    make_old(path)
    return path


def make_old(path: Path) -> None:
    ancient = time.time() - 2 * gc.GRACE_S
    os.utime(path, (ancient, ancient))


def found(runs: Path) -> dict[Path, str]:
    store = Store(runs)
    return {item.path: item.kind for item in gc.find_garbage(store, store.sweeps())}


def test_a_succeeded_run_keeps_its_newest_checkpoint(tmp_path: Path) -> None:
    sweep = make_sweep(tmp_path, "x", [DONE])
    run_dir = sweep.run_dir(run_id_of(DONE))
    old = [add_checkpoint(run_dir, 0, 10), add_checkpoint(run_dir, 0, 20), add_checkpoint(run_dir, 1, 9)]
    kept = add_checkpoint(run_dir, 1, 100)
    assert found(tmp_path) == dict.fromkeys(old, "checkpoint")
    freed = gc.remove(Store(tmp_path), gc.find_garbage(Store(tmp_path), ["x"]))
    assert freed == 3 * 102
    assert not any(path.exists() for path in old)
    assert (kept / "state" / "array").exists()
    assert sweep.state().view(run_id_of(DONE)).state == State.SUCCEEDED


@pytest.mark.parametrize("state", OPEN)
def test_what_has_not_succeeded_keeps_everything(tmp_path: Path, state) -> None:
    sweep = make_sweep(tmp_path, "x", [OPEN[state]])
    run_dir = sweep.run_dir(run_id_of(OPEN[state]))
    assert sweep.views()[0].state == state
    add_checkpoint(run_dir, 0, 10)
    add_checkpoint(run_dir, 1, 20)
    add_old(run_dir / ".result.json.7.tmp")
    assert found(tmp_path) == {}


def test_torn_temporary_files_of_a_succeeded_run_go_once_they_are_old(tmp_path: Path) -> None:
    run_dir = make_sweep(tmp_path, "x", [DONE]).run_dir(run_id_of(DONE))
    add_checkpoint(run_dir, 1, 5)
    torn = add_old(run_dir / ".run.json.7.tmp")
    half = add_old(run_dir / "attempts/1/checkpoints/.5.77.tmp", folder=True)
    (run_dir / ".config.yaml.8.tmp").write_text("just now")
    assert found(tmp_path) == {torn: "temporary", half: "temporary"}


def test_snapshots_go_only_where_nothing_names_them(tmp_path: Path) -> None:
    sweep = make_sweep(tmp_path, "x", [DONE], snapshot="of-manifest")
    record = sweep.run_dir(run_id_of(DONE)) / "attempts/0/attempt.json"
    record.write_text(json.dumps(json.loads(record.read_text()) | {"snapshot": "of-attempt"}))
    for name in ("of-manifest", "of-attempt"):
        add_old(tmp_path / gc.SNAPSHOTS / name, folder=True)
    (tmp_path / gc.SNAPSHOTS / "just-taken").mkdir()
    unused = add_old(tmp_path / gc.SNAPSHOTS / "unused", folder=True)
    assert found(tmp_path) == {unused: "snapshot"}


def test_a_read_only_snapshot_can_be_removed(tmp_path: Path) -> None:
    folder = tmp_path / gc.SNAPSHOTS / "abc" / "launch"
    folder.mkdir(parents=True)
    (folder / "x.py").write_text("")
    (folder / "x.py").chmod(0o444)
    folder.chmod(0o555)
    folder.parent.chmod(0o555)
    make_old(folder.parent)
    item = gc.Garbage(path=folder.parent, size=1, kind="snapshot")
    assert gc.remove(Store(tmp_path), [item]) == 1
    assert list((tmp_path / gc.SNAPSHOTS).iterdir()) == []
    assert gc.remove(Store(tmp_path), [item]) == 0


def touch(root: Path) -> None:
    os.utime(root / gc.SNAPSHOTS / "again")


def freeze(root: Path) -> None:
    make_sweep(root, "y", [DONE], snapshot="again")


def at_rename(monkeypatch: pytest.MonkeyPatch, act: Callable[[], object] | None) -> list[str]:
    """Do something in the last moment before a thing is put out of sight; return what was moved, as it goes on."""
    rename, waiting = os.rename, [act] if act else []
    moved: list[str] = []

    def act_then_rename(source: Path | str, target: Path | str) -> None:
        if waiting:
            waiting.pop()()
        moved.append(Path(source).name)
        rename(source, target)

    monkeypatch.setattr(os, "rename", act_then_rename)
    return moved


@pytest.mark.parametrize("late", [False, True], ids=["before the removal", "at the renaming"])
@pytest.mark.parametrize("take_up", [touch, freeze])
def test_a_snapshot_that_is_taken_up_meanwhile_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, take_up, late: bool
) -> None:
    snapshot = add_old(tmp_path / gc.SNAPSHOTS / "again", folder=True)
    (snapshot / "x.py").write_text("")
    add_old(snapshot.with_name("other"), folder=True)
    make_old(snapshot)
    garbage = gc.find_garbage(Store(tmp_path), [])
    assert [item.path.name for item in garbage] == ["again", "other"]
    if not late:
        take_up(tmp_path)
    moved = at_rename(monkeypatch, partial(take_up, tmp_path) if late else None)
    gc.remove(Store(tmp_path), garbage)
    assert ("again" in moved) == late, "no run must miss its code for an instant"
    assert [path.name for path in snapshot.parent.iterdir()] == ["again"]
    assert (snapshot / "x.py").exists()


def test_a_snapshot_that_is_copied_anew_meanwhile_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    snapshot = add_old(tmp_path / gc.SNAPSHOTS / "again", folder=True)
    garbage = gc.find_garbage(Store(tmp_path), [])
    rename = os.rename

    def copied_behind(source: Path, target: Path) -> None:
        rename(source, target)
        if source == snapshot:
            snapshot.mkdir()
            (snapshot / "new.py").write_text("")
            os.utime(target)

    monkeypatch.setattr(os, "rename", copied_behind)
    gc.remove(Store(tmp_path), garbage)
    assert [path.name for path in snapshot.parent.iterdir()] == ["again"]
    assert (snapshot / "new.py").exists()


def test_a_manifest_that_became_unreadable_puts_the_snapshot_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    snapshot = add_old(tmp_path / gc.SNAPSHOTS / "unused", folder=True)
    sweep = make_sweep(tmp_path, "x", [DONE])
    garbage = gc.find_garbage(Store(tmp_path), [])
    at_rename(monkeypatch, lambda: (sweep.path / "manifest" / "0002.jsonl").write_text("{"))
    with pytest.raises(StoreError, match=r"0002\.jsonl"):
        gc.remove(Store(tmp_path), garbage)
    assert [path.name for path in snapshot.parent.iterdir()] == ["unused"]


@pytest.mark.parametrize("late", [False, True], ids=["before the removal", "at the renaming"])
def test_a_temporary_file_that_is_written_meanwhile_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, late: bool
) -> None:
    run_dir = make_sweep(tmp_path, "x", [DONE]).run_dir(run_id_of(DONE))
    torn = add_old(run_dir / ".run.json.7.tmp")
    garbage = gc.find_garbage(Store(tmp_path), ["x"])
    if late:
        at_rename(monkeypatch, lambda: os.utime(torn))
    else:
        os.utime(torn)
    assert gc.remove(Store(tmp_path), garbage) == 0
    assert torn.exists()


def test_an_unreadable_manifest_stops_the_removal_of_snapshots(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sweep = make_sweep(tmp_path, "x", [DONE])
    add_old(tmp_path / gc.SNAPSHOTS / "unused", folder=True)
    (sweep.path / "manifest" / "0002.jsonl").write_text("{")
    assert main(["gc", "--runs", str(tmp_path)]) == 2
    assert "0002.jsonl" in capsys.readouterr().err
    assert (tmp_path / gc.SNAPSHOTS / "unused").exists()


def test_the_verb_says_what_goes_and_a_dry_run_keeps_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run_dir = make_sweep(tmp_path, "x", [DONE]).run_dir(run_id_of(DONE))
    old, _ = add_checkpoint(run_dir, 0, 10), add_checkpoint(run_dir, 1, 20)
    assert main(["gc", "--dry-run", "--runs", str(tmp_path)]) == 0
    out, err = capsys.readouterr()
    assert out.splitlines()[1].split() == ["checkpoint", "102", "B", str(old)]
    assert err == "1 checkpoint: 102 B can go\n"
    assert old.exists()
    assert main(["gc", "x", "--runs", str(tmp_path)]) == 0
    assert capsys.readouterr().err == "1 checkpoint: 102 B freed\n"
    assert not old.exists()
    assert main(["gc", "x", "--runs", str(tmp_path)]) == 0
    assert capsys.readouterr().err == "nothing to delete\n"


def test_leftovers_of_a_removal_are_counted_as_folders(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_sweep(tmp_path, "x", [DONE])
    for name in ("one", "two"):
        add_old(tmp_path / f"{gc.REMOVED}{name}", folder=True)
    assert main(["gc", "--runs", str(tmp_path)]) == 0
    assert capsys.readouterr().err.startswith("2 removed folders: ")


def test_plugins_go_when_no_run_refers_to_them(tmp_path: Path) -> None:
    sweep = make_sweep(tmp_path, "x", [DONE])
    used, unused, young = (tmp_path / PLUGINS / (digit * 16) for digit in "abc")
    file = sweep.run_dir(run_id_of(DONE)) / "run.json"
    record = json.loads(file.read_text())
    record["overrides"] = [f"plugins=[{used / 'mine'}]", "plugin_hash=0"]
    file.write_text(json.dumps(record))
    for folder in (used, unused, young):
        (folder / "mine").mkdir(parents=True)
        (folder / "mine" / "plugin.py").write_text("x")
    growing = add_old(tmp_path / PLUGINS / f".{'d' * 16}.1f.tmp", folder=True)
    make_old(used)
    make_old(unused)
    assert found(tmp_path) == {unused: "plugin", growing: "temporary"}
    gc.remove(Store(tmp_path), gc.find_garbage(Store(tmp_path), []))
    assert sorted(path.name for path in (tmp_path / PLUGINS).iterdir()) == [used.name, young.name]


def test_no_plugin_goes_if_a_run_cannot_be_read(tmp_path: Path) -> None:
    sweep = make_sweep(tmp_path, "x", [DONE])
    add_old(tmp_path / PLUGINS / ("a" * 16), folder=True)
    file = sweep.run_dir(run_id_of(DONE)) / "run.json"
    file.write_text("torn")
    with pytest.raises(StoreError, match=r"run\.json: not JSON"):
        found(tmp_path)
