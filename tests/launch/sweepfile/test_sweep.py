"""Sweep files: the runs that they expand to."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as configure
from hypothesis import strategies as st

from launch.errors import SweepError
from launch.grammar import Interval, parse_override
from launch.specs.resources import Resources
from launch.store.records import PublishedNumber
from launch.sweepfile.random_values import draw
from launch.sweepfile.sweep import RETRY_DEFAULTS, Sweep, single_run


def settings(sweep: Sweep) -> list[Any]:
    return [run.settings for run in sweep.runs]


def test_a_grid_multiplies_with_the_first_key_slowest_and_the_seed_fastest(load: Callable[..., Sweep]) -> None:
    sweep = load("""
        experiment: digits/s5
        base: {train.epochs: 3}
        grid: {optim.lr: [1e-3, 3e-3], model.norm: [batch, layer]}
        seeds: 2
    """)
    assert [(r.settings["optim.lr"], r.settings["model.norm"], r.seed) for r in sweep.runs] == [
        (lr, norm, seed) for lr in (0.001, 0.003) for norm in ("batch", "layer") for seed in (0, 1)
    ]
    assert sweep.runs[0].overrides == ("train.epochs=3", "optim.lr=0.001", "model.norm=batch")
    assert sweep.name == "x"
    assert sweep.metric == "test/accuracy"
    assert sweep.retry == RETRY_DEFAULTS


@pytest.mark.parametrize(
    ("written", "values"),
    [
        ("[1e-3, 3e-3]", [0.001, 0.003]),
        ('"choice(1,2)"', [1, 2]),
        ('"range(1,5)"', [1, 2, 3, 4]),
        ('"range(0,0.3,0.1)"', [0.0, 0.1, 0.2]),
        ('"1,2"', [1, 2]),
        ('"sort(3,1,2)"', [1, 2, 3]),
        ("7", [7]),
        ("[null, true, false]", [None, True, False]),
        ("""["'null'", "'1'", "'a, b'"]""", ["null", "1", "a, b"]),
        ("[[1, 2], [3]]", [[1, 2], [3]]),
        ('["[1,2]"]', [[1, 2]]),
        ("[yes, on, 012, 1:30, 2020-01-01]", ["yes", "on", "012", "1:30", "2020-01-01"]),
        ('["{a:1}"]', [{"a": 1}]),
        ("[1_000, +3, .5, 1., 1E5, .inf]", [1000, 3, 0.5, 1.0, 100000.0, float("inf")]),
        ("""["'line\\nbreak'"]""", ["line\nbreak"]),
    ],
)
def test_values_speak_hydras_grammar(load: Callable[..., Sweep], written: str, values) -> None:
    sweep = load(f"experiment: digits/s5\ngrid:\n  k: {written}\n")
    found = [s["k"] for s in settings(sweep)]
    assert found == values
    assert list(map(type, found)) == list(map(type, values))
    assert [parse_override(run.overrides[0]).value for run in sweep.runs] == values


def test_the_sections_multiply(load: Callable[..., Sweep]) -> None:
    sweep = load("""
        experiment: [digits/s5, mnist5k/sequential]
        grid: {a: [1, 2]}
        zip: {b: [1, 2, 3], c: [4, 5, 6]}
        list: [{}, {d: 1}]
        random: {count: 2, values: {e: {uniform: [0, 1]}}}
        seeds: [3, 5]
    """)
    assert len(sweep.runs) == 2 * 2 * 3 * 2 * 2 * 2
    assert {(s["b"], s["c"]) for s in settings(sweep)} == {(1, 4), (2, 5), (3, 6)}
    assert {"d" in s for s in settings(sweep)} == {True, False}


def test_random_points_are_the_same_everywhere(load: Callable[..., Sweep]) -> None:
    sweep = load("""
        experiment: digits/s5
        random:
          count: 3
          seed: 7
          values:
            a: {uniform: [0, 1]}
            b: {log_uniform: [1e-4, 1e-2]}
            c: {integers: [1, 6]}
            d: {log_integers: [1, 1000]}
            e: {choice: [x, y]}
    """)
    # If you meant to change how points are drawn: every random sweep that was ever run gets other points.
    assert settings(sweep) == [
        {"a": 0.86886, "b": 0.000649815, "c": 6, "d": 239, "e": "x"},
        {"a": 0.265505, "b": 0.00695788, "c": 3, "d": 1, "e": "y"},
        {"a": 0.261808, "b": 0.00417759, "c": 3, "d": 215, "e": "x"},
    ]


def test_a_larger_count_keeps_the_points_and_an_added_key_the_values(load: Callable[..., Sweep]) -> None:
    text = "experiment: e\nrandom: {{count: {}, values: {{a: {{uniform: [0, 1]}}{}}}}}"
    few = [s["a"] for s in settings(load(text.format(5, "")))]
    many = [s["a"] for s in settings(load(text.format(50, "")))]
    wide = [s["a"] for s in settings(load(text.format(5, ", b: {integers: [1, 3]}")))]
    assert many[:5] == few == wide
    assert len(set(many)) == 50


@configure(deadline=None)
@given(
    low=st.floats(1e-6, 1e6),
    factor=st.floats(1, 1e6),
    log=st.booleans(),
    seed=st.integers(0, 2**40),
    index=st.integers(0, 10**6),
)
def test_a_drawn_value_lies_within_its_bounds(low, factor: float, log, seed: int, index: int) -> None:
    value = draw(Interval(low, low * factor, log, False), seed, "key", index)
    assert low <= value <= low * factor
    whole = draw(Interval(3, 3 + int(factor), log, True), seed, "key", index)
    assert isinstance(whole, int)
    assert 3 <= whole <= 3 + int(factor)


def test_both_ends_of_an_integer_range_are_drawn_evenly() -> None:
    drawn = [draw(Interval(1, 4, False, True), 0, "k", i) for i in range(4000)]
    assert all(900 < drawn.count(n) < 1100 for n in (1, 2, 3, 4))


def test_a_random_section_that_runs_out_of_points_says_so(load: Callable[..., Sweep]) -> None:
    sweep = load("experiment: e\nrandom: {count: 9, values: {a: [1, 2]}}")
    assert len(sweep.runs) == 2
    assert "only 2 of 9 points" in sweep.warnings[0]


def test_exclude_removes_what_matches_whole(load: Callable[..., Sweep]) -> None:
    sweep = load("""
        experiment: [digits/s5, mnist5k/sequential]
        base: {train.epochs: 1}
        grid: {a: [1, 2, 3], b: [x, y]}
        seeds: 2
        exclude:
          - {a: 1, b: x}
          - {a: ">= 3"}
          - {experiment: "mnist5k/*", seed: "!= 0"}
          - {train.epochs: 1, b: y, seed: [1, 7]}
    """)
    assert [(r.experiment, r.settings["a"], r.settings["b"], r.seed) for r in sweep.runs] == [
        ("digits/s5", 1, "y", 0),
        ("digits/s5", 2, "x", 0),
        ("digits/s5", 2, "x", 1),
        ("digits/s5", 2, "y", 0),
        ("mnist5k/sequential", 1, "y", 0),
        ("mnist5k/sequential", 2, "x", 0),
        ("mnist5k/sequential", 2, "y", 0),
    ]
    assert sweep.warnings == ()


def test_exclude_keeps_true_apart_from_one(load: Callable[..., Sweep]) -> None:
    assert settings(load("experiment: e\ngrid: {a: [true, 1]}\nexclude: [{a: 1.0}]")) == [{"a": True}]


def test_a_rule_that_matches_nothing_is_a_warning(load: Callable[..., Sweep], tmp_path: Path) -> None:
    sweep = load("experiment: e\ngrid: {a: [1, 2]}\nexclude: [{a: 3}]")
    assert sweep.warnings == (f"{tmp_path}/x.yaml: exclude[0]: the rule matches no run",)


def test_blocks_inherit_and_replace(load: Callable[..., Sweep]) -> None:
    sweep = load("""
        experiment: digits/s5
        base: {train.epochs: 5, model.norm: batch}
        grid: {a: [1, 2]}
        seeds: 2
        resources: {cpus_per_task: 2, timeout_min: 5}
        exclude: [{a: 2, b: 2}]
        blocks:
          - grid: {b: [1, 2]}
          - experiment: mnist5k/sequential
            base: {model.norm: layer}
            seeds: [9]
            resources: {timeout_min: 60}
            command: [echo, hi]
    """)
    first, last = sweep.runs[0], sweep.runs[-1]
    assert len(sweep.runs) == (2 * 2 - 1) * 2 + 2
    assert (first.experiment, first.seed, first.command) == ("digits/s5", 0, None)
    assert first.overrides == ("train.epochs=5", "model.norm=batch", "a=1", "b=1")
    assert first.resources == Resources(cpus_per_task=2, timeout_min=5)
    assert (last.experiment, last.seed, last.command) == ("mnist5k/sequential", 9, ("echo", "hi"))
    assert last.overrides == ("train.epochs=5", "model.norm=layer", "a=2")
    assert last.resources == Resources(cpus_per_task=2, timeout_min=60)
    assert last.where.endswith("x.yaml: blocks[1]")


def test_an_included_file_is_a_block_and_a_run_of_two_files_is_one(load: Callable[..., Sweep]) -> None:
    sweep = load(
        "include: [a.yaml, b.yaml]\nbase: {train.epochs: 1}\nname: both",
        a="experiment: digits/s5\ngrid: {x: [1, 2]}\nname: other\nmetric: val/loss",
        b="include: a.yaml\nexperiment: digits/s5\nbase: {train.epochs: 2}",
    )
    assert [run.overrides for run in sweep.runs] == [
        ("train.epochs=1", "x=1"),
        ("train.epochs=1", "x=2"),
        ("train.epochs=2", "x=1"),
        ("train.epochs=2", "x=2"),
    ]
    assert (sweep.name, sweep.metric) == ("both", "test/accuracy")
    twice = load("include: [a.yaml, a.yaml]", a="experiment: digits/s5\ngrid: {x: [1, 2]}")
    assert len(twice.runs) == 2


def test_the_command_line_wins(load: Callable[..., Sweep]) -> None:
    text = """
        experiment: digits/s5
        base: {train.epochs: 5, optim.lr: 1}
        grid: {a: [1, 2], b: [1, 2]}
        seeds: 3
    """
    sweep = load(text, ["a=7", "train.epochs=1", "train.epochs=2", "resources.cpus_per_task=4", "seed=5,6"])
    assert [(r.settings, r.seed) for r in sweep.runs] == [({"b": b}, s) for b in (1, 2) for s in (5, 6)]
    assert sweep.runs[0].overrides == ("optim.lr=1", "b=1", "a=7", "train.epochs=2")
    assert sweep.runs[0].resources.cpus_per_task == 4
    assert sweep.runs[0].places["a"] == "command line"
    assert "the command line fixes a, so it is not varied" in sweep.warnings[0]
    assert {r.experiment for r in load(text, ["experiment=mnist5k/sequential"]).runs} == {"mnist5k/sequential"}
    assert [r.seed for r in load("experiment: e", ["seeds=2"]).runs] == [0, 1]


def test_published_numbers(load: Callable[..., Sweep]) -> None:
    text = """
        experiment: digits/s5
        grid: {model.norm: [batch, layer]}
        paper:
          - {value: 0.9, std: 0.01, settings: {model: {norm: batch}}, source: Table 1}
          - {value: 0.8, settings: {model.norm: layer}, metric: val/accuracy}
    """
    batch, layer = load(text).published
    assert batch == PublishedNumber(
        experiment="digits/s5",
        settings={"model.norm": "batch"},
        metric="test/accuracy",
        value=0.9,
        std=0.01,
        source="Table 1",
    )
    assert (layer.metric, layer.value) == ("val/accuracy", 0.8)
    (left,) = load(text, ["model.norm=layer"]).published
    assert (left.settings, left.value) == ({}, 0.8)


def test_two_published_numbers_of_the_same_rows_are_an_error(load: Callable[..., Sweep]) -> None:
    text = """
        blocks:
          - {experiment: digits/s5, paper: [{value: 0.9}]}
          - {experiment: digits/s5, grid: {model: [lru]}, paper: [{value: 0.8}]}
    """
    with pytest.raises(
        SweepError, match=r"blocks\[1\]\.paper\[0\]: 0\.8, but 0\.9 is the test/accuracy of the same rows"
    ):
        load(text)
    told = load(text.replace("value: 0.8", "value: 0.8, settings: {model: lru}"))
    assert [number.value for number in told.published] == [0.9, 0.8]
    assert len(load(text.replace("0.8", "0.9")).published) == 2
    named = text.replace("{experiment: digits/s5, grid", "{name: other, experiment: digits/s5, grid")
    assert [number.settings for number in load(named).published] == [{}, {"block": "other"}]


def test_a_command_may_have_metrics_of_its_own(load: Callable[..., Sweep]) -> None:
    text = """
        experiment: digits/s5
        metric: hits
        blocks:
          - {command: [echo], paper: [{value: 3, metric: misses}]}
          - {base: {train.epochs: 1}}
    """
    assert load(text).metric == "hits"
    with pytest.raises(SweepError, match=r"blocks\[1\]\.paper\[0\]\.metric: a run has no metric 'misses'"):
        load(text.replace("epochs: 1}", "epochs: 1}, paper: [{value: 3, metric: misses}]"))


def test_single_run() -> None:
    sweep = single_run("digits/s5", ["optim.lr=1e-3", "seed=3"])
    (run,) = sweep.runs
    assert (sweep.name, sweep.file) == ("run-digits-s5-optim.lr-1e-3-seed-3", None)
    assert single_run("digits/s5").name == "run-digits-s5"
    assert single_run("digits/s5", ["seed=3", "optim.lr=1e-3"]).name == sweep.name
    names = {single_run("digits/s5", [f"optim.lr={text}", *["train.epochs=1"] * 5]).name for text in ("1e-3", "1e-4")}
    assert len(names) == 2 and max(map(len, names)) <= 80
    assert (run.experiment, run.overrides, run.seed, run.settings) == ("digits/s5", ("optim.lr=1e-3",), 3, {})
    assert single_run("a b\n" + "c" * 100).name == "run-a-b-" + "c" * 72
    with pytest.raises(SweepError, match="the experiment is named twice"):
        single_run("digits/s5", ["experiment=mnist5k/sequential"])


def test_expanding_needs_neither_hydra_nor_omegaconf(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text("experiment: e\ngrid: {a: [1, 2.5, b]}")
    code = (
        "import sys; from pathlib import Path; from launch.sweepfile.sweep import load_sweep\n"
        "load_sweep(Path(sys.argv[1]), ['c=1'])\n"
        "print([m for m in ('hydra', 'omegaconf', 'jax', 'numpy') if m in sys.modules])"
    )
    words = [sys.executable, "-c", code, str(tmp_path / "x.yaml")]
    done = subprocess.run(words, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[3])
    assert done.stdout == "[]\n"
