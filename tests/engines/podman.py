"""A real Podman with its own images: without a daemon, with settings for the control groups of an old kernel."""

import ctypes
import json
import os
import subprocess
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.engines.daemon import EngineError
from tests.engines.docker import BASE, Docker
from tests.engines.packages import find
from tests.engines.session import claim, engine_of, locked

PACKAGES = {"podman": "podman", "runc": "runc", "catatonit": "catatonit"}

_SETTINGS = """
[containers]
default_ulimits = ["nofile=20000:20000", "nproc=32768:32768"]
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
runtime = "runc"
"""
_SUBREAPER = 36  # of prctl


class Podman:
    """One Podman.

    Args:
        folder: The folder of its images and containers.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def environment(self) -> dict[str, str]:
        """The environment for processes that use these images."""
        return {
            "CONTAINERS_CONF": str(self.folder / "containers.conf"),
            "CONTAINERS_STORAGE_CONF": str(self.folder / "storage.conf"),
        }

    def call(self, *words: str, check: bool = True) -> str:
        """Run `podman` and return its output."""
        own = {name: value for name, value in os.environ.items() if not name.startswith("DOCKER_")}
        done = subprocess.run(
            ["podman", *words],
            env={**own, **self.environment},
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
        if check and done.returncode:
            raise EngineError(f"podman {' '.join(words)} ended with {done.returncode}: {done.stderr}")
        return done.stdout

    def up(self, docker: Docker) -> None:
        """Write its settings, and copy the base image from an engine that has it."""
        claim(self.folder, "podman")
        (self.folder / "containers.conf").write_text(_SETTINGS)
        places = {"graphroot": self.folder / "images", "runroot": self.folder / "run"}
        lines = [f"{key} = {json.dumps(str(path))}" for key, path in places.items()]
        (self.folder / "storage.conf").write_text("\n".join(["[storage]", 'driver = "overlay"', *lines, ""]))
        if not self.call("images", "--quiet", BASE):
            archive = self.folder / "base.tar"
            docker.call("save", "--output", str(archive), BASE)
            self.call("load", "--quiet", "--input", str(archive))
            archive.unlink()

    def remove_containers(self) -> None:
        """End and remove every container."""
        self.call("rm", "--all", "--force", "--time=0", check=False)

    def remove(self) -> None:
        """Remove everything."""
        self.remove_containers()
        self.call("system", "reset", "--force", check=False)
        subprocess.run(["rm", "-rf", "--one-file-system", self.folder], check=False)


@pytest.fixture(scope="session")
def podman_images(docker_engine: Docker) -> Iterator[Podman]:
    """The session's Podman with the base image."""
    absent = [package for package, program in PACKAGES.items() if find(program) is None]
    if absent:
        pytest.skip(f"no Podman here; type: apt-get install --no-install-recommends {' '.join(absent)}")
    with engine_of("podman", Podman, lambda found: found.up(docker_engine)) as found:
        yield found


@pytest.fixture
def podman(podman_images: Podman, monkeypatch: pytest.MonkeyPatch) -> Iterator[Podman]:
    """Podman without containers; every command of the test uses its images."""
    for name in [name for name in os.environ if name.startswith("DOCKER_")]:
        monkeypatch.delenv(name)  # Podman reads Docker's settings, and refuses a folder of them without any
    for name, value in podman_images.environment.items():
        monkeypatch.setenv(name, value)
    with locked(podman_images.folder / "turn"), Reaper():
        yield podman_images
        podman_images.remove_containers()


class Reaper:
    """Reap the children of conmon: Podman waits for its monitor, and process 1 does not reap on every machine."""

    def __enter__(self) -> None:
        self._over = threading.Event()
        self._libc = ctypes.CDLL(None)
        self._libc.prctl(_SUBREAPER, 1, 0, 0, 0)
        self._thread = threading.Thread(target=self._reap, daemon=True)
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        self._libc.prctl(_SUBREAPER, 0, 0, 0, 0)

    def _reap(self) -> None:
        while not self._over.wait(0.05):
            for task in os.listdir("/proc/self/task"):
                for pid in _children(task):
                    with suppress(OSError):
                        words = Path(f"/proc/{pid}/stat").read_text()
                        if "(conmon) Z" in words or "(podman) Z" in words:
                            os.waitpid(int(pid), os.WNOHANG)


def _children(task: str) -> list[str]:
    """Return the child processes of a thread of this process; an empty result if the thread has ended."""
    try:
        return Path(f"/proc/self/task/{task}/children").read_text().split()
    except OSError:
        return []
