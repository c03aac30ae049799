import json
from dataclasses import replace
from pathlib import Path

import pytest

from launch.cli import main
from launch.errors import ExitCode
from tests.engines.slurm import Slurm


@pytest.fixture
def profile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "slurm").mkdir()
    return tmp_path / "slurm" / "test.yaml"


def examined(capsys: pytest.CaptureFixture[str], code: int) -> dict[str, dict[str, str]]:
    assert main(["doctor", "--on", "test", "--json"]) == code
    return {check["name"]: check for check in json.loads(capsys.readouterr().out)}


def test_a_profile_that_fits_the_cluster(slurm: Slurm, profile: Path, capsys: pytest.CaptureFixture[str]) -> None:
    profile.write_text("backend: slurm\npartition: low\naccount: users\n")
    slurm.limit(MaxSubmitJobs=10)
    checks = examined(capsys, ExitCode.OK)
    assert checks["slurmctld"]["message"].startswith("launchtest, Slurm ")
    assert checks["preemption"]["message"] == "low: requeue, 30 s after a signal (the asked-for one)"
    assert checks["account"]["message"] == "users"
    assert checks["submit limit"]["message"] == "10 runs at once in the queue"
    assert "cpu" not in checks
    slurm.limit(MaxSubmitJobs=-1)


def test_mistakes_of_a_profile_are_named(slurm: Slurm, profile: Path, capsys: pytest.CaptureFixture[str]) -> None:
    profile.write_text("backend: slurm\npartition: mian\naccount: userz\nqos: norml\ngpu_type: h100\n")
    checks = examined(capsys, ExitCode.SOME_FAILED)
    advice = {
        name: checks[name]["advice"] for name in ("partition", "account", "qos") if checks[name]["level"] == "fail"
    }
    assert advice == {name: f"set in the profile: {name}: {word}" for name, word in WORDS.items()}


WORDS = {"partition": "main", "account": "users", "qos": "normal"}


def test_no_accounts_and_no_controller(
    slurm: Slurm, profile: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    profile.write_text("backend: slurm\npartition: main\n")
    slurm.configure(replace(slurm.settings, accounting=False, message_timeout_s=2))
    assert "keeps none" in examined(capsys, ExitCode.OK)["accounts"]["message"]
    slurm.daemon("slurmctld").stop()
    assert "does not answer" in examined(capsys, ExitCode.UNREACHABLE)["slurmctld"]["message"]
    (unfit := profile.with_name("slurm.conf")).touch()  # for one that is not there, clients wait a minute
    monkeypatch.setenv("SLURM_CONF", str(unfit))
    assert "no Slurm configuration" in examined(capsys, ExitCode.UNREACHABLE)["clients"]["message"]
