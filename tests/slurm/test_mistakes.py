"""Every mistake that only Slurm can find ends the command with a message, and leaves nothing in the queue."""

from dataclasses import replace
from typing import Any

import pytest

from launch.errors import ExitCode
from launch.store.state import State
from tests.engines.slurm import Slurm
from tests.slurm.project import Project


@pytest.mark.parametrize(
    ("site", "sweep", "words"),
    [
        ({"partition": "mian"}, {}, ("slurm/test.yaml: partition", "did you mean main?")),
        ({"account": "nobodys"}, {}, ("slurm/test.yaml: account", "'nobodys'")),
        ({"qos": "express"}, {}, ("slurm/test.yaml: qos", "'express'")),
        ({"constraint": "quantum"}, {}, ("slurm/test.yaml: constraint", "'quantum'")),
        ({"reservation": "mine"}, {}, ("slurm/test.yaml: reservation", "'mine'")),
        ({}, {"timeout_min": 20000}, ("resources.timeout_min", "10080 min")),
        ({}, {"cpus_per_task": 64}, ("resources", "no node of the partition")),
        ({}, {"mem_gb": 640}, ("resources", "no node")),
    ],
    ids=lambda value: next(iter(value), None) if isinstance(value, dict) else None,
)
def test_a_mistake_is_named_and_nothing_is_submitted(
    project: Project, slurm: Slurm, site: dict[str, Any], sweep: dict[str, Any], words: tuple[str, ...]
) -> None:
    project.profile(**site)
    project.sweep(resources={"cpus_per_task": 1, **sweep})
    project.launch("sweep", "x.yaml", "--on", "test", code=ExitCode.USAGE)
    assert all(word in project.said for word in words), project.said
    assert not slurm.jobs()
    assert not (project.folder / "runs" / "x").exists()


def test_without_slurm_here_it_says_where_to_type_the_command(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setenv("PATH", "/nowhere")
        project.launch("sweep", "x.yaml", "--on", "test", code=ExitCode.UNREACHABLE)
    assert "profile test (slurm/test.yaml): " in project.said
    assert "is not on the PATH" in project.said and "hint:" in project.said
    (unfit := project.folder / "slurm.conf").touch()  # for one that is not there, clients wait a minute
    monkeypatch.setenv("SLURM_CONF", str(unfit))
    project.launch("sweep", "x.yaml", "--on", "test", code=ExitCode.UNREACHABLE)
    assert f"no Slurm configuration (SLURM_CONF={unfit} is not one)" in project.said


def test_a_controller_that_is_down_costs_nothing(project: Project, slurm: Slurm) -> None:
    slurm.configure(replace(slurm.settings, message_timeout_s=2))
    project.launch("sweep", "x.yaml", "--on", "test", "--dry-run")
    slurm.daemon("slurmctld").stop()
    project.launch("sweep", "x.yaml", "--on", "test", code=ExitCode.UNREACHABLE)
    assert "controller does not answer" in project.said
    slurm.up()
    assert not slurm.jobs()
    project.launch("sweep", "x.yaml", "--on", "test")
    project.until(State.SUCCEEDED)
    assert len(project.starts()) == 2
