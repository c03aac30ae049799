"""The dependencies between the runs of a sweep: `name` and `after` of its blocks."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from launch.actions.plan import plan_runs, select
from launch.cli.tables import runs_table
from launch.compose.composer import Composer
from launch.errors import SweepError
from launch.profiles.profile import Profile
from launch.results.groups import group_runs
from launch.results.table import make_rows
from launch.store.store import Store
from launch.sweepfile.sweep import Sweep, load_sweep
from tests.launch.command_sweep import code_under, submit_runs


def turns(sweep):
    return [(run.dependencies.provides, run.dependencies.requires) for run in sweep.runs]


def test_a_block_waits_for_all_runs_of_another_and_of_the_blocks_inside_it(load: Callable[..., Sweep]) -> None:
    sweep = load("""
        experiment: digits/s5
        blocks:
          - {after: pre, base: {d: 1}}
          - name: pre
            blocks: [{seeds: 2}, {base: {c: 1}}]
    """)
    assert turns(sweep) == [((), ("pre",)), (("pre",), ()), (("pre",), ()), (("pre",), ())]


def test_runs_are_matched_by_values_whatever_names_the_keys(load: Callable[..., Sweep]) -> None:
    sweep = load("""
        experiment: digits/s5
        blocks:
          - {name: pre, seeds: 2, grid: {optim.lr: [1.0, 2]}}
          - {after: {pre: [seed, lr]}, seeds: [1], base: {optim.lr: 1, d: 1}}
          - {after: [{pre: optim.lr}, {pre: seed}], base: {optim.lr: 2, d: 2}}
    """)
    first = [run.dependencies.provides for run in sweep.runs[:4]]
    assert first[1] == ("pre optim.lr=1 seed=1", "pre optim.lr=1", "pre seed=1")
    assert sweep.runs[4].dependencies.requires == ("pre optim.lr=1 seed=1",)
    assert sweep.runs[5].dependencies.requires == ("pre optim.lr=2", "pre seed=0")


def test_a_block_inherits_what_the_block_around_it_waits_for(load: Callable[..., Sweep]) -> None:
    sweep = load("""
        experiment: digits/s5
        blocks:
          - {name: a}
          - {name: b, base: {b: 1}}
          - after: a
            base: {c: 1}
            blocks: [{after: b, base: {d: 1}}, {}]
    """)
    assert [after for _, after in turns(sweep)[2:]] == [("a", "b"), ("a",)]


def test_blocks_of_included_files_are_known_by_their_names(load: Callable[..., Sweep]) -> None:
    own = "name: other\nafter: something\nexperiment: digits/s5\nblocks: [{name: pre}, {base: {b: 1}}]"
    sweep = load(
        """
        after: [lra]
        blocks:
          - {include: own.yaml, name: all}
          - {experiment: digits/s5, after: pre, base: {c: 1}}
          - {experiment: digits/s5, after: all, base: {d: 1}}
        """,
        own=own,
    )
    assert turns(sweep) == [(("all", "pre"), ()), (("all",), ()), ((), ("pre",)), ((), ("all",))]
    assert sweep.after == ("lra",)


def test_a_run_of_several_blocks_has_the_earliest_turn_and_counts_for_all(load: Callable[..., Sweep]) -> None:
    sweep = load("""
        experiment: digits/s5
        blocks:
          - {name: last, after: middle, seeds: 2}
          - {name: middle, after: first, seeds: [0, 2]}
          - {name: first, seeds: [0]}
          - {after: last, seeds: [9]}
    """)
    by_seed = {run.seed: (set(run.dependencies.provides), run.dependencies.requires) for run in sweep.runs}
    assert by_seed[0] == ({"last", "middle", "first"}, ())
    assert by_seed[1] == ({"last"}, ("middle",))
    assert by_seed[2] == ({"middle"}, ("first",))


def test_a_training_that_stands_in_an_earlier_block_too_is_told_of(load: Callable[..., Sweep]) -> None:
    sweep = load("experiment: digits/s5\nblocks: [{name: one}, {name: two, after: one}, {after: two, seeds: [1]}]")
    assert len(sweep.runs) == 2
    assert [warning for warning in sweep.warnings if "1 run of this block is already in an earlier block" in warning]
    assert "blocks[1]" in sweep.warnings[0]


def test_a_command_is_another_run_where_something_else_comes_before_it(load: Callable[..., Sweep]) -> None:
    """It is told where that lies, and may do something else with it."""
    text = """
        experiment: digits/s5
        seeds: 2
        blocks:
          - {name: one, command: [make, %s]}
          - {name: two, after: {one: [seed]}, command: [train]}
          - {name: three, after: {two: [seed]}, command: [train]}
          - {name: four, after: {one: [seed]}, command: [train]}
          - {name: alone, command: [train]}
    """
    runs, edited = (Composer().plan_all(load(text % word).runs) for word in ("data", "more"))
    assert len({run.record.run_id for run in runs}) == len(runs) == 8, "two and four are the same runs"
    ids, others = ([run.record.run_id for run in found] for found in (runs, edited))
    assert set(ids[:6]).isdisjoint(others[:6]), "what comes after an edited command is done again"
    assert ids[6:] == others[6:]


def test_a_training_is_the_same_run_whatever_comes_before_it(load: Callable[..., Sweep]) -> None:
    text = """
        experiment: digits/s5
        blocks: [{name: one, command: [make, %s]}, {after: one}]
    """
    (_, run), (_, other) = (Composer().plan_all(load(text % word).runs) for word in ("data", "more"))
    assert run.record.run_id == other.record.run_id


def test_runs_whose_configs_are_one_are_joined_when_they_are_composed(load: Callable[..., Sweep]) -> None:
    sweep = load("""
        experiment: digits/s5
        blocks:
          - {name: late, after: early, base: {data.root: /here}}
          - {name: early}
          - {after: [early, late], seeds: [1]}
    """)
    first, last = Composer().plan_all(sweep.runs)
    assert (first.spec.dependencies.provides, first.spec.dependencies.requires) == (("late", "early"), ())
    assert last.spec.dependencies.requires == ("early", "late")


MISTAKES = {
    "unknown block": ("{name: pre}, {after: prr}", "[1].after: no block is named 'prr'; did you mean pre?", "are pre"),
    "no names": ("{after: pre}", "[0].after: no block is named 'pre'", "by its key `name`"),
    "two of a name": ("{name: a}, {name: a}", "[1].name: a second block of the name a; the first is ", "another"),
    "after itself": ("{name: a, after: a}", "[0].after: cyclic after: a -> a", "covers all of its runs"),
    "after the block around": (
        "{name: a, blocks: [{after: a}]}",
        "[0].blocks[0].after: cyclic after: a -> a",
        "inside",
    ),
    "after one inside": ("{after: a, blocks: [{name: a}]}", "[0].after: cyclic after: a -> a", "inside"),
    "cycle": ("{name: a, after: {b: seed}}, {name: b, after: a}", "cyclic after: ", "inside"),
    "unknown key": ("{name: a}, {after: {a: sed}}", "[1].after.a: no run of a sets sed; did you mean seed?", "seed"),
    "ambiguous key": ("{name: a, base: {a.k: 1, b.k: 1}}, {after: {a: k}}", "k may be a.k or b.k", "whole"),
    "key that some lack": (
        "{name: a, list: [{}, {k: 1}]}, {after: {a: k}, base: {k: 1}}",
        "[1].after.a: a run of {file}: blocks[0] sets no k, by which",
        "under base",
    ),
    "key that the waiting lack": (
        "{name: a, base: {k: 1}}, {after: {a: k}}",
        "blocks[1] sets no k, by which",
        "leave k",
    ),
    "no match": (
        "{name: a, seeds: 2}, {after: {a: seed}, seeds: 3, base: {k: 1}}",
        "no run of a has seed=2",
        "seed=1;",
    ),
    "all excluded": (
        "{name: a, exclude: [{seed: 0}]}, {after: a, seeds: [1]}",
        "[1].after: no run of a is left to wait for",
        "exclude",
    ),
    "empty list": ("{after: []}", "[0].after: the list of blocks is empty", "leave it out"),
    "empty mapping": ("{after: {}}", "[0].after: the mapping is empty", "such as"),
    "no keys": ("{name: a}, {after: {a: []}}", "[1].after.a: the list of keys is empty", "all of its runs"),
    "a number": ("{after: 3}", "[0].after: 3 is not the name of a block", "such as"),
    "key that does not exist": ("{name: a}, {after: {a: [3]}}", "[1].after.a: 3 is not a key", "such as seed"),
    "bad name": ("{name: a b}", "[0].name: 'a b' is not the name of a block", "letters"),
}


@pytest.mark.parametrize(("blocks", "message", "hint"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_explained(load: Callable[..., Sweep], tmp_path: Path, blocks, message, hint) -> None:
    with pytest.raises(SweepError) as caught:
        load(f"experiment: digits/s5\nblocks: [{blocks}]")
    assert caught.value.message.startswith(f"{tmp_path}/x.yaml: blocks")
    assert message.replace("{file}", f"{tmp_path}/x.yaml") in caught.value.message
    assert hint in (caught.value.hint or "")


def _blocks(inside):
    return st.fixed_dictionaries(
        {"seeds": st.lists(st.integers(0, 2), min_size=1, max_size=3, unique=True)},
        optional={
            "name": st.just(True),
            "after": st.lists(st.tuples(st.integers(0, 4), st.booleans()), min_size=1, max_size=2),
            "blocks": st.lists(inside, min_size=1, max_size=3),
        },
    )


LEAF = st.fixed_dictionaries({"seeds": st.just([0, 1, 2])}, optional={"name": st.just(True)})


@settings(max_examples=80, deadline=None)
@given(blocks=st.lists(st.recursive(LEAF, _blocks, max_leaves=6), min_size=2, max_size=4))
def test_whatever_is_accepted_can_be_executed_and_is_small(tmp_path_factory: pytest.TempPathFactory, blocks) -> None:
    inside = [found for top in blocks for found in _inside(top)]
    named = [block for block in inside if "name" in block]
    for number, block in enumerate(named):
        block["name"] = f"b{number}"
    for block in inside:
        if (waits := block.pop("after", ())) and named:
            names = [(f"b{number % len(named)}", keyed) for number, keyed in waits]
            block["after"] = [{name: ["seed"]} if keyed else name for name, keyed in names]
    file = tmp_path_factory.getbasetemp() / "tree.yaml"
    file.write_text(json.dumps({"experiment": "digits/s5", "blocks": blocks}))
    try:
        runs = load_sweep(file).runs
    except SweepError:
        assume(False)
    left = list(runs)
    assert {token for run in runs for token in run.dependencies.requires} <= {
        token for run in runs for token in run.dependencies.provides
    }
    while left:
        missing = {token for run in left for token in run.dependencies.provides}
        ready = [run for run in left if missing.isdisjoint(run.dependencies.requires)]
        assert ready, "they wait for one another"
        left = [run for run in left if run not in ready]
    for run in runs:  # whatever number of runs waits for it
        assert len(run.dependencies.provides) <= 2 * len(named)
        assert len(run.dependencies.requires) <= 2 * len(named)


def _inside(block):
    yield block
    for child in block.get("blocks", ()):
        yield from _inside(child)


NAMED = """
experiment: digits/s5
paper: [{value: 0.5}]
blocks:
  - {name: pre, seeds: 2, paper: [{value: 0.9}]}
  - name: all
    base: {train.epochs: 2}
    blocks:
      - {name: tuned, seeds: 2, after: pre, paper: [{value: 0.8, settings: {block: tuned}}]}
      - {base: {train.epochs: 3}}
  - {base: {train.epochs: 4}}
"""


def test_runs_of_named_blocks_have_rows_of_their_own(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text(NAMED)
    sweep = load_sweep(tmp_path / "x.yaml")
    assert sweep.warnings == ()
    runs = Composer().plan_all(sweep.runs)
    store = Store(tmp_path / "runs")
    submission = submit_runs(sweep, runs, store, Profile(name="local"), source=code_under(tmp_path))
    table = make_rows(group_runs(submission.views, {}), {}, "test/accuracy", sweep.published)
    assert [(row.settings, row.states, row.published) for row in table] == [
        ({"block": "pre"}, {"PLANNED": 2}, 0.9),
        ({"block": "tuned"}, {"PLANNED": 2}, 0.8),
        ({"block": "all"}, {"PLANNED": 1}, 0.5),
        ({}, {"PLANNED": 1}, 0.5),
    ]
    heads, first, *_, last = [line.split() for line in runs_table(submission.views, 0.0).splitlines()]
    assert [heads[1], first[1], last[1]] == ["block", "pre", "—"]
    assert {len(select(runs, only)) for only in ("block=pre", "block=tuned")} == {2}
    assert "block" not in runs[0].record.settings and "block" not in runs[0].record.run_id
    assert plan_runs(sweep, runs, store, Profile(name="local")).run_dirs.changed == []
