"""Raw data that change after a run has succeeded are told; the run is not executed again by itself."""

import os
from pathlib import Path

import pytest

from launch.actions.changed_data import describe_changed_data
from launch.actions.plan import plan_sweep
from launch.actions.submit import submit
from launch.store.state import State
from launch.store.store import Store
from launch.sweepfile.sweep import load_sweep
from s5.catalog import data_fingerprint
from s5.catalog.fingerprint import SAMPLE_BYTES, describe_difference, fingerprint_of
from s5.run_dir.result import publish, write_result
from tests.launch.command_sweep import LOCAL, code_under


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "data"
    (made / "raw" / "inner").mkdir(parents=True)
    (made / "raw" / "a.csv").write_text("1,2\n3,4\n")
    (made / "raw" / "inner" / "b.csv").write_text("5,6\n")
    (made / "raw" / "long.bin").write_bytes(bytes(5 * SAMPLE_BYTES))
    return made


def test_a_fingerprint_is_of_names_sizes_and_content(folder: Path, tmp_path: Path) -> None:
    raw = folder / "raw"
    first = fingerprint_of([raw])
    assert first is not None and (first["files"], first["bytes"]) == (3, 12 + 5 * SAMPLE_BYTES)
    os.utime(raw / "a.csv", (1, 2_000_000_000))
    touched = fingerprint_of([raw])
    assert touched is not None and touched["newest"] == 2_000_000_000
    assert touched["sample"] == first["sample"], "a copy with other times is the same"
    raw.rename(tmp_path / "raw")
    moved = fingerprint_of([tmp_path / "raw"])
    assert moved == touched, "the place does not matter"
    nameless = fingerprint_of([tmp_path / "raw"], prefix="")
    (tmp_path / "raw").rename(tmp_path / "copy")
    assert fingerprint_of([tmp_path / "copy"], prefix="") == nameless, "nor does the name of the folder"
    assert fingerprint_of([tmp_path / "copy"], prefix="raw/") == touched, "earlier versions counted it"
    (tmp_path / "copy").rename(tmp_path / "raw")
    samples = {first["sample"]}
    edits = [
        lambda: (tmp_path / "raw/a.csv").write_text("1,2\n3,5\n"),
        lambda: (tmp_path / "raw/inner/b.csv").rename(tmp_path / "raw/inner/c.csv"),
        lambda: (tmp_path / "raw/long.bin").write_bytes(bytes(5 * SAMPLE_BYTES - 1) + b"x"),
        lambda: (tmp_path / "raw/new.csv").write_text(""),
    ]
    for number, edit in enumerate(edits, 2):
        edit()
        found = fingerprint_of([tmp_path / "raw"])
        samples.add(found["sample"] if found else "")
        assert len(samples) == number
    assert fingerprint_of([tmp_path / "nothing"]) is None and fingerprint_of([]) is None


def test_what_differs_between_fingerprints_is_said() -> None:
    one = {"files": 2, "bytes": 1234, "newest": 1.0, "sample": "a"}
    same_size = "2 files of 1,234 bytes as before, with other names or other content"
    assert describe_difference(one, {**one, "sample": "b"}) == same_size
    more = "2 files of 1,234 bytes before, 1 file of 1,235 bytes now"
    assert describe_difference(one, {**one, "files": 1, "bytes": 1235, "sample": "b"}) == more


def test_data_of_a_package_and_missing_data_have_none(tmp_path: Path) -> None:
    assert data_fingerprint("digits") is None
    assert data_fingerprint("mnist", str(tmp_path)) is None
    assert data_fingerprint("no-such-data") is None


def test_a_plan_tells_of_data_that_have_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / "data"
    (root / "mnist").mkdir(parents=True)
    for name in ("train-images", "train-labels", "t10k-images", "t10k-labels"):
        (root / "mnist" / f"{name}-idx{3 if 'images' in name else 1}-ubyte").write_bytes(name.encode())
    (tmp_path / "x.yaml").write_text(
        f"{{experiment: pixel/smnist, seeds: 2, base: {{data.root: {root}, train.epochs: 1}}}}"
    )
    store, code = Store(tmp_path / "runs"), code_under(tmp_path)
    monkeypatch.setenv("S5_CACHE", str(tmp_path / "cache"))
    before = data_fingerprint("mnist", str(root))
    assert before is not None and before["files"] == 4
    for number, view in enumerate(submit(plan_sweep(load_sweep(tmp_path / "x.yaml"), store, LOCAL), source=code).views):
        attempt = Path(view.run_dir, "attempts", "0")
        attempt.mkdir(parents=True)
        write_result(attempt, {"test/accuracy": 0.9}, **({"data": before} if number == 0 else {}))
        publish(attempt)
    plan = plan_sweep(load_sweep(tmp_path / "x.yaml"), store, LOCAL)
    assert describe_changed_data(plan.runs, plan.views) == []
    (root / "mnist" / "t10k-labels-idx1-ubyte").write_bytes(b"other labels")
    plan = plan_sweep(load_sweep(tmp_path / "x.yaml"), store, LOCAL)
    (line,) = [warning for warning in plan.warnings if "data changed since" in warning]
    assert line.startswith(f"data changed since: mnist ({root}): 4 files of 46 bytes before, 4 files of 47 bytes now")
    assert plan.views[0].run_id in line and "will not run again" in line
    assert {view.state for view in plan.views} == {State.SUCCEEDED}
