"""A real Slurm on this machine: munge, slurmctld, virtual nodes, and for accounting slurmdbd with mariadb.

    eval "$(python -m tests.engines.slurm up [FOLDER])"     python -m tests.engines.slurm down [FOLDER]

`up` changes nothing if the cluster runs. It needs Debian's packages, but no systemd, and writes only in its folder.
"""

import getpass
import os
import shutil
import socket
import stat
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from tests.engines.daemon import Daemon, EngineError, wait_until
from tests.engines.packages import PATH, missing
from tests.engines.slurm_settings import (
    ACCOUNT,
    Settings,
    Site,
    cgroup_conf,
    gres_conf,
    slurm_conf,
    slurmdbd_conf,
)

_LONGEST = 60  # characters of a folder that sockets lie under
_FIRST_PORT, _LAST_PORT, _PORTS = 21000, 29000, 40
_UP_S = 60
_UNFIT = ("unk", "down", "inval", "fail", "*")  # words of a node that takes no job


class Slurm:
    """One cluster.

    Args:
        folder: The folder of all its files; its path must be short, since it contains sockets.
        settings: The settings of the cluster.
    """

    def __init__(self, folder: Path, settings: Settings | None = None) -> None:
        if len(str(folder)) > _LONGEST:
            raise EngineError(f"{folder} is too long for the sockets under it: at most {_LONGEST} characters")
        self.folder = folder
        self.settings = settings or Settings()
        if os.getuid() != 0 and self.settings.gpus:
            self.settings = replace(self.settings, gpus=0)

    # What tests and the engine ask.

    @property
    def environment(self) -> dict[str, str]:
        """The environment for processes that use this cluster."""
        path = os.environ.get("PATH", os.defpath)
        return {"SLURM_CONF": str(self.folder / "etc/slurm.conf"), "PATH": path + PATH, "LC_ALL": "C"}

    def call(self, *words: str, check: bool = True) -> str:
        """Run a command that uses this cluster, and return its output."""
        done = subprocess.run(
            words, env={**os.environ, **self.environment}, capture_output=True, text=True, check=False, timeout=120
        )
        if check and done.returncode:
            raise EngineError(f"{' '.join(words)} ended with {done.returncode}: {done.stderr or done.stdout}")
        return done.stdout

    def daemon(self, name: str) -> Daemon:
        """Return a daemon by its name: `slurmctld`, `slurmdbd`, `mariadbd`, `munged`, `node1`."""
        return Daemon(name, self.folder)

    @property
    def answers(self) -> bool:
        """Whether slurmctld answers."""
        return self.daemon("slurmctld").pid is not None and "UP" in self.call("scontrol", "ping", check=False)

    @property
    def fit_nodes(self) -> list[str]:
        """The nodes that take jobs."""
        lines = self.call("sinfo", "-h", "-N", "-o", "%N %t", check=False).splitlines()
        return sorted({line.split()[0] for line in lines if not any(word in line for word in _UNFIT)})

    # Up and down.

    def up(self) -> None:
        """Start the daemons that do not run, and return when every node takes jobs."""
        self.start()
        self.resume()
        self._until(lambda: self.fit_nodes == self.settings.node_names, "the nodes", "slurmctld")

    def start(self) -> None:
        """Start the daemons that do not run, and return when slurmctld answers; nodes may need some seconds more."""
        for name in ("etc", "log", "run", "state", "dev", "spool", "db"):
            (self.folder / name).mkdir(parents=True, exist_ok=True, mode=0o755)
        self._configure()
        self._start_munge()
        if self.settings.accounting:
            self._start_accounting()
        self.start_controller()
        for name in self.settings.node_names:
            self.start_node(name)

    def start_controller(self) -> None:
        """Start slurmctld, and return when it answers."""
        controller = self.daemon("slurmctld")
        controller.start(["slurmctld", "-D"], self.environment)
        self._until(lambda: self.answers, "slurmctld", "slurmctld")

    def start_node(self, name: str) -> None:
        """Start a node's slurmd."""
        (self.folder / "spool" / name).mkdir(exist_ok=True)
        self.daemon(name).start(["slurmd", "-D", "-N", name], self.environment)

    def resume(self) -> None:
        """Resume, as an administrator does, the nodes that Slurm has drained itself.

        A slurmctld that was killed may number a job, or start one, a second time: "Duplicate jobid" drains the node.
        """
        for line in self.call("sinfo", "-h", "-N", "-o", "%N %t", check=False).splitlines():
            name, state = line.split()
            if state.startswith(("drain", "drng", "inval")):
                self.call("scontrol", "update", f"nodename={name}", "state=resume", check=False)

    def configure(self, settings: Settings) -> None:
        """Change the settings, with the same number of nodes; this restarts slurmctld and keeps the jobs."""
        self.daemon("slurmctld").stop()
        self.settings = settings
        self.start()
        self.call("scontrol", "reconfigure")  # the nodes read them too

    def down(self) -> None:
        """Cancel every job and stop every daemon."""
        if self.answers:
            self.cancel_all()
        nodes = [path.stem for path in (self.folder / "run").glob("node*.pid")]
        for name in [*nodes, "slurmctld", "slurmdbd", "mariadbd", "munged"]:
            self.daemon(name).stop()

    def remove(self) -> None:
        """Stop everything and remove the folder."""
        self.down()
        shutil.rmtree(self.folder, ignore_errors=True)

    # Jobs.

    def cancel_all(self) -> None:
        """Cancel every job, and wait until the queue is empty."""
        jobs = sorted({line.split("_")[0] for line in self.jobs("%A")})
        if jobs:
            self.call("scancel", *jobs, check=False)
            if not wait_until(lambda: not self.jobs(), 15):
                self.call("scancel", "--signal=KILL", "--full", *jobs, check=False)
                wait_until(lambda: not self.jobs(), 15)

    def jobs(self, form: str = "%i %T %j %r") -> list[str]:
        """Return a line of squeue for each job or array task that is queued or runs."""
        return self.call("squeue", "-h", "-r", "-o", form, check=False).splitlines()

    def limit(self, **limits: int) -> None:
        """Set limits of this user's association, such as MaxSubmitJobs; -1 removes a limit."""
        words = [f"{name}={value}" for name, value in limits.items()]
        self.call("sacctmgr", "-i", "modify", "user", getpass.getuser(), "set", *words)

    # The inside.

    def _configure(self) -> None:
        etc, site = self.folder / "etc", self._site()
        conf, text = etc / "slurm.conf", slurm_conf(site, self.settings)
        if conf.exists() and conf.read_text() != text:
            self.daemon("slurmctld").stop()  # as after a test that was killed in the middle of other settings
        _write(conf, text)
        _write(etc / "gres.conf", gres_conf(site, self.settings))
        _write(etc / "cgroup.conf", cgroup_conf())
        _write_private(etc / "slurmdbd.conf", slurmdbd_conf(site).encode())
        for number in range(self.settings.gpus):
            device = self.folder / "dev" / f"gpu{number}"
            if not device.exists():
                os.mknod(device, 0o666 | stat.S_IFCHR, os.makedev(1, 3))  # another name of /dev/null

    def _site(self) -> Site:
        host = socket.gethostname().partition(".")[0]
        try:
            address = socket.gethostbyname(host)
        except OSError:
            address = "127.0.0.1"
        address = address if address.startswith("127.") else "127.0.0.1"
        return Site(folder=self.folder, host=host, address=address, port=self._port())

    def _port(self) -> int:
        noted = self.folder / "run" / "port"
        if not noted.exists():
            noted.write_text(str(_free_port()))
        return int(noted.read_text())

    def _start_munge(self) -> None:
        folder, site = self.folder, self._site()
        key = folder / "etc" / "munge.key"
        if not key.exists():
            _write_private(key, os.urandom(1024))
        words = {
            "--key-file": key,
            "--socket": site.munge_socket,
            "--pid-file": folder / "run/munged.own",
            "--log-file": folder / "log/munged.log",
            "--seed-file": folder / "state/munge.seed",
        }
        options = [f"{option}={path}" for option, path in words.items()]
        self.daemon("munged").start(["munged", "--foreground", "--force", *options], self.environment)
        self._until(lambda: self._says("munge", "-n", "-S", str(site.munge_socket)), "munged", "munged")

    def _start_accounting(self) -> None:
        folder, site, user = self.folder, self._site(), getpass.getuser()
        data, database = folder / "db", folder / "run/mysql.sock"
        if not (data / "mysql").is_dir():
            words = [f"--user={user}", f"--datadir={data}", "--skip-test-db", f"--auth-root-socket-user={user}"]
            self.call("mariadb-install-db", "--no-defaults", "--auth-root-authentication-method=socket", *words)
        options = [
            f"--user={user}",
            f"--datadir={data}",
            f"--socket={database}",
            "--skip-networking",
            f"--pid-file={folder}/run/mariadbd.own",
            f"--log-error={folder}/log/mariadbd.log",
            "--innodb-buffer-pool-size=64M",
            "--innodb-log-file-size=64M",
            "--innodb-lock-wait-timeout=900",
            "--innodb-flush-log-at-trx-commit=0",
        ]
        self.daemon("mariadbd").start(["mariadbd", "--no-defaults", *options], self.environment)
        client = ("mariadb", "--no-defaults", "-u", "root", "-S", str(database), "-e", "select 1")
        self._until(lambda: self._says(*client), "mariadbd", "mariadbd")
        self.daemon("slurmdbd").start(["slurmdbd", "-D"], {**self.environment, "MYSQL_UNIX_PORT": str(database)})
        self._until(lambda: _accepts(site.address, site.port + 1), "slurmdbd", "slurmdbd")
        # Before slurmctld's first start: it must find its cluster there, and its user an account.
        if self.settings.name not in self.call("sacctmgr", "-n", "list", "cluster", "format=cluster%30", check=False):
            self.call("sacctmgr", "-i", "-Q", "add", "cluster", self.settings.name)
            self.call("sacctmgr", "-i", "-Q", "add", "account", ACCOUNT)
            self.call("sacctmgr", "-i", "-Q", "add", "user", user, f"account={ACCOUNT}", check=False)
            self.call("sacctmgr", "-i", "-Q", "modify", "user", user, "set", f"defaultaccount={ACCOUNT}", check=False)

    def _says(self, *words: str) -> bool:
        with suppress(EngineError):
            self.call(*words)
            return True
        return False

    def _until(self, truth: Callable[[], bool], what: str, daemon: str) -> None:
        """Wait until a condition is true; raise if the daemon ends first."""
        wait_until(lambda: self.daemon(daemon).pid is None or truth(), _UP_S, poll_s=0.05)
        if not truth():
            tails = [f"==> {path.name}\n{_tail(path)}" for path in sorted((self.folder / "log").iterdir())]
            raise EngineError(f"{what} did not come up\n" + "\n".join(tails))


def _write(path: Path, text: str) -> None:
    """Write a file in one step if its text changes: a node that reads half of it would drain itself."""
    if not path.exists() or path.read_text() != text:
        own = path.with_suffix(".new")
        own.write_text(text)
        own.replace(path)


def _write_private(path: Path, data: bytes) -> None:
    path.unlink(missing_ok=True)
    with open(path, "wb", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
        file.write(data)


def _tail(path: Path) -> str:
    return "\n".join(path.read_text(errors="replace").splitlines()[-4:])


def _accepts(address: str, port: int) -> bool:
    with suppress(OSError), socket.create_connection((address, port), timeout=1):
        return True
    return False


def _free_port() -> int:
    """Return the first port of a range on which no process listens."""
    start = _FIRST_PORT + os.getpid() % 200 * _PORTS
    for port in [*range(start, _LAST_PORT, _PORTS), *range(_FIRST_PORT, start, _PORTS)]:
        if not any(_accepts("127.0.0.1", port + offset) for offset in range(_PORTS)):
            return port
    raise EngineError("no free ports")


def main() -> int:
    """Start or stop a cluster from a shell."""
    folder = Path(sys.argv[2] if len(sys.argv) > 2 else f"/tmp/slurm-{os.getuid()}-dev").absolute()
    if sys.argv[1:2] == ["down"]:
        Slurm(folder).remove()
        return 0
    if sys.argv[1:2] != ["up"]:
        sys.stderr.write(f"{__doc__}")
        return 2
    if missing():
        sys.stderr.write(f"missing; type: apt-get install --no-install-recommends {' '.join(missing())}\n")
        return 1
    cluster = Slurm(folder)
    cluster.up()
    print(f"export SLURM_CONF={cluster.environment['SLURM_CONF']}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
