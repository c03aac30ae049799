"""A run predicts without its data, and is evaluated where they lie now."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import s5
from s5.__main__ import main
from s5.data import load
from s5.data.input_facts import InputFacts
from s5.errors import UserError
from s5.training import same_data, stored_run
from s5.training.same_data import check_same_data
from s5.training.stored_run import load_run


@pytest.mark.parametrize(
    "facts",
    [
        InputFacts(length=7, d_stored=2, offset=(0.1, 1e-7), full_scale=(3.3, 1.0)),
        InputFacts(length=4, d_stored=1, documents=(2,), tokens=True, times=True, full_scale=255.0),
    ],
)
def test_facts_of_inputs_survive_json(facts: InputFacts) -> None:
    assert InputFacts.read({**json.loads(json.dumps(facts.to_json())), "later": 1}) == facts
    inputs = np.zeros((3, *facts.documents, facts.length, facts.d_stored), np.float32)
    lengths = np.full(inputs.shape[:-2], facts.length, np.int32)
    times = np.zeros((3, facts.length), np.float32) if facts.times else None
    again = InputFacts.of(facts.make_split(inputs, lengths, times))
    assert np.float32(again.offset).tolist() == np.float32(facts.offset).tolist()
    assert replace(again, offset=0.0, full_scale=1.0) == replace(facts, offset=0.0, full_scale=1.0)


def test_a_run_predicts_without_its_data_as_with_them(
    finished_run: tuple[Path, str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = load_run(finished_run[0])
    assert run.inputs is not None
    data = load(run.config.data)
    assert run.inputs == InputFacts.of(data)
    inputs = data.splits["test"].inputs[:3]
    older = replace(run, inputs=None).predict(inputs)  # as a run of an older version: it loads the data
    monkeypatch.setattr(stored_run, "load", lambda *_: pytest.fail("predict loads the data"))
    np.testing.assert_array_equal(run.predict(inputs), older)


def test_changed_data_are_told_by_what_differs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = {"files": 240, "bytes": 9000, "newest": 1.0, "sample": "new"}
    monkeypatch.setattr(same_data, "data_fingerprint", lambda *_: now)
    data = s5.make_config("experiment=digits/s5", f"data.root={tmp_path}").data
    for before, words in (
        ({**now, "sample": "old"}, "240 files of 9,000 bytes as before, with other names or other content"),
        ({**now, "sample": "old", "files": 239}, "239 files of 9,000 bytes before, 240 files of 9,000 bytes now"),
        ("old", "their names, sizes or content differ"),
    ):
        with pytest.raises(UserError, match=f"not those that the run was trained on: {words}"):
            check_same_data(before, data, hint="x")
    for same in (now, "new", None):
        check_same_data(same, data, hint="x")


def test_only_the_folder_of_the_data_is_named_for_an_evaluation(
    finished_run: tuple[Path, str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = load_run(finished_run[0], data_root=tmp_path)
    assert run.config.data.root == str(tmp_path)
    with pytest.raises(SystemExit):
        main(["evaluate", str(finished_run[0]), "train.epochs=3"])
    assert "only data.root=FOLDER can be named here" in capsys.readouterr().err
