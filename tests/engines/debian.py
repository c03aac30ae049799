"""A minimal Debian, made from the archive in the settings of this machine's apt."""

import os
import subprocess
from pathlib import Path

from tests.engines.daemon import EngineError
from tests.engines.packages import PATH

# What apt must know here to reach its archive: proxies, certificates, clocks.
_APT_OPTIONS = ("Acquire::Check-", "Acquire::http", "Acquire::https")


def make_root(target: Path, packages: list[str], *options: str, form: str, **variables: str) -> None:
    """Make a Debian of this machine's release.

    Args:
        target: The folder or the archive to make.
        packages: Packages to install besides the essential packages and apt.
        options: Further options of mmdebstrap.
        form: `directory` or `tar`.
        variables: Further environment variables for mmdebstrap.

    Raises:
        EngineError: If apt knows no archive, or mmdebstrap fails.
    """
    suite = run("sh", "-c", '. /etc/os-release; echo "$VERSION_CODENAME"').strip()
    sources = _apt_sources(suite)
    if not sources:
        raise EngineError("apt knows no archive; type: apt-get update")
    settings = [line.rstrip(";") for line in run("apt-config", "dump").splitlines()]
    words = ["mmdebstrap", "--quiet", f"--format={form}", "--variant=minbase", f"--include={','.join(packages)}"]
    words += [f"--aptopt={line}" for line in settings if line.startswith(_APT_OPTIONS)]
    run(*words, *options, suite, str(target), *sources, **variables)


def _apt_sources(suite: str) -> list[str]:
    form = ("--format", "deb $(REPO_URI) $(RELEASE) $(COMPONENT)", "Created-By: Packages")
    lines = run("apt-get", "indextargets", *form).splitlines()
    return sorted({line for line in lines if line.split()[2] == suite or line.split()[2].startswith(f"{suite}-")})


def run(*words: str, **variables: str) -> str:
    """Run a program of the system and return its output.

    Raises:
        EngineError: If it fails.
    """
    environment = {**os.environ, "PATH": os.environ.get("PATH", os.defpath) + PATH, **variables}
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False, timeout=600)
    if done.returncode:
        raise EngineError(f"{words[0]} ended with {done.returncode}: {done.stderr[-2000:]}")
    return done.stdout
