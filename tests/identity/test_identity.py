"""The identities of all shipped recipes and sweeps are those of commit 7791133, on any machine and in any folder.

Stored results are found by these hashes, so the entries of pins.json must never change. A new recipe or sweep must be
added to it; `python -m tests.identity.identities` prints the lines.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.identity.identities import ROOT, alone, planned, recipes

PINS = json.loads(Path(__file__).with_name("pins.json").read_text())


@pytest.fixture
def elsewhere(tmp_path: Path) -> dict[str, str]:
    """The environment of another user on another machine: other folders, another time zone, another language."""
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("LAUNCH_", "S5_", "XDG_"))}
    moved = {
        "HOME": str(tmp_path / "home"),
        "S5_DATA": str(tmp_path / "data"),
        "S5_CACHE": str(tmp_path / "cache"),
        "LAUNCH_RUNS": str(tmp_path / "runs"),
        "LAUNCH_SLOTS": str(tmp_path / "slots"),
        "PYTHONPATH": str(ROOT),
        "PYTHONHASHSEED": "7",
        "TZ": "Asia/Tokyo",
        "LC_ALL": "C",
    }
    return clean | moved


def test_every_shipped_recipe_and_sweep_is_pinned() -> None:
    assert recipes() == sorted(PINS["recipes"])
    assert {path.stem for path in (ROOT / "sweeps").glob("*.yaml")} == set(PINS["sweeps"])


@pytest.mark.parametrize("recipe", PINS["recipes"])
def test_a_recipe_is_what_it_was_without_the_launcher(recipe: str) -> None:
    assert alone(recipe) == PINS["recipes"][recipe]


def test_recipes_are_what_they_were_in_a_sweep(tmp_path: Path) -> None:
    (tmp_path / "all.yaml").write_text(json.dumps({"experiment": list(PINS["recipes"])}))
    assert [hash_ for _, hash_ in planned(tmp_path / "all.yaml")] == list(PINS["recipes"].values())


@pytest.mark.parametrize("sweep", PINS["sweeps"])
def test_a_sweep_has_the_runs_it_had_in_their_order(sweep: str) -> None:
    assert planned(ROOT / f"sweeps/{sweep}.yaml") == list(PINS["sweeps"][sweep].items())


def test_the_hashes_are_the_same_elsewhere(tmp_path: Path, elsewhere: dict[str, str]) -> None:
    words = [sys.executable, "-m", "tests.identity.identities"]
    told = subprocess.run(words, cwd=tmp_path, env=elsewhere, capture_output=True, text=True, check=True)
    assert json.loads(told.stdout) == PINS


# One sweep of each kind; `test_the_hashes_are_the_same_elsewhere` has the hashes of all.
@pytest.mark.parametrize("sweep", ["quickstart", "lra", "pendulum", "pretrain-finetune"])
def test_a_dry_run_elsewhere_shows_these_runs(tmp_path: Path, elsewhere: dict[str, str], sweep: str) -> None:
    """Where data or GPUs are missing a dry run exits with 2, and shows its plan all the same."""
    words = [sys.executable, "-m", "launch.cli", "sweep", str(ROOT / f"sweeps/{sweep}.yaml"), "--dry-run"]
    places = ["data.root=/nowhere/raw", "data.cache=/nowhere/converted"]
    told = subprocess.run([*words, *places], cwd=tmp_path, env=elsewhere, capture_output=True, text=True, check=False)
    assert told.returncode in (0, 2), told.stderr
    table = told.stdout.partition("\n\n")[0].splitlines()
    assert [line.split()[0] for line in table[1:]] == list(PINS["sweeps"][sweep])


def test_what_is_stored_has_the_full_hash(tmp_path: Path, elsewhere: dict[str, str]) -> None:
    words = [sys.executable, "-m", "launch.cli", "sweep", str(ROOT / "sweeps/quickstart.yaml"), "--plan-only"]
    subprocess.run(words, cwd=tmp_path, env=elsewhere, capture_output=True, text=True, check=True)
    stored = [json.loads(file.read_text()) for file in tmp_path.glob("runs/quickstart/*/run.json")]
    assert {run["run_id"]: run["science_hash"] for run in stored} == PINS["sweeps"]["quickstart"]
