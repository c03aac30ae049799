"""The runs in the results table of an edited sweep, with real composition and a real manifest."""

from dataclasses import replace
from pathlib import Path

import pytest

from launch.actions.dependencies import check_sweeps_before
from launch.actions.plan import plan_sweep
from launch.actions.remove import plan_removal, remove_all
from launch.actions.retry import retry
from launch.actions.submit import submit
from launch.errors import LaunchError
from launch.results import latest
from launch.results.gather import gather
from launch.specs.resources import Resources
from launch.store.cancel_mark import write_cancelled
from launch.store.store import Store, SweepStore
from launch.sweepfile.runs import RunSpec
from launch.sweepfile.sweep import Sweep, load_sweep
from tests.launch.command_sweep import LOCAL, code_under, python


class Edited:
    """A sweep file that is edited and submitted several times."""

    def __init__(self, root: Path) -> None:
        self.store = Store(root / "runs")
        self.code = code_under(root)

    def submit(self, epochs: int, seeds: range, only: str | None = None, command: str = "pass", **settings: int) -> int:
        overrides = (f"train.epochs={epochs}", *(f"model.{key}={value}" for key, value in settings.items()))
        specs = tuple(
            RunSpec(
                experiment="digits/s5",
                overrides=overrides,
                settings=settings,
                seed=seed,
                resources=Resources(),
                command=python(command),
                where="sweeps/x.yaml",
            )
            for seed in seeds
        )
        sweep = Sweep(name="digits", file="sweeps/x.yaml", runs=specs)
        return submit(plan_sweep(sweep, self.store, LOCAL, only=only), source=self.code).generation

    @property
    def sweep(self) -> SweepStore:
        return self.store.sweep("digits")

    def shown(self) -> list[tuple[int, int]]:
        """Return the generation and the seed of the runs that count."""
        return [(view.generation, view.seed) for view in latest.current_views(self.sweep.state())]


@pytest.fixture
def edited(tmp_path: Path) -> Edited:
    return Edited(tmp_path)


def test_seeds_of_an_earlier_configuration_leave_the_row(edited: Edited) -> None:
    edited.submit(20, range(5))
    edited.submit(40, range(3))
    assert edited.shown() == [(2, 0), (2, 1), (2, 2)]
    (row,) = gather(edited.sweep.state()).rows
    assert row.states == {"PLANNED": 3}


def test_a_generation_of_few_seeds_drops_no_others_of_the_same_configuration(edited: Edited) -> None:
    edited.submit(20, range(3))
    edited.submit(20, range(3), only="*-s0-*")
    assert sorted(edited.shown()) == [(1, 1), (1, 2), (2, 0)]
    edited.submit(20, range(1, 2))
    assert sorted(edited.shown()) == [(1, 2), (2, 0), (3, 1)]


def test_other_seeds_stay_when_the_listed_run_of_their_configuration_is_deleted(edited: Edited) -> None:
    def delete(layers: int, seed: int) -> None:
        (run_id,) = {view.run_id for view in edited.sweep.views() if f"n_layers={layers}-s{seed}-" in view.run_id}
        remove_all(plan_removal(edited.store, [f"digits/{run_id}"]))

    edited.submit(20, range(1), n_layers=1)
    edited.submit(20, range(3), n_layers=2)
    edited.submit(20, range(1), n_layers=2)
    delete(2, 0)
    assert edited.shown() == [(2, 1), (2, 2)]
    assert [view.seed for view in gather(edited.sweep.state()).left_out] == [0], "of the earlier configuration"
    delete(2, 1)
    assert edited.shown() == [(2, 2)]
    edited.submit(20, range(1), n_layers=1)
    assert edited.shown() == [(5 + 1, 0)], "a later submission decides again"


def test_a_value_that_the_file_has_no_longer_is_superseded(edited: Edited) -> None:
    edited.submit(20, range(2), n_layers=2)
    edited.submit(20, range(1), n_layers=3)
    assert edited.shown() == [(2, 0)]
    results = gather(edited.sweep.state())
    assert [row.settings for row in results] == [{"n_layers": 3}]
    assert [(view.settings, view.seed) for view in results.left_out] == [({"n_layers": 2}, 0), ({"n_layers": 2}, 1)]


def test_a_key_that_changes_no_number_splits_no_configuration(edited: Edited) -> None:
    edited.submit(20, range(2))
    config = edited.sweep.views()[1].run_dir + "/config.yaml"
    text = Path(config).read_text()
    assert "keep_checkpoints: 2" in text
    Path(config).write_text(text.replace("keep_checkpoints: 2", "keep_checkpoints: 9"))
    edited.submit(20, range(2), only="*-s0-*")
    assert sorted(edited.shown()) == [(1, 1), (2, 0)]


def test_another_command_is_another_configuration(edited: Edited) -> None:
    edited.submit(20, range(2))
    edited.submit(20, range(1), command="1")
    assert edited.shown() == [(2, 0)]


def test_a_recipe_that_was_edited_back_shows_its_first_runs_again(edited: Edited) -> None:
    recipe = edited.code / "s5" / "recipe.yaml"  # an edit of a recipe is an edit of the code
    for text, epochs in (("a", 20), ("b", 40), ("a", 20)):
        recipe.write_text(text)
        generation = edited.submit(epochs, range(2))
    assert generation == 3
    assert edited.shown() == [(3, 0), (3, 1)]


def test_a_sweep_file_that_was_edited_back_shows_its_first_runs_again(edited: Edited) -> None:
    edited.submit(20, range(2))
    edited.submit(40, range(3))
    assert edited.submit(20, range(2)) == 3
    assert edited.shown() == [(3, 0), (3, 1)]
    assert edited.submit(20, range(2)) == 3, "nothing has changed since"


def test_a_retry_of_an_earlier_configuration_brings_it_not_back(edited: Edited) -> None:
    edited.submit(20, range(3))
    write_cancelled(edited.sweep.views()[2].run_dir, 1)
    edited.submit(40, range(2))
    assert retry(edited.store, "digits", failed_only=False, earlier=True, source=edited.code).generation == 3
    assert edited.shown() == [(2, 0), (2, 1)]


@pytest.mark.parametrize("name", ["run.json", "config.yaml"])
@pytest.mark.parametrize("text", [None, "[", "- 1", "\udcff"], ids=["missing", "broken", "list", "bytes"])
def test_a_run_that_cannot_be_read_counts_while_it_is_asked_for(edited: Edited, name: str, text: str | None) -> None:
    edited.submit(20, range(2))
    file = Path(edited.sweep.views()[1].run_dir, name)
    file.unlink()
    if text is not None:
        file.write_bytes(text.encode(errors="surrogateescape"))
    assert edited.shown() == [(1, 0), (1, 1)]
    views, manifest = edited.sweep.views(), edited.sweep.state().manifest
    later = [replace(views[0], run_id="later", generation=2), views[1]]
    headers, run_ids = {**manifest.headers, 2: manifest.headers[1]}, {**manifest.run_ids, 2: ("later",)}
    manifest = replace(manifest, headers=headers, run_ids=run_ids)
    assert [view.run_id for view in latest.divide(later, manifest).current] == ["later"]


CHAIN = """
name: digits
experiment: digits/s5
seeds: 2
blocks:
  - {name: one, command: [echo, %s]}
  - {name: two, after: {one: [seed]}, command: [echo, two]}
  - {name: three, after: {two: [seed]}, command: [echo, three]}
  - {name: training, after: {one: [seed]}}
"""


def test_what_came_after_an_edited_command_leaves_the_table_with_it(edited: Edited, tmp_path: Path) -> None:
    def submitted(text: str, only: str | None = None) -> int:
        (tmp_path / "x.yaml").write_text(CHAIN % text)
        sweep = load_sweep(tmp_path / "x.yaml")
        return submit(plan_sweep(sweep, edited.store, LOCAL, only=only), source=edited.code).generation

    assert submitted("data") == 1
    assert submitted("data", "seed=0") == 2
    assert len(edited.shown()) == 8, "what is narrowed takes none from the others"
    assert submitted("more") == 3
    assert sorted(edited.shown()) == [(3, 0)] * 4 + [(3, 1)] * 4, "the trainings are the same runs"


def test_a_sweep_that_comes_after_waits_for_no_run_that_an_edit_has_left_behind(edited: Edited) -> None:
    edited.submit(20, range(1))
    (view,) = edited.sweep.views()
    write_cancelled(view.run_dir, 1)
    edited.submit(40, range(1))
    with pytest.raises(LaunchError, match=r"has not succeeded: 1 PLANNED \(") as caught:
        check_sweeps_before(["digits"], edited.store, attended=True)
    assert caught.value.hint == "`launch wait digits` returns when it has ended"


def test_a_sweep_that_was_never_edited_reads_no_configuration(edited: Edited, monkeypatch: pytest.MonkeyPatch) -> None:
    edited.submit(20, range(3))
    monkeypatch.setattr(latest, "_configuration", lambda view: pytest.fail("read"))
    assert len(edited.shown()) == 3


FINE_TUNED = """
experiment: digits/s5
blocks:
  - {{name: pretrain, seeds: 2, base: {{optim.lr: {lr}}}}}
  - {{name: finetune, after: {{pretrain: [seed]}}, seeds: 2, base: {{train.init_from: pretrain}}}}
"""


def test_a_fine_tuning_belongs_to_the_pretraining_of_today(edited: Edited, tmp_path: Path) -> None:
    """What each starts from differs with the seed, and is nevertheless one configuration."""

    def shown(lr: float, only: str | None = None) -> list[tuple[str, int, int]]:
        (tmp_path / "digits.yaml").write_text(FINE_TUNED.format(lr=lr))
        plan = plan_sweep(load_sweep(tmp_path / "digits.yaml"), edited.store, LOCAL, only=only)
        submit(plan, source=edited.code)
        views = latest.current_views(edited.sweep.state())
        return sorted((str(view.settings["block"]), view.generation, view.seed) for view in views)

    assert shown(1e-3) == [("finetune", 1, 0), ("finetune", 1, 1), ("pretrain", 1, 0), ("pretrain", 1, 1)]
    assert shown(1e-3, "*-s0-*") == [("finetune", 1, 1), ("finetune", 2, 0), ("pretrain", 1, 1), ("pretrain", 2, 0)]
    assert shown(2e-3) == [("finetune", 3, 0), ("finetune", 3, 1), ("pretrain", 3, 0), ("pretrain", 3, 1)]


def test_rows_have_the_order_of_the_newest_file(edited: Edited) -> None:
    for sizes in ((2, 3), (4, 3, 2), (5, 2)):
        specs = tuple(
            RunSpec(
                experiment="digits/s5",
                overrides=(f"model.n_layers={n}",),
                settings={"model.n_layers": n},
                seed=seed,
                resources=Resources(),
                command=python("pass"),
                where="sweeps/x.yaml",
            )
            for n in sizes
            for seed in range(2 if n == 2 else 1)
        )
        sweep = Sweep(name="digits", file="sweeps/x.yaml", runs=specs)
        submit(plan_sweep(sweep, edited.store, LOCAL), source=edited.code)
        rows = [row.settings["model.n_layers"] for row in gather(edited.sweep.state()).rows]
        assert rows == list(sizes)
    every = gather(edited.sweep.state(), superseded=True).rows
    assert [row.settings["model.n_layers"] for row in every] == [5, 2, 3, 4]
