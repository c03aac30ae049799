"""An edit of a plug-in is told in one line, by the name that was typed."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from launch.actions.plan import plan_sweep
from launch.actions.submit import submit
from launch.store.store import Store
from launch.sweepfile.sweep import Sweep, load_sweep, single_run
from tests.launch.command_sweep import LOCAL, code_under
from tests.plugins.command import EXAMPLES

EDITED = "the plug-in mine/plug was edited since: "


@pytest.fixture
def plug(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return Path(shutil.copytree(EXAMPLES / "gru", tmp_path / "mine/plug"))


def from_file(grid: str) -> Sweep:
    Path("x.yaml").write_text(f"{{plugins: mine/plug, experiment: digits/s5, grid: {grid}}}")
    return load_sweep(Path("x.yaml"))


@pytest.mark.parametrize("verb", ["run", "sweep", "sweep of two"])
def test_an_edited_plug_in_is_told_in_one_line(plug: Path, tmp_path: Path, verb: str) -> None:
    sweep, told = from_file("{optim.lr: [0.1]}"), "1 run stays as it is, and runs again under a new id"
    if verb == "run":
        sweep = replace(single_run("digits/s5", ["optim.lr=0.1"]), plugins=(str(plug),))
    elif verb == "sweep of two":
        sweep, told = from_file("{optim.lr: [0.1, 0.2]}"), "2 runs stay as they are, and run again under new ids"
    store = Store(tmp_path / "runs")
    before = plan_sweep(sweep, store, LOCAL)
    assert before.warnings == ()
    submit(before, source=code_under(tmp_path))
    assert plan_sweep(sweep, store, LOCAL).warnings == ()
    (plug / "plugin.py").write_text((plug / "plugin.py").read_text() + "# edited\n")
    assert plan_sweep(sweep, store, LOCAL).warnings == (EDITED + told,)


def test_another_set_of_plug_ins_is_no_edit(plug: Path, tmp_path: Path) -> None:
    sweep, store = from_file("{optim.lr: [0.1]}"), Store(tmp_path / "runs")
    submit(plan_sweep(sweep, store, LOCAL), source=code_under(tmp_path))
    more = Path(shutil.copytree(EXAMPLES / "walks", tmp_path / "other"))
    (line,) = plan_sweep(replace(sweep, plugins=(str(plug), str(more))), store, LOCAL).warnings
    assert line.startswith("plugins: mine/plug before, mine/plug and other now: 1 run stays as it is")
