import csv
import io
import json
import re
import statistics
from dataclasses import asdict
from pathlib import Path

import pytest

from launch.errors import LaunchError
from launch.results import export
from launch.results import table as results
from launch.results.configuration import key_of
from launch.results.groups import group_runs
from launch.specs.resources import Resources
from launch.store.records import PublishedNumber
from launch.store.state import State
from launch.store.view import RunView

METRIC = "test/accuracy"


def view(seed: int = 0, state: State = State.SUCCEEDED, run_dir: str = "", **settings: object) -> RunView:
    name = ",".join(f"{k}={v}" for k, v in settings.items())
    return RunView(
        sweep="x",
        run_id=f"digits-s5-{name}-s{seed}",
        experiment="digits/s5",
        settings=settings,
        seed=seed,
        state=state,
        attempts=1,
        generation=1,
        reason=None,
        message=None,
        host=None,
        pid=None,
        started=None,
        ended=None,
        step=None,
        steps=None,
        run_dir=run_dir,
        resources=Resources(),
    )


def scored(*values: float, **settings: object) -> tuple[list[RunView], dict[str, dict[str, float]]]:
    views = [view(seed, **settings) for seed in range(len(values))]
    return views, {key_of(v): {METRIC: value} for v, value in zip(views, values, strict=True)}


def make_rows(
    views: list[RunView],
    metrics: dict[str, dict[str, float]],
    metric: str,
    published: list[PublishedNumber] | None = None,
) -> list[results.ResultRow]:
    return results.make_rows(group_runs(views, {}), metrics, metric, published or [])


def test_a_row_holds_mean_and_sample_deviation_over_its_seeds() -> None:
    views, metrics = scored(0.95, 0.97, 0.99)
    (row,) = make_rows(views, metrics, METRIC)
    assert row.seeds == [0, 1, 2]
    assert row.mean == pytest.approx(0.97)
    assert row.std == pytest.approx(statistics.stdev([0.95, 0.97, 0.99]))
    assert row.states == {"SUCCEEDED": 3}


def test_one_seed_has_no_deviation() -> None:
    (row,) = make_rows(*scored(0.5), METRIC)
    assert (row.mean, row.std) == (0.5, None)


def test_runs_without_a_result_count_in_the_states_only() -> None:
    views, metrics = scored(0.9, 0.8)
    views += [view(2, State.FAILED), view(3, State.RUNNING)]
    (row,) = make_rows(views, metrics, METRIC)
    assert row.seeds == [0, 1]
    assert row.states == {"SUCCEEDED": 2, "FAILED": 1, "RUNNING": 1}


def test_a_succeeded_run_without_the_metric_is_no_seed_of_the_row() -> None:
    (row,) = make_rows([view(0)], {}, METRIC)
    assert (row.seeds, row.mean, row.states) == ([], None, {"SUCCEEDED": 1})


def test_settings_make_rows_in_the_order_of_the_sweep() -> None:
    first, one = scored(0.9, lr=0.1)
    second, two = scored(0.8, lr=0.01)
    table = make_rows(first + second, one | two, METRIC)
    assert [row.settings for row in table] == [{"lr": 0.1}, {"lr": 0.01}]


def number(value: float, metric: str = METRIC, experiment: str = "digits/s5", **settings: object) -> PublishedNumber:
    return PublishedNumber(experiment=experiment, settings=settings, metric=metric, value=value)


def test_the_published_number_that_names_most_settings_wins() -> None:
    views, metrics = scored(0.9, lr=0.1, n=2)
    row = make_rows(views, metrics, METRIC, [number(0.5), number(0.7, lr=0.1), number(0.6, lr=0.2)])[0]
    assert row.published == 0.7
    assert row.difference == pytest.approx(0.2)


def test_a_published_number_without_runs_is_a_row_that_misses_its_mean() -> None:
    views, metrics = scored(0.9)
    table = make_rows(views, metrics, METRIC, [number(0.8), number(0.6, experiment="other/s5", lr=0.2)])
    assert [row.experiment for row in table] == ["digits/s5", "other/s5"]
    missing = table[1]
    assert (missing.mean, missing.difference, missing.published) == (None, None, 0.6)
    assert (missing.settings, missing.seeds, missing.states) == ({"lr": 0.2}, [], {})


def test_numbers_for_another_metric_are_left_out() -> None:
    (row,) = make_rows(*scored(0.9), METRIC, [number(0.8, metric="val/accuracy")])
    assert row.published is None


def test_json_has_exactly_the_promised_keys() -> None:
    views, metrics = scored(0.9, 0.7, lr=0.1)
    table = make_rows(views, metrics, METRIC, [number(0.75)])
    (row,) = json.loads(export.to_json([asdict(row) for row in table]))
    assert row == {
        "experiment": "digits/s5",
        "settings": {"lr": 0.1},
        "seeds": [0, 1],
        "metric": METRIC,
        "mean": pytest.approx(0.8),
        "std": pytest.approx(0.1414213562),
        "published": 0.75,
        "difference": pytest.approx(0.05),
        "states": {"SUCCEEDED": 2},
        "sweep": "x",
        "run_ids": ["digits-s5-lr=0.1-s0", "digits-s5-lr=0.1-s1"],
        "current": True,
    }


def test_csv_has_a_column_per_setting_and_empty_cells_for_what_is_missing() -> None:
    views, metrics = scored(0.9, **{"optim.lr": 0.1})
    table = make_rows([*views, view(0, State.FAILED, kind='a "quoted", one')], metrics, METRIC)
    first, second = csv.DictReader(io.StringIO(export.to_csv(export.row_records(table))))
    assert (first["optim.lr"], first["kind"], first["mean"], first["std"]) == ("0.1", "", "0.9", "")
    assert (second["optim.lr"], second["kind"], second["mean"]) == ("", 'a "quoted", one', "")


def test_parquet_carries_the_same_table() -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    views, metrics = scored(0.9, 0.7, lr=0.1, depth=2)
    views += [view(0, State.FAILED, lr="choice", depth=None)]
    content = export.to_parquet(export.row_records(make_rows(views, metrics, METRIC)))
    rows = parquet.read_table(io.BytesIO(content)).to_pylist()
    assert rows[0]["seeds"] == [0, 1]
    assert rows[0]["mean"] == pytest.approx(0.8)
    assert (rows[0]["lr"], rows[1]["lr"]) == ("0.1", "choice")
    assert (rows[0]["depth"], rows[1]["depth"]) == (2, None)
    assert json.loads(rows[1]["states"]) == {"FAILED": 1}


def test_parquet_without_pyarrow_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(LaunchError, match="pyarrow") as caught:
        export.to_parquet([])
    assert "pip install" in (caught.value.hint or "")


def test_runs_without_the_sweeps_metric_are_shown_by_what_they_have() -> None:
    errors = {"a": {"test/loss": 0.5, "test/mse": 0.1}, "b": {"test/loss": 0.4, "test/mse": 0.2}}
    assert results.choose_metric("test/accuracy", errors) == "test/mse"
    assert results.choose_metric("test/loss", errors) == "test/loss"
    assert results.choose_metric("test/accuracy", {"a": {"score": 1.0}}) == "test/accuracy"
    assert results.choose_metric("test/accuracy", {}) == "test/accuracy"


def test_an_unknown_metric_shows_the_nearest() -> None:
    with pytest.raises(LaunchError, match="did you mean test/accuracy") as caught:
        results.check_metric("test/acuracy", {"a": {METRIC: 1.0, "test/loss": 0.1}})
    assert "test/loss" in (caught.value.hint or "")
    results.check_metric("anything", {})


def test_results_are_read_from_the_run_directories(tmp_path: Path) -> None:
    (tmp_path / "result.json").write_text('{"version": 1, "metrics": {"test/accuracy": 0.5, "test/loss": null}}')
    done, failed = view(0, run_dir=str(tmp_path)), view(1, State.FAILED, run_dir=str(tmp_path))
    assert results.read_metrics([done, failed]) == ({key_of(done): {METRIC: 0.5}}, {})


def test_a_corrupted_result_names_its_run(tmp_path: Path) -> None:
    (tmp_path / "result.json").write_text("{")
    metrics, unreadable = results.read_metrics([view(0, run_dir=str(tmp_path))])
    assert metrics == {}
    assert re.search(r"digits-s5--s0.*not JSON", unreadable[key_of(view(0))])


@pytest.mark.parametrize("value", ["NaN", "-Infinity", "1.5", "1e9", "-0.25", "false", '"0.5"', "[0.5]", "1e400"])
def test_a_value_that_no_metric_can_have_is_named_and_in_no_mean(tmp_path: Path, value: str) -> None:
    text = f'{{"version": 1, "metrics": {{"val/accuracy": {value}, "test/loss": -3.5, "val/loss": null}}}}'
    (tmp_path / "result.json").write_text(text)
    metrics, unreadable = results.read_metrics([view(0, run_dir=str(tmp_path))])
    assert metrics == {key_of(view(0)): {"test/loss": -3.5}}
    assert re.search(r"digits-s5--s0 is damaged, .*val/accuracy=.* (must be|is not)", unreadable[key_of(view(0))])
