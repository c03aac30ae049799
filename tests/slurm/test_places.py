"""Two clusters, or two users, with one folder of runs: neither spoils what the other sees, and nothing runs twice."""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest

from launch.store.snapshot import OWN_CODE
from launch.store.state import State
from tests.engines.daemon import wait_until
from tests.engines.slurm import Slurm
from tests.engines.slurm_settings import ACCOUNT, Settings
from tests.slurm.project import Project


@pytest.fixture
def other(slurm: Slurm) -> Iterator[Slurm]:
    """A second cluster with the name of the first: only their controllers tell them apart."""
    folder = Path(tempfile.mkdtemp(prefix="slurm-", dir="/tmp"))
    cluster = Slurm(folder, Settings(nodes=1, gpus=0, accounting=False, name=slurm.settings.name))
    try:
        cluster.up()
        yield cluster
    finally:
        cluster.remove()


def test_what_another_cluster_has_is_left_to_it(
    project: Project, slurm: Slurm, other: Slurm, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = (cluster.environment["SLURM_CONF"] for cluster in (slurm, other))
    project.profile(poll_interval_s=600)
    project.sweep(runs=4, max_parallel=2)
    project.hold()
    project.launch("sweep", "x.yaml", "--on", "test")
    assert wait_until(lambda: project.states().count(State.RUNNING) == 2, 60), slurm.jobs()
    project.launch("status", "x")

    monkeypatch.setenv("SLURM_CONF", there)
    shown = project.launch("status", "x")
    assert shown.count("PENDING") == 2 and "not visible from here: job" in shown
    project.launch("sweep", "x.yaml", "--on", "test")
    assert "nothing new for test; 4 left to job" in project.said
    assert not other.jobs()
    views = project.views()
    project.launch("cancel", views[0].run_id, views[3].run_id, code=3)
    assert project.said.count("not reached  x/") == 2
    assert f"2 runs could not be reached: job {slurm.jobs('%F')[0]} of " in project.said

    monkeypatch.setenv("SLURM_CONF", here)
    assert project.states() == [State.RUNNING, State.RUNNING, State.PENDING, State.CANCELLED]
    assert len(slurm.jobs()) == 4
    project.launch("cancel", views[0].run_id)
    assert wait_until(lambda: project.states()[0] is State.CANCELLED, 60), project.views()
    project.hold(False)
    assert wait_until(lambda: project.states()[1:3] == [State.SUCCEEDED] * 2, 60), slurm.jobs()
    assert wait_until(lambda: not slurm.jobs(), 60)
    assert len(project.starts()) == 3

    # What was cancelled and is retried goes to the cluster on which the command is typed.
    monkeypatch.setenv("SLURM_CONF", there)
    project.launch("retry", "x")
    assert len(other.jobs()) + len(project.starts()) >= 4
    project.until(State.SUCCEEDED)
    assert len(project.starts()) == 5


def copy_launcher(folder: Path) -> None:
    """Copy the launcher and the packages that it imports into a folder: a clone may be closed to other users."""
    for name in ("launch", "s5"):
        shutil.copytree(OWN_CODE / name, folder / name)
    names = ["hydra-core", "submitit", "docker", "rich", "pyyaml"]
    for name in names:  # grows
        package = metadata.distribution(name)
        required = [re.split(r"[^\w.-]", line)[0] for line in package.requires or () if "extra ==" not in line]
        names += [other for other in required if other not in names and _is_installed(other)]
        for top in {file.parts[0] for file in package.files or ()} - {"..", "__pycache__"}:
            source, target = Path(str(package.locate_file(top))), folder / top
            if source.is_dir():
                shutil.copytree(source, target, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
            elif source.exists():
                shutil.copy(source, target)


def _is_installed(name: str) -> bool:
    try:
        metadata.distribution(name)
    except metadata.PackageNotFoundError:
        return False
    return True


class Colleague:
    """A user of this machine who types commands in a folder that others of the group `users` can write.

    Args:
        name: The user.
        folder: The folder.
        slurm: The cluster.
    """

    def __init__(self, name: str, folder: Path, slurm: Slurm) -> None:
        self._folder = folder
        # setpriv itself may still read what only root may: the shell starts the program as the user.
        self._words = ["setpriv", f"--reuid={name}", "--regid=users", "--groups=users", "sh", "-c", 'exec "$@"', "sh"]
        self._environment = {
            **slurm.environment,
            "HOME": os.fspath(folder),
            "PYTHONPATH": os.fspath(folder / "code"),
            "LAUNCH_RUNS": os.fspath(folder / "runs"),
        }
        version = "import sys, launch.cli; print(sys.version_info[:2])"
        for self._python in (f"{sys.base_prefix}/bin/python3", "/usr/bin/python3"):
            if self._call("-c", version).stdout.strip() == str(sys.version_info[:2]):
                break
        else:
            pytest.skip("other users cannot read the Python of these tests")
        slurm.call("sacctmgr", "-i", "-Q", "add", "user", name, f"account={ACCOUNT}", check=False)
        slurm.call("sacctmgr", "-i", "-Q", "modify", "user", name, "set", f"defaultaccount={ACCOUNT}", check=False)

    def _call(self, *words: str, umask: int = 0o002) -> "subprocess.CompletedProcess[str]":
        command = [*self._words, self._python, *words]
        return subprocess.run(
            command, cwd=self._folder, env=self._environment, capture_output=True, text=True, check=False, umask=umask
        )

    def launch(self, *words: str, code: int = 0, umask: int = 0o002) -> str:
        """Type a command, and return what it prints."""
        done = self._call("-m", "launch.cli", *words, umask=umask)
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr

    def states(self) -> list[str]:
        return [view["state"] for view in json.loads(self._call("-m", "launch.cli", "status", "x", "--json").stdout)]


@pytest.fixture
def shared(slurm: Slurm) -> Iterator[Path]:
    """A folder with a profile and a sweep, in which the group `users` may write."""
    if os.getuid() != 0:
        pytest.skip("only root can act as two users")
    folder = Path(tempfile.mkdtemp(prefix="launch-", dir="/tmp"))
    (folder / "slurm").mkdir()
    (folder / "slurm" / "test.yaml").write_text(json.dumps({"backend": "slurm", "poll_interval_s": 600}))
    copy_launcher(folder / "code")
    shutil.chown(folder, group="users")
    folder.chmod(0o2775)
    yield folder
    slurm.cancel_all()
    shutil.rmtree(folder)


def test_a_sweep_is_handed_to_a_colleague(shared: Path, slurm: Slurm) -> None:
    ada, bob = Colleague("daemon", shared, slurm), Colleague("bin", shared, slurm)
    hold = "while [ -e hold ]; do sleep 0.1; done"
    sweep = {"experiment": "digits/s5", "command": ["bash", "-c", f"cd {shared}; {hold}"], "max_parallel": 1}
    (shared / "x.yaml").write_text(json.dumps({**sweep, "seeds": 3}))
    (shared / "hold").touch()
    ada.launch("sweep", "x.yaml", "--on", "test")
    assert wait_until(lambda: "RUNNING" in slurm.call("squeue", "-h", "-t", "R", "-o", "%T"), 30), slurm.jobs()

    # The queue, which says RUNNING first, is asked again after `poll_interval_s`; the run itself says it soon after.
    assert wait_until(lambda: bob.states() == ["RUNNING", "PENDING", "PENDING"], 60), bob.launch("status", "x")
    assert "nothing new" in bob.launch("sweep", "x.yaml", "--on", "test")
    assert {line.split()[0] for line in slurm.jobs("%u")} == {"daemon"}
    said = bob.launch("cancel", "x", code=3)
    assert "3 not reached" in said and "of daemon on the cluster" in said
    assert ada.states() == ["RUNNING", "CANCELLED", "CANCELLED"]
    ada.launch("cancel", "x")
    assert wait_until(lambda: not slurm.jobs(), 60)

    (shared / "hold").unlink()
    bob.launch("retry", "x")
    assert wait_until(lambda: not slurm.jobs(), 60)
    (shared / "x.yaml").write_text(json.dumps({**sweep, "seeds": 4}))
    ada.launch("sweep", "x.yaml", "--on", "test")
    assert wait_until(lambda: not slurm.jobs(), 60)
    assert ada.states() == bob.states() == ["SUCCEEDED"] * 4


def test_a_colleague_who_cancels_and_retries_at_once_takes_over_what_has_not_begun(shared: Path, slurm: Slurm) -> None:
    ada, bob = Colleague("daemon", shared, slurm), Colleague("bin", shared, slurm)
    hold = "while [ -e hold ]; do sleep 0.1; done"
    sweep = {"experiment": "digits/s5", "command": ["bash", "-c", f"cd {shared}; {hold}"], "seeds": 3}
    (shared / "x.yaml").write_text(json.dumps({**sweep, "max_parallel": 1}))
    (shared / "hold").touch()
    ada.launch("sweep", "x.yaml", "--on", "test")
    assert wait_until(lambda: ada.states() == ["RUNNING", "PENDING", "PENDING"], 60), slurm.jobs()
    bob.launch("cancel", "x", code=3)
    said = bob.launch("retry", "x")
    assert "2 submitted to test" in said
    assert "1 cancelled run still stopping: type `launch retry x` again" in said
    assert bob.states() == ["RUNNING", "PENDING", "PENDING"]
    (shared / "hold").unlink()
    assert wait_until(lambda: not slurm.jobs(), 90), slurm.jobs()
    assert bob.states() == ada.states() == ["SUCCEEDED"] * 3, bob.launch("status", "x")


def test_a_folder_of_another_user_says_whose_it_is(shared: Path, slurm: Slurm) -> None:
    ada, bob = Colleague("daemon", shared, slurm), Colleague("bin", shared, slurm)
    (shared / "x.yaml").write_text(json.dumps({"experiment": "digits/s5", "command": ["true"]}))
    ada.launch("sweep", "x.yaml", "--on", "test", umask=0o022)
    assert wait_until(lambda: not slurm.jobs(), 60)
    (shared / "x.yaml").write_text(json.dumps({"experiment": "digits/s5", "command": ["true"], "seeds": 2}))
    bob.launch("status", "x")
    assert "belongs to daemon" in bob.launch("sweep", "x.yaml", "--on", "test", "--dry-run", code=2)
    said = bob.launch("sweep", "x.yaml", "--on", "test", code=2)
    assert "belongs to daemon: users share a folder of runs through a common group" in said
    assert '"To hand a sweep to a colleague" in docs/slurm.md' in said
    assert "belongs to daemon" in bob.launch("rm", "x", "--yes", code=2)
