from dataclasses import dataclass
from pathlib import Path

import pytest

from launch.actions.differences import describe_changes
from launch.store.run_dirs import plan_run_dirs, write_run_dirs
from launch.store.store import Store, SweepStore
from tests.launch.records import Planned
from tests.launch.stored_runs import HEADER, entries_of, plan_of, write_runs

CONFIG = "seed: 0\noptim:\n  lr: 0.001\nwandb:\n  mode: disabled\n"


@dataclass
class Typed:
    """A sweep in which a run was submitted."""

    sweep: SweepStore
    plan: Planned

    def again(
        self,
        text: str,
        *,
        overrides: tuple[str, ...] = (),
        moved: bool = False,
        from_file: bool = True,
        write: bool = True,
    ) -> list[str]:
        facts = {"run_id": "digits-s0-ffffffff", "science_hash": "f" * 64} if moved else {}
        runs = [Planned(plan_of(settings={}, overrides=overrides, **facts).record, text)]
        folder = str(self.sweep.path)
        plan = plan_run_dirs(folder, self.sweep.state().manifest, runs)
        lines = describe_changes(plan, runs, folder, from_file=from_file)
        if write:
            write_run_dirs(folder, plan)
        return lines

    @property
    def config(self) -> Path:
        return self.sweep.run_dir(self.plan.record.run_id) / "config.yaml"


@pytest.fixture
def typed(tmp_path: Path) -> Typed:
    sweep = Store(tmp_path).sweep("run-digits")
    plan = Planned(plan_of(settings={}, overrides=()).record, CONFIG)
    write_runs(sweep, [plan])
    sweep.state().freeze(HEADER, entries_of([plan]))
    return Typed(sweep, plan)


def test_another_run_of_the_same_experiment_is_no_change(typed: Typed) -> None:
    other = CONFIG.replace("0.001", "0.1")
    assert typed.again(other, overrides=("optim.lr=0.1",), moved=True, from_file=False) == []
    (line,) = typed.again(other, moved=True, from_file=False)  # the same words: the recipe has changed
    assert line.startswith("optim.lr: 0.001 when this run was submitted, 0.1 now")
    assert typed.again(other, overrides=("optim.lr=0.1",), moved=True) == [line]  # a file that was edited


def test_science_that_somebody_edited_is_told_apart_from_what_may_follow(typed: Typed) -> None:
    typed.config.write_text(CONFIG.replace("0.001", "0.5").replace("disabled", "offline"))
    science, other = typed.again(CONFIG)
    assert science.startswith("optim.lr: 0.5 before, 0.001 now") and "do not depend" not in science
    assert science.endswith("since it was edited by hand; the file is corrected")
    assert other.startswith("wandb.mode: offline before") and other.endswith("their numbers do not depend on it")
    assert typed.again(CONFIG) == []


@pytest.mark.parametrize("damage", ["{", "[", "just words", ""])
def test_a_config_that_is_none_is_written_again(typed: Typed, damage: str) -> None:
    typed.config.write_text(damage)
    assert typed.again(CONFIG, write=False) == [f"{typed.config}: cannot be read, and is written again"]
    assert typed.config.read_text() == damage
    assert typed.again(CONFIG) == [f"{typed.config}: cannot be read, and is written again"]
    assert typed.config.read_text() == CONFIG
