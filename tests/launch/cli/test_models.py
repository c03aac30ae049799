"""`launch models`: the families, and the sweeps in the current folder that train them."""

import json
from pathlib import Path

import pytest

from launch.cli import main


def test_the_families_and_the_sweeps_that_train_them(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sweeps = runs.parent / "sweeps"
    sweeps.mkdir()
    (sweeps / "two.yaml").write_text("experiment: digits/s5\ngrid: {model: [s4-digits, lru]}\n")
    (sweeps / "one.yaml").write_text("experiment: lra/text\n")
    (sweeps / "broken.yaml").write_text("experiment: [\n")
    assert main(["models"]) == 0
    listed, hint = capsys.readouterr()
    assert [line.split()[0] for line in listed.splitlines()[:3]] == ["family", "s5", "s4"]
    assert "launch models FAMILY" in hint
    assert main(["models", "--json"]) == 0
    found = {row["name"]: row["sweeps"] for row in json.loads(capsys.readouterr().out)}
    assert (found["s5"], found["s4"], found["dss"]) == (["sweeps/one.yaml"], ["sweeps/two.yaml"], [])
    assert main(["models", "lru"]) == 0
    text = capsys.readouterr().out
    assert "sweeps   sweeps/two.yaml" in text and "model.r_max=1.0  (number" in text


def test_a_plug_in_has_its_family_there(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    gru = Path(__file__).parents[3] / "docs/examples/gru"
    assert main(["models", "gru", "--plugins", str(gru)]) == 0
    assert "choose   model=gru" in capsys.readouterr().out
    assert main(["models", "gruu", "--plugins", str(gru)]) == 2
    assert "unknown family 'gruu'; did you mean gru?" in capsys.readouterr().err
