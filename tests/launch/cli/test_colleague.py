"""A sweep that a colleague has submitted, with a profile that this user does not have."""

import os
import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from launch import api
from launch.actions.targets import open_store
from launch.errors import LaunchError
from launch.profiles.profile import load_profile
from tests.launch.cli.test_location import BAD, OPEN, commands, of_profile, typed
from tests.launch.cli.test_location import place as place


def test_the_hint_to_retry_has_the_typed_profile_only_without_the_one_of_the_sweep(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    on, runs = ["--on", "station"], ["--runs", str(place)]
    of_profile(place, "old", BAD, "group")
    assert commands(typed("status", "old", *on, capsys=capsys)[2])[-1] == ["retry", "old", *on]
    of_profile(Path("runs"), "old", BAD, "group")  # `--on station` alone would mean this one
    assert commands(typed("status", "old", *on, capsys=capsys)[2])[-1] == ["retry", "old", *on, *runs]
    (place.parent / "slurm" / "group.yaml").write_text(f"runs_dir: {place}\n")  # `--on station` would move the runs
    assert commands(typed("status", "old", *on, capsys=capsys)[2])[-1] == ["retry", "old", *runs]


def test_a_retry_without_the_owners_profile_says_how_to_use_ones_own(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    of_profile(place, "old", BAD, "group")
    code, _, err = typed("retry", "old", "--runs", str(place), capsys=capsys)
    assert code == 2
    assert "error: the sweep old was submitted with the profile 'group': there is no profile 'group'" in err
    runs = shlex.join(["--runs", str(place)])
    assert f"hint: `launch retry old --on PROFILE {runs}` uses one of yours: local, " in err
    with pytest.raises(LaunchError) as caught:
        api.retry("old", runs=place)
    assert caught.value.python_hint == "pass `on=` one of yours"


def test_a_folder_that_the_colleague_may_not_write_is_named_before_anything_is_submitted(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    of_profile(place, "old", BAD, "station")
    before = sorted(place.rglob("*"))
    (attempts,) = place.glob("old/*/attempts")
    real = os.access  # root, who may execute the tests, may write into every folder
    monkeypatch.setattr(os, "access", lambda path, mode: str(path) != str(attempts) and real(path, mode))
    code, _, err = typed("retry", "old", "--on", "station", capsys=capsys)
    assert code == 2 and f"cannot write {attempts}: Permission denied" in err
    assert sorted(place.rglob("*")) == before


def test_folders_that_the_owner_has_closed_are_no_obstacle(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Root may enter any folder, so the calls fail here as they would for another user."""
    home, profiles = place.parent / "home", place.parent / "slurm"
    of_profile(place, "old", OPEN, "group")
    state = open_store(place).sweep("old").state()
    header = replace(state.manifest.newest_header(), file="x.yaml", folder=str(home))
    state.freeze(header, [listed.entry for listed in state.manifest.listed.values()])
    (place.parent / "x.yaml").unlink()
    stat, access = os.stat, os.access

    def closed_stat(path: Any, *args: Any, **options: Any) -> os.stat_result:
        if str(path).startswith((f"{home}/", "slurm/")):
            raise PermissionError(13, "Permission denied", str(path))
        return stat(path, *args, **options)

    monkeypatch.setattr("os.stat", closed_stat)
    monkeypatch.setattr(
        "os.access", lambda path, mode: str(path) not in ("slurm", str(profiles)) and access(path, mode)
    )
    runs = ["--runs", str(place)]
    code, _, err = typed("status", "old", *runs, capsys=capsys)
    assert (code, commands(err)) == (0, [["sweep", "FILE", "--on", "group", *runs]])
    with pytest.raises(LaunchError, match="there is no profile 'group'; you may not read slurm"):
        load_profile("group")


def test_a_profile_that_is_not_valid_is_told_with_both_ways_out(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (place.parent / "slurm" / "group.yaml").write_text("slot: 1\n")
    of_profile(place, "old", BAD, "group")
    code, _, err = typed("retry", "old", "--runs", str(place), capsys=capsys)
    assert code == 2
    assert "with the profile 'group': slurm/group.yaml: slot: unknown key; did you mean slots?" in err
    assert "`launch retry old --on PROFILE" in err
