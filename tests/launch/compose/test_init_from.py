"""`train.init_from` in a sweep: the source run of each run, and that it is part of the run's identity."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from launch.actions.container_mounts import needed_mounts
from launch.actions.drive import run_queue
from launch.actions.estimate import estimate_plan
from launch.actions.plan import plan_sweep
from launch.actions.submit import submit
from launch.cli.start import plan_text
from launch.compose.composer import Composer, Run
from launch.errors import ConfigError
from launch.store.state import State
from launch.store.store import Store
from launch.sweepfile.sweep import Sweep
from s5.config.config_file import read_config
from s5.config.identity import science_hash, to_dict
from tests.launch.command_sweep import LOCAL

Load = Callable[..., Sweep]

TUNED = """
experiment: digits/s5
seeds: 2
base: {{model.d_model: 8, model.d_state: 8, model.n_blocks: 1, model.n_layers: 1, train.epochs: 1}}
blocks:
  - {{name: pretrain, base: {{optim.lr: {lr}}}}}
  - {{name: finetune, after: {{pretrain: [seed]}}, base: {{train.init_from: pretrain}}}}
"""


def planned(load: Load, text: str, **values: object) -> list[Run]:
    """Return the runs of a sweep file, composed."""
    return Composer().plan_all(load(text.format(**{"lr": 1e-3, **values})).runs)


def test_each_run_starts_from_the_run_of_the_block_that_it_matches(load: Load) -> None:
    first, second, one, two = planned(load, TUNED)
    assert [one.source, two.source] == [first.record.run_id, second.record.run_id]
    assert one.config["train"]["init_from"] == "pretrain"
    assert one.config["train"]["init_hash"] == first.record.science_hash
    assert (first.source, first.config["train"]["init_hash"]) == (None, None)


def test_a_changed_pretraining_makes_other_fine_tunings(load: Load) -> None:
    before, after = planned(load, TUNED), planned(load, TUNED, lr="2e-3")
    assert {run.record.run_id for run in before}.isdisjoint(run.record.run_id for run in after)
    assert [run.record.run_id for run in before] == [run.record.run_id for run in planned(load, TUNED)]


def test_equal_trainings_that_start_from_different_runs_are_different(load: Load) -> None:
    text = """
        experiment: digits/s5
        blocks:
          - {name: a}
          - {name: b, base: {optim.lr: 1}}
          - {after: a, base: {train.init_from: a}}
          - {after: %s, base: {train.init_from: %s}}
    """
    runs = [Composer().plan_all(load(text % (block, block)).runs) for block in ("a", "b")]
    assert [len(found) for found in runs] == [3, 4]


def test_a_directory_is_found_where_the_command_is_typed(
    load: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (pretrained,) = Composer().plan_all(load("experiment: digits/s5").runs)
    source = tmp_path / "done"
    source.mkdir()
    (source / "config.yaml").write_text(pretrained.config_text())
    (source / "result.json").write_text("{}")
    monkeypatch.chdir(tmp_path)
    (run,) = Composer().plan_all(load("{experiment: digits/s5, base: {train.init_from: done}}").runs)
    assert run.source == run.config["train"]["init_from"] == str(source)
    assert (
        run.config["train"]["init_hash"] == science_hash(to_dict(read_config(source))) == pretrained.record.science_hash
    )
    mounts, _ = needed_mounts([run.config])
    assert [mount.writable for mount in mounts if mount.target == str(source)] == [False]


MISTAKES = {
    "not after it": (
        "{name: a}, {base: {train.init_from: a}}",
        "blocks[1].base.train.init_from: this block does not come after a, whose parameters it starts from",
        "add `after: a`",
    ),
    "several": (
        "{name: a, seeds: 2}, {after: a, base: {train.init_from: a}}",
        "blocks[1].base.train.init_from: a run comes after 2 runs of a, but can start from only one",
        "`after: {a: [seed]}`",
    ),
    "a command": (
        "{name: a, command: [make]}, {after: a, base: {train.init_from: a}}",
        "the runs of a are commands, not trainings",
        "LAUNCH_AFTER",
    ),
    "unknown": (
        "{name: pretrain}, {after: pretrain, base: {train.init_from: pretrian}}",
        "'pretrian' is neither a block nor a directory; did you mean pretrain?",
        "a block that this one comes after",
    ),
    "no run": ("{base: {train.init_from: /nowhere/at/all}}", "no such run directory", "a finished run"),
}


@pytest.mark.parametrize(("blocks", "message", "hint"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_explained(load: Load, blocks: str, message: str, hint: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Composer().plan_all(load(f"experiment: digits/s5\nblocks: [{blocks}]").runs)
    assert message in caught.value.message
    assert hint in (caught.value.hint or "")


def test_a_command_does_with_it_what_it_likes(load: Load) -> None:
    (run,) = Composer().plan_all(load("{experiment: digits/s5, command: [x], base: {train.init_from: any}}").runs)
    assert (run.source, run.config["train"]["init_from"]) == (None, "any")


@pytest.mark.slow
def test_a_sweep_pretrains_and_then_fine_tunes(load: Load, store: Store) -> None:
    """With the training itself, which finds the run before it and starts from its best parameters."""
    sweep = load(TUNED.format(lr=1e-3).replace("seeds: 2", "seeds: 1"))
    plan = plan_sweep(sweep, store, LOCAL)
    pretrain, finetune = (run.record.run_id for run in plan.runs)
    text = plan_text(plan, estimate_plan(plan, store))
    assert text.splitlines()[0].split()[-3:] == ["after", "starts", "from"]
    assert text.splitlines()[2].split()[-3:] == ["pretrain", "seed=0", pretrain]
    views = run_queue(submit(plan))
    assert [view.state for view in views] == [State.SUCCEEDED, State.SUCCEEDED], [view.message for view in views]
    log = Path(views[1].run_dir, "attempts", "0", "log.txt").read_text()
    assert f"starting from {Path(views[0].run_dir)} " in log
    told = json.loads(Path(views[1].run_dir, "attempts", "0", "after.json").read_text())
    assert told == {"pretrain seed=0": [views[0].run_dir]}
    assert finetune == views[1].run_id
