"""Small data of a plug-in are read before anything starts; what is wrong with them is the user's to mend."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.plugins.command import SMALL, launch


@pytest.mark.parametrize(
    ("root", "length", "words"),
    [
        (
            "csv",
            50,
            r"error: lost\.yaml: base\.data\.root: data\.name=walks, example 0: \d+ steps; 1 to 50 are allowed",
        ),
        ("empty", 120, r"data\.root=.*empty: there are no files in this folder"),
        ("other", 120, r"base\.data\.root: data\.name=walks: plugin\.py, line \d+: .*other has no files slow/"),
        ("null", 120, r"data\.root is not set, and data\.name=walks is read from files"),
    ],
)
def test_faulty_data_are_found_before_anything_starts(
    walks: Path, own: Path, tmp_path: Path, root: str, length: int, words: str
) -> None:
    (own / "plugin.py").write_text((own / "plugin.py").read_text().replace("length=120", f"length={length}"))
    (tmp_path / "empty" / "inside").mkdir(parents=True)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "notes.txt").write_text("other files")
    (tmp_path / "lost.yaml").write_text(f"plugins: own\nexperiment: walks/s5\nbase: {{data.root: {root}}}\nseeds: 3\n")
    for options in (["--dry-run"], []) if root == "csv" else (["--dry-run"],):
        told = launch(tmp_path, "sweep", "lost.yaml", *options, code=2).stderr
        assert len(re.findall(words, told)) == 1, told
        assert "hint: " in told and "Traceback" not in told and not (tmp_path / "runs" / "lost").exists()


def test_a_load_that_wants_a_folder_says_so_before_anything_starts(own: Path, tmp_path: Path) -> None:
    text = (own / "plugin.py").read_text().replace(", needs_root=True", "")
    (own / "plugin.py").write_text(
        text.replace("assert root is not None", 'assert root is not None, "where are they?"')
    )
    told = launch(tmp_path, "run", "walks/s5", "--plugins", "own", "--dry-run", code=2).stderr
    assert re.search(r"data\.name=walks: plugin\.py, line \d+: where are they\?\n", told)


def test_large_data_are_not_read_while_the_user_waits(walks: Path, own: Path, tmp_path: Path) -> None:
    for number in range(2000):
        (walks / "slow" / f"many{number}.csv").touch()
    words = ["run", "walks/s5", "--plugins", "own", "data.root=csv", "--dry-run"]
    assert (
        f"data.name=walks: the plug-in's data were not read (they have more than 2,000 files or 50 MB): "
        f"`launch data prepare walks --plugins {own} --root {walks}` checks them"
    ) in launch(tmp_path, *words).stderr


def test_a_package_that_this_machine_lacks_is_told(walks: Path, own: Path, tmp_path: Path) -> None:
    text = (own / "plugin.py").read_text().replace("import numpy as np", "import not_there; import numpy as np")
    (own / "plugin.py").write_text(text)
    told = launch(tmp_path, "run", "walks/s5", "--plugins", "own", "data.root=csv", "--dry-run").stderr
    assert "were not read (" in told and "No module named 'not" in told


def test_what_load_says_of_its_files_is_not_a_crash(walks: Path, own: Path, tmp_path: Path) -> None:
    (walks / "fast" / "03.csv").write_text("dx,dy\n1,2\n3,four\n")
    words = [f"plugins=[{own}]", "experiment=walks/s5", f"data.root={walks}", *SMALL]
    command = [sys.executable, "-m", "s5", *words, "--run-dir", str(tmp_path / "run")]
    told = subprocess.run(command, capture_output=True, text=True, check=False)
    assert told.returncode == 2 and "Traceback" not in told.stderr
    assert re.search(r"s5: data\.name=walks: plugin\.py, line \d+: could not convert string .*four", told.stderr)
