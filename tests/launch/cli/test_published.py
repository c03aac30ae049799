"""A dry run shows the published numbers next to the runs."""

from pathlib import Path

import pytest

from launch.cli import main

SWEEP = """
experiment: digits/s5
command: ["true"]
grid: {optim.lr: [0.001, 0.002, 0.003]}
paper:
  - {metric: zero_shot/accuracy, value: 0.8, settings: {optim.lr: 0.002}, source: a}
  - {value: 0.9, settings: {optim.lr: 0.001}, source: b}
"""


def test_each_metric_has_a_column_of_its_published_numbers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LAUNCH_RUNS", str(tmp_path / "runs"))
    Path("x.yaml").write_text(SWEEP)
    assert main(["sweep", "x.yaml", "--dry-run"]) == 0
    header, *rows = capsys.readouterr().out.split("\n\n")[0].splitlines()
    assert header.split()[5:] == ["state", "published", "published", "zero_shot/accuracy"]
    assert [row.split()[7:] for row in rows] == [["90.00"], ["80.00"], []]
    assert rows[1].index("80.00") == header.index("published zero_shot/accuracy")
