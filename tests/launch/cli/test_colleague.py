"""A sweep that a colleague has submitted, with a profile that this user does not have."""

import shlex
from pathlib import Path

import pytest

from launch import api
from launch.errors import LaunchError
from tests.launch.cli.test_location import BAD, commands, of_profile, typed
from tests.launch.cli.test_location import place as place


@pytest.mark.parametrize("profile", ["group", "other"])
def test_the_hint_to_retry_has_the_profile_that_was_typed(
    place: Path, profile: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (place.parent / "slurm" / "other.yaml").write_text(f"runs_dir: {place}\n")
    of_profile(place, "old", BAD, profile)
    on = ["--on", "station"]
    assert commands(typed("status", "old", *on, capsys=capsys)[2])[-1] == ["retry", "old", *on]
    of_profile(Path("runs"), "old", BAD, "group")  # `--on station` alone would mean this one
    found = commands(typed("status", "old", *on, capsys=capsys)[2])[-1]
    assert found == ["retry", "old", *on, "--runs", str(place)]


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


def test_a_profile_that_is_not_valid_is_told_with_both_ways_out(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (place.parent / "slurm" / "group.yaml").write_text("slot: 1\n")
    of_profile(place, "old", BAD, "group")
    code, _, err = typed("retry", "old", "--runs", str(place), capsys=capsys)
    assert code == 2
    assert "with the profile 'group': slurm/group.yaml: slot: unknown key; did you mean slots?" in err
    assert "`launch retry old --on PROFILE" in err
