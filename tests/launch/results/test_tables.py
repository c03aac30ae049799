"""What a table says of a sweep that was edited, narrowed or repeated: each form of it says the same."""

import csv
import io
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

import launch
from launch.cli import main
from launch.results.gather import gather_all
from launch.specs.resources import Resources
from launch.store.manifest import freeze
from launch.store.records import ManifestEntry
from s5.run_dir.result import publish, write_result
from tests.launch.edited_sweep import EditedSweep
from tests.launch.results.printed import printed

QUICK = "{experiment: digits/s5, seeds: 2, base: {train.epochs: 25}, grid: {model.bidirectional: [false, true]}}"


def lines(text: str) -> list[list[str]]:
    return [line.split() for line in text.splitlines()]


def test_an_override_of_some_runs_is_a_column_in_every_form(
    runs: EditedSweep, capsys: pytest.CaptureFixture[str]
) -> None:
    runs.write(QUICK)
    assert runs.execute() == 4
    assert [row.settings for row in runs.results()] == [{"model.bidirectional": False}, {"model.bidirectional": True}]
    assert runs.execute(only="*false-s0*", overrides=("train.epochs=1",)) == 1
    wanted = [(False, 25, [0, 1]), (True, 25, [0, 1]), (False, 1, [0])]

    def of(row: Any) -> tuple[bool, int, list[int]]:
        return row["settings"]["model.bidirectional"], row["settings"]["train.epochs"], row["seeds"]

    out, err = printed(capsys, "results", "edited")
    assert [row[1:4] for row in lines(out)] == [
        ["bidirectional", "epochs", "seeds"],
        ["false", "25", "2"],
        ["true", "25", "2"],
        ["false", "1", "1"],
    ]
    assert "left out" not in err
    assert [of(row) for row in json.loads(printed(capsys, "results", "edited", "--format", "json")[0])] == wanted
    found = csv.DictReader(io.StringIO(printed(capsys, "results", "edited", "--format", "csv")[0]))
    assert [(row["train.epochs"], row["n"]) for row in found] == [("25", "2"), ("25", "2"), ("1", "1")]
    records = launch.load_results("edited").to_records()
    assert [(record["train.epochs"], record["n"]) for record in records] == [(25, 2), (25, 2), (1, 1)]
    page = printed(capsys, "report", "edited", "--output", "-")[0]
    assert page.count("<td>25</td>") == 2 and page.count("<td>1</td>") == 1


def test_what_the_file_has_no_longer_is_left_out_and_told(
    runs: EditedSweep, capsys: pytest.CaptureFixture[str]
) -> None:
    runs.write(QUICK)
    runs.execute()
    runs.execute(overrides=("train.epochs=2",))
    out, err = printed(capsys, "results", "edited")
    assert len(lines(out)) == 3 and "epochs" not in out
    assert "edited: 4 earlier runs are left out" in err and "--all shows them" in err
    told = printed(capsys, "status", "edited")[1]
    assert "edited: 4 of them are earlier runs: the sweep as last submitted has another configuration" in told
    assert "4 earlier runs are left out" in printed(capsys, "report", "edited", "--output", "-")[0]
    assert len(runs.results().left_out) == 4
    out, err = printed(capsys, "results", "edited", "--all")
    assert [row[2] for row in lines(out)] == ["epochs", "2", "2", "25", "25"]
    assert [row[-1] for row in lines(out)] == ["current", "yes", "yes", "no", "no"]
    assert "left out" not in err
    for form in (["--format", "csv"], ["--format", "csv", "--per-run"]):
        found = list(csv.DictReader(io.StringIO(printed(capsys, "results", "edited", "--all", *form)[0])))
        assert {(row["train.epochs"], row["current"]) for row in found} == {("2", "True"), ("25", "False")}
    assert runs.execute() == 0, "the file is typed again, and its runs are there"
    assert [row.settings["model.bidirectional"] for row in runs.results()] == [False, True]


def test_blocks_that_differ_in_what_they_fix_have_rows_of_their_own(runs: EditedSweep) -> None:
    runs.write(
        "{experiment: digits/s5, seeds: 2, blocks: [{base: {optim.lr: 0.002, model.dropout: 0.0}}, "
        "{base: {optim.lr: 0.002}}, {grid: {train.epochs: [3, 4]}}]}"
    )
    runs.execute()
    assert [row.settings for row in runs.results()] == [
        {"train.epochs": 25, "model.dropout": 0.0, "optim.lr": 0.002},
        {"train.epochs": 25, "model.dropout": 0.1, "optim.lr": 0.002},
        {"train.epochs": 3, "model.dropout": 0.1, "optim.lr": 0.01},
        {"train.epochs": 4, "model.dropout": 0.1, "optim.lr": 0.01},
    ]


def test_seeds_of_one_configuration_in_two_blocks_are_one_row(runs: EditedSweep) -> None:
    runs.write(
        "{experiment: digits/s5, blocks: [{name: a, seeds: [0, 1], base: {optim.lr: 2e-3}}, "
        "{name: b, seeds: [2, 1], grid: {optim.lr: [0.002, 0.003]}}]}"
    )
    runs.execute()
    first, second = runs.results()
    assert (first.seeds, second.seeds) == ([0, 1, 2], [1, 2])
    assert (first.settings["block"], second.settings["block"]) == ("a, b", "b")


def test_recipes_differ_in_the_columns_that_the_sweep_sets_itself(runs: EditedSweep) -> None:
    runs.write(
        "{experiment: [digits/s5, mnist5k/sequential], blocks: [{base: {train.batch_size: 8}}, "
        "{base: {model.dropout: 0.3}}]}"
    )
    runs.execute()
    assert [set(row.settings) for row in runs.results()] == [{"train.batch_size", "model.dropout"}] * 4
    runs.write("{experiment: digits/s5, grid: {model: [s5-digits, lru-digits], optim.lr: [0.001, 0.002]}}")
    runs.execute()
    assert [set(row.settings) for row in runs.results()] == [{"model", "optim.lr"}] * 4


def test_commands_that_differ_are_a_column_if_nothing_else_tells_them_apart(runs: EditedSweep) -> None:
    runs.write("{experiment: digits/s5, blocks: [{command: [echo, a b]}, {command: [echo, c]}]}")
    runs.execute()
    assert [row.settings for row in runs.results()] == [{"command": "echo 'a b'"}, {"command": "echo c"}]


def test_a_recipe_that_changed_between_two_seeds_shows_its_change(runs: EditedSweep) -> None:
    """As after `git pull` and a submission of the seed that was missing."""
    runs.write("{experiment: digits/s5, seeds: 2, grid: {optim.lr: [0.001]}}")
    runs.execute(only="seed=0")
    runs.write("{experiment: digits/s5, seeds: 2, grid: {optim.lr: [0.001]}, base: {model.d_model: 24}}")
    runs.execute(only="seed=1")
    assert [(row.settings["model.d_model"], row.seeds) for row in runs.results()] == [(64, [0]), (24, [1])]


def test_a_run_that_was_executed_twice_counts_once(runs: EditedSweep, capsys: pytest.CaptureFixture[str]) -> None:
    """Older versions executed a run again under another name."""
    runs.write("{experiment: digits/s5, seeds: 3, grid: {optim.lr: [0.001]}}")
    runs.execute()
    before = runs.numbers()
    state = runs.sweep.state()
    entries: list[ManifestEntry] = []
    for view in state.views():
        name = view.run_id.replace("lr=0.001", "dropout=0.1-lr=0.001")
        copy = Path(view.run_dir).parent / name
        shutil.copytree(view.run_dir, copy)
        (copy / "result.json").unlink()
        write_result(copy / "attempts" / "0", {"test/accuracy": 0.5})
        publish(copy / "attempts" / "0")
        settings = {"model.dropout": 0.1, **view.settings}
        entries.append(
            ManifestEntry(run_id=name, experiment="digits/s5", settings=settings, seed=view.seed, resources=Resources())
        )
    freeze(state.folder, state.manifest.newest_header(), entries)
    (row,) = runs.results()
    assert (row.seeds, [n for n, _, _ in before]) == ([0, 1, 2], [3])
    out, err = printed(capsys, "results", "edited", "--per-run")
    assert len(lines(out)) == 4
    assert "3 repeated runs are left out" in err
    assert runs.execute() == 0, "typed again, no third"


def test_runs_have_rows_with_every_metric(runs: EditedSweep, capsys: pytest.CaptureFixture[str]) -> None:
    runs.write("{experiment: digits/s5, seeds: 2, grid: {optim.lr: [0.001, 0.002]}}")
    for view in runs.submit().views:
        attempt = Path(view.run_dir, "attempts", "0")
        attempt.mkdir(parents=True)
        loss = view.seed + view.settings["optim.lr"]
        write_result(attempt, {"test/accuracy": 0.9, "val/loss": loss}, parameters=1234, steps=70, best_step=50)
        publish(attempt)
    text = printed(capsys, "results", "edited", "--runs", "--format", "json", "--sort", "-loss")[0]
    found = json.loads(text)
    assert [row["val/loss"] for row in found] == [1.002, 1.001, 0.002, 0.001]
    assert {(row["parameters"], row["steps"], row["test/accuracy"], row["attempts"]) for row in found} == {
        (1234, 70, 0.9, 1)
    }
    header, first, *_ = lines(printed(capsys, "results", "edited", "--per-run", "--sort", "val/loss")[0])
    assert {"run", "optim.lr", "seed", "state", "val/loss", "parameters", "attempts"} <= set(header)
    assert first[header.index("optim.lr")] == "0.001"
    words = ["--metric", "val/loss", "--metric", "test/accuracy", "--sort", "-lr"]
    table = printed(capsys, "results", "edited", *words)[0]
    assert [row[:3] for row in lines(table)] == [
        ["experiment", "lr", "seeds"],
        ["digits/s5", "0.002", "2"],
        ["digits/s5", "0.001", "2"],
    ]
    assert lines(table)[0][3:] == ["val/loss", "test/accuracy", "%"]
    assert lines(table)[1][3:] == ["0.50", "±", "0.71", "90.00", "±", "0.00"]
    assert main(["results", "edited", "--sort", "lrr"]) == 2
    assert "unknown column 'lrr'" in (err := capsys.readouterr().err) and "the columns are optim.lr, experiment" in err


def test_rows_of_several_sweeps_stand_in_one_table(runs: EditedSweep, capsys: pytest.CaptureFixture[str]) -> None:
    runs.write("{experiment: digits/s5, seeds: 2, base: {train.epochs: 3}}")
    runs.execute()
    other = EditedSweep(runs.file.parent)
    other.file = runs.file.with_name("other.yaml")
    other.write("{experiment: digits/s5, seeds: 3, base: {train.epochs: 4}}")
    other.execute()
    out = printed(capsys, "results", "edited", "other")[0]
    assert [row[:4] for row in lines(out)] == [
        ["sweep", "experiment", "epochs", "seeds"],
        ["edited", "digits/s5", "3", "2"],
        ["other", "digits/s5", "4", "3"],
    ]
    rows = gather_all([runs.sweep.state(), other.store.sweep("other").state()]).to_records()
    assert [(row["sweep"], row["train.epochs"], row["n"]) for row in rows] == [("edited", 3, 2), ("other", 4, 3)]


def test_columns_keep_the_order_of_the_file_in_every_table(
    runs: EditedSweep, capsys: pytest.CaptureFixture[str]
) -> None:
    runs.write("{experiment: digits/s5, grid: {optim.lr: [0.003], model.dropout: [0.2, 0.3], model.d_model: [8]}}")
    submission = runs.submit()
    for view in submission.views:
        runs.finish(view)
    first = gather_all([submission.state.refreshed()]).to_records()
    again = runs.submit()  # the generation that is stored
    names = ["optim.lr", "model.dropout", "model.d_model"]
    for records in (first, gather_all([again.state]).to_records(), runs.results().to_records()):
        assert [name for name in records[0] if name in names] == names
    assert lines(printed(capsys, "results", "edited")[0])[0][1:4] == ["lr", "dropout", "d_model"]
    header = printed(capsys, "results", "edited", "--per-run", "--format", "csv")[0].splitlines()[0].split(",")
    assert [name for name in header if name in names] == names


def test_a_table_is_sorted_by_a_metric_that_only_the_sort_names(
    runs: EditedSweep, capsys: pytest.CaptureFixture[str]
) -> None:
    def execute(sweep: EditedSweep, sign: int) -> None:
        for view in sweep.submit().views:
            attempt = Path(view.run_dir, "attempts", "0")
            attempt.mkdir(parents=True)
            lr = view.settings["optim.lr"]
            write_result(attempt, {"test/accuracy": 0.9, "val/loss": sign * lr, "val/accuracy": 1 - lr})
            publish(attempt)

    runs.write("{experiment: digits/s5, grid: {optim.lr: [0.002, 0.001, 0.003]}}")
    execute(runs, 1)
    for word, order in (("val/loss", "123"), ("-loss", "321"), ("val/accuracy", "321"), ("mean", "213")):
        table = lines(printed(capsys, "results", "edited", "--sort", word)[0])
        assert [row[1] for row in table[1:]] == [f"0.00{digit}" for digit in order]
        assert table[0][3:5] == ["test/accuracy", "%"], "the sweep's own metric stays the first"
        assert table[0][5:6] == ([] if word == "mean" else [word.replace("-loss", "val/loss")])
    records = json.loads(printed(capsys, "results", "edited", "--sort", "-val/loss", "--format", "json")[0])
    assert [(row["metric"], row["settings"]["optim.lr"]) for row in records[:3]] == [
        ("test/accuracy", 0.003),
        ("val/loss", 0.003),
        ("test/accuracy", 0.002),
    ]
    assert main(["results", "edited", "--sort", "val/los"]) == 2
    assert "did you mean val/loss?" in capsys.readouterr().err
    other = EditedSweep(runs.file.parent)
    other.file = runs.file.with_name("other.yaml")
    other.write("{experiment: digits/s5, seeds: [1], grid: {optim.lr: [0.002, 0.001, 0.003]}}")
    execute(other, -1)
    for word, order in (("val/loss", "123"), ("-edited val/loss", "321"), ("other val/loss", "321")):
        table = lines(printed(capsys, "compare", "edited", "other", "--sort", word)[0])
        assert [row[1] for row in table[1:]] == [f"0.00{digit}" for digit in order]
        assert "val/loss" in table[0] and "test/accuracy" in table[0]


def test_the_numbers_of_papers_have_columns_only_if_there_are_any(
    runs: EditedSweep, capsys: pytest.CaptureFixture[str]
) -> None:
    runs.write("{experiment: digits/s5, base: {train.epochs: 2}}")
    runs.execute()
    assert printed(capsys, "report", "edited")[1] == f"wrote {Path('edited.html').absolute()}\n"
    page = Path("edited.html").read_text()
    assert "<p>1 run: 1 succeeded</p>" in page
    for text in (page, runs.results()._repr_html_()):
        assert "seeds" in text and "published" not in text and "difference" not in text
    paper = [{"source": "a paper", "value": 0.75}]
    runs.write(json.dumps({"experiment": "digits/s5", "base": {"train.epochs": 2}, "paper": paper}))
    runs.submit()
    printed(capsys, "report", "edited")
    for text in (Path("edited.html").read_text(), runs.results()._repr_html_()):
        assert "published" in text and "75.00" in text
