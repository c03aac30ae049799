"""A root file system with only Debian, Python, git and make, to find what the tests need besides.

    python -m tests.engines.bare_root COMMAND...

Each command runs in its own root, in a clean clone of the current commit. There is no engine, no cluster, no uv and no
cache; the home is empty, and no variable of this machine is set. The program needs root's rights and mmdebstrap. Mounts
and processes are in separate namespaces and end with the command, so only one folder must be removed afterwards.
"""

import ast
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

from tests.engines.daemon import EngineError
from tests.engines.debian import make_root, run
from tests.engines.packages import find

_PACKAGES = ["python3", "python3-venv", "ca-certificates", "git", "make"]
_CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"
_NAMESPACES = ("unshare", "--mount", "--ipc", "--pid", "--fork", "--kill-child")
_CLONE = "clone"
# The namespace's first process must outlive the command and reap orphans, as bash does: hence no `exec` at the end.
_ENTER = """
set -eu
root=$1 command=$2
mount -t proc proc "$root/proc"
mount -t tmpfs -o mode=755 tmpfs "$root/dev"
for name in null zero full random urandom tty; do
  : >"$root/dev/$name"
  mount --bind "/dev/$name" "$root/dev/$name"
done
mkdir "$root/dev/pts" "$root/dev/shm"
mount -t devpts -o newinstance,ptmxmode=0666,mode=620,gid=5 devpts "$root/dev/pts"
mount -t tmpfs -o mode=1777 tmpfs "$root/dev/shm"
ln -s pts/ptmx "$root/dev/ptmx"
ln -s /proc/self/fd "$root/dev/fd"
ln -s fd/0 "$root/dev/stdin"
ln -s fd/1 "$root/dev/stdout"
ln -s fd/2 "$root/dev/stderr"
chroot "$root" bash -euc "cd /root/clone; $command" </dev/null
exit $?
"""


def main(commands: list[str]) -> int:
    """Run the commands one after the other, and return the exit code of the first that fails."""
    if not commands:
        sys.stderr.write(f"{__doc__}")
        return 2
    if os.getuid() != 0 or find("mmdebstrap") is None:
        sys.stderr.write("a bare root needs root's rights and mmdebstrap; type: apt-get install mmdebstrap\n")
        return 2
    folder = Path(tempfile.mkdtemp(prefix="bare-root-", dir="/var/tmp"))  # gigabytes: on disk, whatever /tmp is
    try:
        root = folder / "root"
        make_root(root, _PACKAGES, form="directory")
        _set_up(root)
        return next((code for code in map(lambda command: _execute(root, command), commands) if code), 0)
    except EngineError as error:
        sys.stderr.write(f"no bare root: {error}\n")
        return 2
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _set_up(root: Path) -> None:
    """Clone the repository into a root, and tell the root how this machine reaches package registries."""
    source = Path(__file__).parents[2]
    run("git", "clone", "--quiet", "--no-hardlinks", str(source), str(root / "root" / _CLONE))
    for name in ("/etc/resolv.conf", "/etc/hosts", _CERTIFICATES):
        if Path(name).exists():
            shutil.copyfile(name, root / name.lstrip("/"))
    settings = "\n".join(f"{key} = {value}" for key, value in _registry_settings())
    (root / "etc/pip.conf").write_text(f"[global]\ncert = {_CERTIFICATES}\n{settings}\n")


def _registry_settings() -> Iterable[tuple[str, str]]:
    """Yield pip's settings of this machine that say where a registry is, without folders of this machine."""
    for line in run(sys.executable, "-m", "pip", "config", "list").splitlines():
        name, _, value = line.partition("=")
        key = name.rpartition(".")[2].removeprefix("default-")
        addresses = [word for word in str(ast.literal_eval(value)).split() if not word.startswith(("file:", "/"))]
        if key in {"index-url", "extra-index-url", "proxy", "timeout", "trusted-host"} and addresses:
            yield key, " ".join(addresses)


def _execute(root: Path, command: str) -> int:
    """Run a command in a root, print how long it took, and return its exit code."""
    variables = {
        "HOME": "/root",
        "LANG": "C.UTF-8",
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    }
    variables |= {
        name: value for name, value in os.environ.items() if name.lower() in {"http_proxy", "https_proxy", "no_proxy"}
    }
    began = time.monotonic()
    print(f"== in a bare root: {command}", flush=True)
    words = [*_NAMESPACES, "bash", "-c", _ENTER, "bash", str(root), command]
    code = subprocess.run(words, env=variables, check=False).returncode
    print(f"== in a bare root: {command}: exit code {code} after {time.monotonic() - began:.0f} s", flush=True)
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
