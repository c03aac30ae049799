"""Small data of a plug-in are read before anything starts; what is wrong with them is the user's to mend."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from s5.catalog import DataError
from s5.config import plugins
from s5.config.data import DataConfig
from s5.data import load
from s5.data.dataset import Dataset
from s5.plugins import Examples, Head, Plugin, PluginDataset
from tests.plugins.command import SMALL, launch


@pytest.mark.parametrize(
    ("root", "length", "words"),
    [
        (
            "csv",
            50,
            r"error: lost\.yaml: base\.data\.root: data\.name=walks, example 0 \(slow/00\.csv\): \d+ steps; 1 to 50",
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
    (own / "plugin.py").write_text(
        (own / "plugin.py").read_text().replace("assert root", "import not_there; assert root")
    )
    told = launch(tmp_path, "run", "walks/s5", "--plugins", "own", "data.root=csv", "--dry-run").stderr
    assert "were not read (" in told and "No module named 'not" in told


def test_what_load_says_of_its_files_is_not_a_crash(walks: Path, own: Path, tmp_path: Path) -> None:
    (walks / "fast" / "03.csv").write_text("dx,dy\n1,2\n3,four\n")
    words = [f"plugins=[{own}]", "experiment=walks/s5", f"data.root={walks}", *SMALL]
    command = [sys.executable, "-m", "s5", *words, "--run-dir", str(tmp_path / "run")]
    told = subprocess.run(command, capture_output=True, text=True, check=False)
    assert told.returncode == 2 and "Traceback" not in told.stderr
    assert f"s5: data.name=walks: {walks}/fast/03.csv, line 3, column 2: 'four' is not a number" in told.stderr
    assert "hint: correct the file" in told.stderr


def _load(monkeypatch: pytest.MonkeyPatch, found: object, **changes: Any) -> Dataset:
    """Load what a plug-in's `load` returns: three sequences of a feature, of at most four steps, of two classes."""
    facts = {"name": "mine", "load": lambda _: found, "n_classes": 2, "d_input": 1, "length": 4} | changes
    monkeypatch.setitem(plugins._loaded, "mine", Plugin(datasets=(PluginDataset(**facts),)))
    return load(DataConfig(name="mine"))


STEPS = [np.arange(4.0)[:, None], np.ones((3, 1)), np.ones((2, 1))]
REGRESSION = {"head": Head.regression, "n_classes": 1}


@pytest.mark.parametrize(
    ("changes", "facts", "words"),
    [
        ({"inputs": [*STEPS[:2], [[np.nan]]]}, {}, ": step 0, feature 0 is nan"),
        ({"inputs": [*STEPS[:2], [["x"]]]}, {}, ": not an array of numbers: could not"),
        ({"inputs": [*STEPS[:2], np.ones((2, 3))]}, {}, r": its shape is \(2, 3\); expected \(L, 1\)"),
        ({"inputs": [*STEPS[:2], np.ones((5, 1))]}, {}, ": 5 steps; 1 to 4 are allowed"),
        ({"inputs": [*STEPS[:2], [[1.0], [-1e39]]]}, {}, ": step 1, feature 0 is -1e[+]39, which float32 cannot store"),
        ({"labels": [0, 1, 2]}, {}, ": the label 2 is not a whole number from 0 to 1"),
        ({"labels": ["a", "b", "c"]}, {"class_names": ("a", "b")}, ": the label 'c' is not one of the class_names"),
        ({"labels": [*STEPS[:2], [["x"]]]}, REGRESSION, ", its targets: not an array of numbers: could not"),
        ({"labels": [*STEPS[:2], STEPS[0]]}, REGRESSION, r": targets of shape \(4, 1\); expected \(2, 1\)"),
        ({"labels": [*STEPS[:2], STEPS[2] * np.inf]}, REGRESSION, ", its targets: step 0, feature 0 is inf"),
    ],
)
@pytest.mark.parametrize("split", ["", "val"])
def test_every_message_about_an_example_has_its_name(
    monkeypatch: pytest.MonkeyPatch, split: str, changes: dict[str, Any], facts: dict[str, Any], words: str
) -> None:
    right = {"inputs": STEPS, "labels": STEPS if facts is REGRESSION else [0, 1, 0]}
    for names, place in (((), ""), (("a.csv", Path("b.csv"), Path("c/d.csv")), r" \(c/d\.csv\)")):
        wrong = Examples(**(right | changes), names=names)
        found = {"train": Examples(**right), "val": wrong, "test": Examples(**right)} if split else wrong
        at = f"^data.name=mine{split and f', {split}'}, example 2{place}"
        with pytest.raises(DataError, match=at + words):
            _load(monkeypatch, found, **facts)


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["a", "b"], "3 sequences, but 2 names"),
        (["a", "b", 7], r"names\[2\] is 7; expected a text or a path"),
        ("abc", "names is 'abc'; expected a text or a path for each example"),
        (3, "names is 3; expected a text or a path for each example"),
    ],
)
def test_names_are_a_text_for_each_example(monkeypatch: pytest.MonkeyPatch, names: Any, words: str) -> None:
    examples = Examples(inputs=STEPS, labels=[0, 1, 0])
    object.__setattr__(examples, "names", names)  # the tests' type checker would refuse them first
    with pytest.raises(DataError, match="^data.name=mine: " + words):
        _load(monkeypatch, examples)


@pytest.mark.parametrize(
    ("facts", "name"), [({"n_classes": 4}, "2, 3"), ({"n_classes": 3, "class_names": ("low", "mid", "hgh")}, "hgh")]
)
def test_a_class_without_an_example_is_refused(
    monkeypatch: pytest.MonkeyPatch, facts: dict[str, Any], name: str
) -> None:
    examples = Examples(inputs=np.ones((12, 4, 1)), labels=[0, 1] * 6)
    with pytest.raises(DataError, match=f"^data.name=mine: no example has the class {name}\nhint: "):
        _load(monkeypatch, examples, **facts)


def test_names_change_no_data(monkeypatch: pytest.MonkeyPatch) -> None:
    def loaded(**names: Any) -> list[np.ndarray]:
        inputs, labels = np.random.default_rng(0).normal(size=(12, 4, 1)), [0, 1] * 6
        splits = _load(monkeypatch, Examples(inputs=inputs, labels=labels, **names)).splits.values()
        return [array for split in splits for array in (split.inputs, split.labels, split.lengths)]

    for array, other in zip(loaded(), loaded(names=np.array(list("abcdefghijkl"))), strict=True):
        np.testing.assert_array_equal(array, other)
