"""The real Apptainer on a Debian without a package for it: sid's build, unpacked into a folder, not installed.

    python -m tests.engines.apptainer [FOLDER]

It needs a newer C library than this machine's. That library is put next to it, and its two programs point to it.
"""

import os
import platform
import re
import shutil
import subprocess
import sys
from pathlib import Path

from tests.engines.daemon import EngineError
from tests.engines.packages import find
from tests.engines.session import claim

PACKAGES = {"squashfs-tools": "mksquashfs", "squashfuse": "squashfuse", "patchelf": "patchelf"}
OLDEST = (1, 3)  # what the launcher's options need; sid's moves on
_PACKED = ("apptainer", "libc6", "libseccomp2", "libsqlite3-0")
_KEYS = "/usr/share/keyrings/debian-archive-keyring.gpg"


def missing() -> list[str]:
    """Return the packages that are needed and not installed."""
    return [package for package, program in PACKAGES.items() if find(program) is None]


class Apptainer:
    """One Apptainer.

    Args:
        folder: The folder of all its files.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def programs(self) -> Path:
        """The folder to put on the PATH."""
        return self.folder / "usr/bin"

    @property
    def version(self) -> tuple[int, ...] | None:
        """Its version; None if it is not there."""
        try:
            said = _run(str(self.programs / "apptainer"), "--version")
        except (OSError, EngineError):
            return None
        found = re.search(r"(\d+)\.(\d+)\.(\d+)", said)
        return tuple(map(int, found.groups())) if found else None

    def up(self) -> None:
        """Set it up if it does not exist; raise if it is too old."""
        claim(self.folder, "apptainer")
        if self.version is None:
            self.remove()
            claim(self.folder, "apptainer")
            self._unpack()
            self._relocate()
        if (version := self.version) is None or not OLDEST <= version < (2,):
            raise EngineError(f"sid's apptainer is {version}; {OLDEST} and later ones before 2 are known to work")

    def remove(self) -> None:
        """Remove the folder."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _unpack(self) -> None:
        """Fetch the packages of sid from the archive in apt's settings."""
        apt = self.folder / "apt"
        for name in ("lists/partial", "archives/partial", "debs"):
            (apt / name).mkdir(parents=True)
        lines = _run("apt-get", "indextargets", "--format", "$(REPO_URI) $(RELEASE)", "Created-By: Packages")
        suite = _run("sh", "-c", '. /etc/os-release; echo "$VERSION_CODENAME"').strip()
        archive = next((words[0] for words in map(str.split, lines.splitlines()) if words[1:] == [suite]), None)
        if archive is None:
            raise EngineError("apt knows no archive; type: apt-get update")
        (apt / "sid.list").write_text(f"deb [signed-by={_KEYS}] {archive} sid main\n")
        options = {
            "Dir::Etc::SourceList": apt / "sid.list",
            "Dir::Etc::SourceParts": "/dev/null",
            "Dir::State::Lists": apt / "lists",
            "Dir::Cache": apt,
            "APT::Sandbox::User": "root",
        }
        get = ["apt-get", "--quiet", *(f"--option={name}={value}" for name, value in options.items())]
        _run(*get, "update")
        _run(*get, "download", *_PACKED, cwd=apt / "debs")
        for file in (apt / "debs").glob("*.deb"):
            place = self.folder if file.name.startswith("apptainer_") else self.folder / "libs"
            _run("dpkg-deb", "--extract", str(file), str(place))
        shutil.rmtree(apt)

    def _relocate(self) -> None:
        """Let its programs find their libraries and settings in its folder."""
        lib = f"usr/lib/{platform.machine()}-linux-gnu"
        libraries = self.folder / "libs" / lib
        loader = next(libraries.glob("ld-linux-*.so.*"))
        for program in (self.programs / "apptainer", self.folder / lib / "apptainer/bin/starter"):
            path = f"{libraries}:/{lib}"
            _run("patchelf", "--force-rpath", "--set-interpreter", str(loader), "--set-rpath", path, str(program))
        for link, target in (("usr/etc", "../etc"), ("usr/lib/etc", "../../etc")):
            (self.folder / link).symlink_to(target)
        for place in ("usr", "usr/lib"):
            (self.folder / place / "var/lib/apptainer/mnt/session").mkdir(parents=True, exist_ok=True)
        settings = self.folder / "etc/apptainer/apptainer.conf"
        # Root in a container that itself stands in one has not every capability to give.
        text = re.sub(r"(?m)^root default capabilities = .*", "root default capabilities = no", settings.read_text())
        settings.write_text(text)


def _run(*words: str, cwd: Path | None = None) -> str:
    environment = {**os.environ, "LC_ALL": "C"}
    done = subprocess.run(words, cwd=cwd, env=environment, capture_output=True, text=True, check=False, timeout=300)
    if done.returncode:
        raise EngineError(f"{words[0]} ended with {done.returncode}: {done.stderr[-2000:]}")
    return done.stdout


def main() -> int:
    """Set it up from a shell."""
    engine = Apptainer(Path(sys.argv[1] if len(sys.argv) > 1 else f"/tmp/apptainer-{os.getuid()}-dev").absolute())
    if absent := missing():
        sys.stderr.write(f"missing; type: apt-get install --no-install-recommends {' '.join(absent)}\n")
        return 1
    engine.up()
    print(f"export PATH={engine.programs}:$PATH")
    return 0


if __name__ == "__main__":
    sys.exit(main())
