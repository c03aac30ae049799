"""A real Docker engine on this machine, and a registry: private, without systemd, bridge or firewall rules.

    eval "$(python -m tests.engines.docker up [FOLDER])"     python -m tests.engines.docker down [FOLDER]

`up` changes nothing if the engine runs. It needs root and Debian's packages, and leaves nothing outside its folder. The
containers have no network, or the machine's. The base image is made from the archive in apt's settings.
"""

import os
import shutil
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from tests.engines.daemon import Daemon, EngineError, wait_until
from tests.engines.debian import make_root
from tests.engines.packages import PATH, find
from tests.engines.session import claim

BASE = "localhost/base:bookworm"  # a minimal Debian with Python
PACKAGES = {"docker.io": "dockerd", "mmdebstrap": "mmdebstrap", "docker-registry": "docker-registry"}
_HOOK = "nvidia-container-runtime-hook"  # an engine that finds it when it starts takes requests for GPUs
_CLIENT = "/usr/bin/docker"  # Debian's, as old as its engine: another on the path may want plugins
_LONGEST = 60  # characters of a folder that sockets lie under
_UP_S = 60


def missing() -> list[str]:
    """Return the packages of an engine and a registry that are not installed."""
    return [package for package, program in PACKAGES.items() if find(program) is None]


class Docker:
    """One engine.

    Args:
        folder: The folder of all its files; its path must be short, since it contains sockets.
    """

    def __init__(self, folder: Path) -> None:
        if len(str(folder)) > _LONGEST:
            raise EngineError(f"{folder} is too long for the sockets under it: at most {_LONGEST} characters")
        self.folder = folder

    # What tests ask.

    @property
    def environment(self) -> dict[str, str]:
        """The environment for processes that use this engine."""
        path = os.environ.get("PATH", os.defpath)
        return {
            "DOCKER_HOST": f"unix://{self.folder}/docker.sock",
            "DOCKER_CONFIG": str(self.folder / "config"),
            "XDG_CACHE_HOME": str(self.folder / "cache"),  # what a build keeps for the next one
            "PATH": f"{self.folder}/bin:{path}{PATH}",
        }

    def call(self, *words: str, check: bool = True) -> str:
        """Run `docker` and return its output."""
        done = subprocess.run(
            [str(self.folder / "bin/docker"), *words],
            env={**os.environ, **self.environment},
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
        if check and done.returncode:
            raise EngineError(f"docker {' '.join(words)} ended with {done.returncode}: {done.stderr or done.stdout}")
        return done.stdout

    @property
    def daemon(self) -> Daemon:
        """The engine's daemon."""
        return Daemon("dockerd", self.folder)

    @property
    def answers(self) -> bool:
        """Whether the engine answers."""
        with suppress(OSError), socket.socket(socket.AF_UNIX) as client:
            client.connect(str(self.folder / "docker.sock"))
            return bool(self.call("version", "--format", "{{.Server.Version}}", check=False).strip())
        return False

    def remove_containers(self) -> None:
        """End and remove every container."""
        if ids := self.call("ps", "-aq", check=False).split():
            self.call("rm", "-f", *ids, check=False)

    # Up and down.

    def up(self) -> None:
        """Start the daemons that do not run, and return when the engine answers and has the base image."""
        self.start()
        if not self.call("images", "-q", BASE):
            self._make_base()

    def start(self, *, gpus: bool | None = None) -> None:
        """Start the engine if it does not run, and return when it answers.

        Args:
            gpus: Whether it takes requests for GPUs, by a hook that does nothing: nothing appears in a container but
                `NVIDIA_VISIBLE_DEVICES`. None leaves it as it is.
        """
        claim(self.folder, "docker")
        for name in ("log", "run", "bin", "config", "registry"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        client = self.folder / "bin/docker"
        if not client.is_symlink():
            client.symlink_to(_CLIENT)
        hook = self.folder / "bin" / _HOOK
        if gpus is not None and gpus != hook.exists():
            self.daemon.stop()
            hook.unlink(missing_ok=True)
            if gpus:
                shutil.copy("/bin/true", hook)
        if self.daemon.pid is None:
            self._clean()
        self.daemon.start(self._command(), self.environment)
        wait_until(lambda: self.daemon.pid is None or self.answers, _UP_S, poll_s=0.05)
        if not self.answers:
            raise EngineError(f"dockerd did not come up\n{_tail(self.folder / 'log/dockerd.out')}")

    def start_registry(self) -> str:
        """Start the registry if it does not run; return its address, the prefix of an image's name."""
        noted, config = self.folder / "run/registry.port", self.folder / "registry.yml"
        daemon = Daemon("docker-registry", self.folder)
        if daemon.pid is None:
            with socket.create_server(("127.0.0.1", 0)) as server:
                noted.write_text(str(server.getsockname()[1]))
            config.write_text(
                f"version: 0.1\nstorage: {{filesystem: {{rootdirectory: {self.folder}/registry}}}}\n"
                f"http: {{addr: '127.0.0.1:{noted.read_text()}'}}\nlog: {{level: warn}}\n"
            )
            daemon.start(["docker-registry", "serve", str(config)], {"OTEL_TRACES_EXPORTER": "none"})
        port = int(noted.read_text())
        if not wait_until(lambda: _accepts(port) or daemon.pid is None, _UP_S, poll_s=0.05) or daemon.pid is None:
            raise EngineError(f"the registry did not come up\n{_tail(self.folder / 'log/docker-registry.out')}")
        return f"127.0.0.1:{port}"

    def down(self) -> None:
        """Stop the registry, every container and the engine; images stay."""
        Daemon("docker-registry", self.folder).stop()
        if self.answers and (ids := self.call("ps", "-q", check=False).split()):
            self.call("kill", *ids, check=False)
        self.daemon.stop()
        self._clean()

    def remove(self) -> None:
        """Stop everything and remove the folder."""
        self.down()
        shutil.rmtree(self.folder, ignore_errors=True)

    # The inside.

    def _command(self) -> list[str]:
        folder = self.folder
        return [
            "dockerd",
            f"--data-root={folder}/data",
            f"--exec-root={folder}/exec",
            f"--pidfile={folder}/run/dockerd.own",
            f"--host=unix://{folder}/docker.sock",
            "--storage-driver=overlay2",
            "--exec-opt=native.cgroupdriver=cgroupfs",
            # The machine's network stays as it is.
            "--bridge=none",
            "--iptables=false",
            "--ip6tables=false",
            "--ip-forward=false",
            "--ip-masq=false",
        ]

    def _clean(self) -> None:
        """Clean up after an engine that was killed: end its shims and containers, remove mounts and a stale pid."""
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit() and self._is_ours(entry):
                children = [pid for task in entry.glob("task/*/children") for pid in _words(task)]
                for pid in (*children, entry.name):
                    with suppress(ProcessLookupError):
                        os.kill(int(pid), signal.SIGKILL)
        mounts = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
        for place in sorted((m for m in mounts if m.startswith(f"{self.folder}/")), reverse=True):
            subprocess.run(["umount", "-l", place], check=False, capture_output=True)
        (self.folder / "run/dockerd.own").unlink(missing_ok=True)
        shutil.rmtree(self.folder / "exec", ignore_errors=True)

    def _is_ours(self, entry: Path) -> bool:
        """Return whether a process is a container's shim or the containerd of this engine."""
        try:
            words = (entry / "cmdline").read_bytes().decode(errors="replace")
        except OSError:
            return False
        return words.startswith(("containerd", "/usr/bin/containerd")) and f"{self.folder}/exec/" in words

    def _make_base(self) -> None:
        """Make the base image from the archive of this machine's Debian, and load it into the engine."""
        file = self.folder / "base.tar"
        if not file.exists():
            options = [f"--dpkgopt=path-exclude=/usr/share/{name}/*" for name in ("man", "locale", "doc")]
            options += ['--customize-hook=rm -f "$1"/etc/apt/sources.list "$1"/etc/resolv.conf "$1"/etc/hostname']
            unfinished = file.with_suffix(".part")
            packages = ["python3", "python3-venv", "ca-certificates"]
            make_root(unfinished, packages, *options, form="tar", SOURCE_DATE_EPOCH="0")
            unfinished.rename(file)
        self.call("import", "-c", "ENV LANG=C.UTF-8", "-c", 'CMD ["python3"]', str(file), BASE)


def _words(path: Path) -> list[str]:
    with suppress(OSError):
        return path.read_text().split()
    return []


def _accepts(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


def _tail(path: Path) -> str:
    return "\n".join(path.read_text(errors="replace").splitlines()[-8:])


def main() -> int:
    """Start or stop an engine from a shell."""
    folder = Path(sys.argv[2] if len(sys.argv) > 2 else f"/tmp/docker-{os.getuid()}-dev").absolute()
    if sys.argv[1:2] == ["down"]:
        claim(folder, "docker")
        Docker(folder).remove()
        return 0
    if sys.argv[1:2] != ["up"]:
        sys.stderr.write(f"{__doc__}")
        return 2
    if absent := missing():
        sys.stderr.write(f"missing; type: apt-get install --no-install-recommends {' '.join(absent)}\n")
        return 1
    engine = Docker(folder)
    engine.up()
    for name in ("DOCKER_HOST", "DOCKER_CONFIG"):
        print(f"export {name}={engine.environment[name]}")
    print(f"export PATH={folder}/bin:$PATH")
    return 0


if __name__ == "__main__":
    sys.exit(main())
