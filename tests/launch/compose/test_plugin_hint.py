"""A name that only a plug-in has: the hint tells how to name the plug-in."""

import shutil
from pathlib import Path

import pytest

from launch.cli import main

EXAMPLES = Path(__file__).parents[3] / "docs" / "examples"


def copied(example: str, name: str, place: Path) -> None:
    """Copy an example under names that no other test loads: plug-ins stay loaded in a process."""
    shutil.copytree(EXAMPLES / example, place)
    for file in (place / "plugin.py", *place.rglob("*.yaml")):
        file.write_text(file.read_text().replace(f'"{example}"', f'"{name}"'))
    if (place / "conf").is_dir():
        (place / "conf" / "experiment" / example).rename(place / "conf" / "experiment" / name)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LAUNCH_RUNS", str(tmp_path / "runs"))
    return tmp_path


def refused(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert main(list(words)) == 2
    return capsys.readouterr().err.partition("hint: ")[2]


def test_a_plugin_next_to_the_user_or_to_the_file_is_named(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    copied("walks", "strolls", folder / "my walks")
    copied("gru", "gated", folder / "sweeps" / "gru")
    (folder / "sweeps" / "x.yaml").write_text("experiment: digits/s5\nbase: {model: gated}\n")
    (folder / "y.yaml").write_text("experiment: strolls/s5\n")
    named = "add `--plugins 'my walks'`, or name it in the sweep file under `plugins:`"
    assert f"a plug-in has strolls/s5: {named}" in refused(capsys, "sweep", "y.yaml")
    assert f"a plug-in has strolls/s5: {named}" in refused(capsys, "run", "strolls/s5", "--dry-run")
    assert f"a plug-in has strolls: {named}" in refused(capsys, "run", "digits/s5", "data.name=strolls", "--dry-run")
    assert f"a plug-in has strolls: {named}" in refused(capsys, "data", "prepare", "strolls")
    assert "a plug-in has gated: add `--plugins sweeps/gru`" in refused(capsys, "sweep", "sweeps/x.yaml", "--dry-run")


def test_a_plugin_that_is_installed_is_named(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    site = folder / "site"
    copied("walks", "hikes", site / "walking_data")
    (site / "walking_data" / "__init__.py").touch()
    info = site / "walking_data-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: walking-data\nVersion: 1.0\n")
    lines = "[s5.plugins]\nwalking = walking_data.plugin\nbroken = not_there.plugin\n"
    (info / "entry_points.txt").write_text(lines)
    monkeypatch.syspath_prepend(site)
    assert "a plug-in has hikes/s5: add `--plugins walking`" in refused(capsys, "run", "hikes/s5", "--dry-run")
    said = refused(capsys, "run", "hiks/s5", "--dry-run")
    assert "the experiments are digits/s5" in said and "adds those of a plug-in (installed: " in said
    assert "walking" in said


def test_without_any_plugin_the_option_is_told(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "; `--plugins PLUGIN`, or `plugins:` in the sweep file, adds those of a plug-in" in refused(
        capsys, "run", "rides/s5", "--dry-run"
    )
