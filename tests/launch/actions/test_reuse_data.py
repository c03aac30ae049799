"""A result is reused only if it is of the data that the new run would read."""

import json
import shutil
from pathlib import Path

import pytest

from launch.actions.changed_data import without_other_data
from launch.compose.composer import Composer
from launch.compose.run import Run
from launch.sweepfile.sweep import single_run
from s5.catalog import data_fingerprint, is_same_everywhere
from s5.catalog.fingerprint import fingerprint_of
from s5.config.plugins import load_plugins
from tests.plugins.command import EXAMPLES


def composed(recipe: str, *settings: str) -> Run:
    (run,) = Composer().plan_all(single_run(recipe, list(settings)).runs)
    return run


def stored(folder: Path, **facts: object) -> str:
    """Write the result of an equal run of another sweep."""
    run_dir = folder / "other" / "run"
    run_dir.mkdir(parents=True)
    record = {"version": 1, "attempt": 0, "metrics": {}, **facts}
    (run_dir / "result.json").write_text(json.dumps(record))
    return str(run_dir)


def test_files_without_a_fingerprint_on_one_side_are_not_the_same(tmp_path: Path) -> None:
    (tmp_path / "lra").mkdir()
    run = composed("lra/listops", f"data.root={tmp_path / 'lra'}")
    found = {run.record.run_id: stored(tmp_path)}
    kept, (line,) = without_other_data(found, [run])
    assert not kept
    assert "other/run, perhaps with other data (data.name=listops)" in line and "has none of its files" in line


@pytest.mark.parametrize("recipe", ["digits/s5", "pixel/smnist"])
def test_data_that_are_the_same_everywhere_need_no_fingerprint(tmp_path: Path, recipe: str) -> None:
    run = composed(recipe)
    found = {run.record.run_id: stored(tmp_path)}
    assert without_other_data(found, [run]) == (found, [])


def test_equal_runs_of_other_data_are_told(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(EXAMPLES / "walks", tmp_path / "own"))
    load_plugins([str(folder)])
    for name in ("first", "copy", "other"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.csv").write_text("1,2\n" if name != "other" else "1,3\n")
    run = composed("walks/s5", f"plugins=[{folder}]", f"data.root={tmp_path / 'copy'}")
    now = data_fingerprint("walks", str(tmp_path / "copy"))
    first = data_fingerprint("walks", str(tmp_path / "first"))
    assert now is not None and first is not None and now["sample"] == first["sample"], "its name does not count"
    before = fingerprint_of([tmp_path / "first"])  # as earlier versions stored it, with the name of the folder
    run_dir = stored(tmp_path, data=before)
    found = {run.record.run_id: run_dir}
    (Path(run_dir) / "config.yaml").write_text(f"data:\n  name: walks\n  root: {tmp_path / 'first'}\nseed: 0\n")
    assert without_other_data(found, [run]) == (found, [])
    (tmp_path / "copy" / "a.csv").write_text("1,3\n")
    kept, (line,) = without_other_data(found, [run])
    assert not kept and "an equal run has succeeded, such as other/run, with other data (data.name=walks)" in line
    assert f"{tmp_path / 'first'} then, {tmp_path / 'copy'} now; 1 file of 4 bytes as before, with other names" in line


def test_published_checksums_and_generators_determine_data() -> None:
    assert is_same_everywhere("fashion_mnist") and is_same_everywhere("listops_regenerated")
    assert not is_same_everywhere("listops") and not is_same_everywhere("walks")
    assert data_fingerprint("listops_regenerated") is None
