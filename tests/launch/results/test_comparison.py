"""The rows of several sweeps side by side."""

import json

import pytest

from launch.cli import main
from launch.results.gather import gather_all
from tests.launch.edited_sweep import EditedSweep
from tests.launch.results.printed import printed


def test_sweeps_are_compared_row_by_row(runs: EditedSweep, capsys: pytest.CaptureFixture[str]) -> None:
    runs.write("{experiment: digits/s5, seeds: 2, base: {train.epochs: 3}, grid: {optim.lr: [1e-3, 2e-3, 4e-3]}}")
    runs.execute()
    other = EditedSweep(runs.file.parent)
    other.file = runs.file.with_name("other.yaml")
    other.write(
        "{experiment: digits/s5, seeds: 3, blocks: [{base: {train.epochs: 4}, grid: {optim.lr: [0.002, 0.001]}}, "
        "{base: {train.epochs: 3}, grid: {optim.lr: [0.004]}}, {grid: {optim.lr: [0.008]}}]}"
    )
    other.execute()
    found = json.loads(printed(capsys, "compare", "edited", "other", "--format", "json")[0])
    name = "test/accuracy"
    assert [(r["optim.lr"], r["train.epochs"], r[f"edited {name} n"], r[f"other {name} n"]) for r in found] == [
        (0.001, "3 | 4", 2, 3),
        (0.002, "3 | 4", 2, 3),
        (0.004, 3, 2, 3),
        (0.008, 25, 0, 3),
    ]
    first, last = found[0], found[-1]
    difference = first[f"other {name} mean"] - first[f"edited {name} mean"]
    assert first[f"other {name} difference"] == pytest.approx(difference)
    assert last[f"other {name} difference"] is None
    head, *body = printed(capsys, "compare", "edited", "other", "--sort", "-lr")[0].splitlines()
    assert head.split() == [
        "experiment",
        "lr",
        "epochs",
        "edited",
        name,
        "%",
        "other",
        name,
        "%",
        "other",
        "-",
        "edited",
    ]
    assert [line.split()[1] for line in body] == ["0.008", "0.004", "0.002", "0.001"]
    assert body[0].split()[3:] == ["—", *body[0].split()[4:8], "—"] and body[-1].endswith(f"{100 * difference:+.2f}")
    other.execute(overrides=("seeds=2", "train.epochs=3"))
    same = json.loads(printed(capsys, "compare", "edited", "other", "--format", "json")[0])
    assert [row[f"other {name} difference"] for row in same[:2]] == [0, 0], "the same runs, under the same names"
    assert same[2][f"other {name} n"] == 3, "the third seed of this configuration is there"
    assert main(["compare", "edited"]) == 2
    assert "one sweep cannot be compared" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("first", "second", "pairs"),
    [
        ("grid: {optim.lr: [1e-3, 2e-3], model.dropout: [0.1]}", "grid: {optim.lr: [1e-3, 2e-3]}", 2),
        (
            "grid: {optim.lr: [1e-3, 2e-3], model.bidirectional: [true]}",
            "base: {model.bidirectional: true}, grid: {optim.lr: [2e-3, 1e-3]}",
            2,
        ),
        ("grid: {optim.lr: [1e-3, 2e-3], model.dropout: [0.1, 0.2]}", "grid: {optim.lr: [1e-3, 2e-3]}", 2),
        ("grid: {model: [s4-digits, s5-digits]}", "base: {model: s4-digits}", 1),
        ("grid: {model: [s5-digits, lru-digits]}", "base: {}", 1),
        ("grid: {model: [s5-digits, lru-digits]}", "base: {model.dropout: 0.3}", 1),
        ("grid: {optim.lr: [1e-3, 2e-3]}", "grid: {optim.lr: [3e-3, 4e-3]}", 0),
        ("base: {optim.lr: 1e-3}", "base: {optim.lr: 2e-3}", 1),
    ],
    ids=[
        "the default as an axis",
        "base or grid",
        "one value of two",
        "a choice",
        "the recipe's own choice",
        "the recipe's own choice with a fixed value",
        "nothing shared",
        "one row each",
    ],
)
def test_rows_match_by_their_values_wherever_these_are_set(
    runs: EditedSweep, capsys: pytest.CaptureFixture[str], first: str, second: str, pairs: int
) -> None:
    other = EditedSweep(runs.file.parent)
    other.file = runs.file.with_name("other.yaml")
    for sweep, text, epochs in ((runs, first, 2), (other, second, 1)):
        blocks = f"blocks: [{{base: {{train.epochs: {epochs}}}}}]"
        sweep.write(f"{{experiment: digits/s5, seeds: 1, {text}, {blocks}}}")
        sweep.execute()
    out, err = printed(capsys, "compare", "edited", "other", "--format", "json")
    found = json.loads(out)
    missing = "no row of other matches one of edited: rows match by their values of experiment, optim.lr\n"
    assert err == ("" if pairs else missing)
    both = [row for row in found if row["edited test/accuracy n"] and row["other test/accuracy n"]]
    assert [row["train.epochs"] for row in both] == ["2 | 1"] * pairs
    of_each = [gather_all([sweep.store.sweep(name).state()]) for sweep, name in ((runs, "edited"), (other, "other"))]
    assert len(found) == sum(len(list(rows)) for rows in of_each) - pairs
