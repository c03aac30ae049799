"""The Debian packages that the engines need, and those of them that are not installed."""

import shutil

# Package: a program of it. The daemons of Debian's packages are started by the tests themselves, never by systemd.
SLURM = {
    "slurmctld": "slurmctld",
    "slurmd": "slurmd",
    "slurm-client": "sbatch",
    "munge": "munged",
}
ACCOUNTING = {
    "slurmdbd": "slurmdbd",
    "slurm-wlm-mysql-plugin": "slurmdbd",
    "mariadb-server-core": "mariadbd",
    "mariadb-client-core": "mariadb",
}

# Daemons lie where an ordinary user's path may not lead.
PATH = ":/usr/sbin:/sbin"


def missing() -> list[str]:
    """Return the packages of a Slurm with accounting that are not installed."""
    return [package for package, program in {**SLURM, **ACCOUNTING}.items() if find(program) is None]


def find(program: str) -> str | None:
    """Return the path of a program."""
    import os

    return shutil.which(program, path=os.environ.get("PATH", os.defpath) + PATH)
