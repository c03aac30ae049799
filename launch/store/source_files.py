"""Find the files that are the code of a run: files that git tracks or would track, but no secrets or large files."""

from __future__ import annotations

import os
import re
import stat
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from launch.errors import LaunchError

MAX_FILE_BYTES = 10 * 2**20
MAX_TOTAL_BYTES = 200 * 2**20
# The folders that a run imports; used if git cannot list the files.
PACKAGES = ("s5", "launch")
_CACHES = ("__pycache__",)
_SECRET_NAMES = re.compile(
    r"\.env(?:rc|\..*)?|.*\.(?:pem|key|p12|pfx|jks|keystore|kdbx)|id_(?:rsa|dsa|ecdsa|ed25519).*"
    r"|[._]?netrc|\.pypirc|\.npmrc|\.pgpass|\.dockercfg|\.git-credentials|\.htpasswd|service[-_]account.*\.json",
    re.IGNORECASE,
)
# A settings or text file with such a word in its name is a secret; a program is not: tokens.py is code.
_SECRET_WORDS = re.compile(
    r"(?:^|[/._-])(?:tokens?|secrets?|credentials?|passwords?|passwd|api[_-]?keys?)(?:[/._-]|$)", re.IGNORECASE
)
_SECRET_PATHS = re.compile(r"(?:^|.*/)\.(?:docker/config\.json|aws/.*|ssh/.*|kube/config)")
# A run needs its recipe, whatever the name of the recipe is.
_RECIPES = "s5/conf/"
# A git hook sets these variables, and git would use them instead of the folder's own repository.
_GIT_HOOK_VARIABLES = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX", "GIT_COMMON_DIR", "GIT_NAMESPACE")
_PLAIN_ENDINGS = ("", ".txt", ".json", ".yaml", ".yml", ".toml", ".ini", ".cfg", ".conf", ".env", ".bak")


@dataclass(frozen=True)
class SourceFile:
    """One file or link of the code."""

    path: str  # relative to the source folder, with `/` between folders
    link: str | None  # the target of a symbolic link; None for a file
    executable: bool  # whether its owner may execute it
    size: int  # in bytes; 0 for a link


def find_source_files(source: Path, without: Path) -> tuple[list[SourceFile], list[str]]:
    """Return the files of the code, sorted by path, and a notice for each file that is left out.

    Args:
        source: The folder that holds the packages.
        without: A folder whose files are never code: the run directories.

    Raises:
        LaunchError: If there is no code, or its size exceeds `MAX_TOTAL_BYTES`.
    """
    notices: list[str] = []
    names = _git_files(source, notices)
    if not names:
        names = list(_package_files(source))
    skipped = _relative(without, source)
    files: list[SourceFile] = []
    for name in sorted(set(names)):
        if skipped is not None and (name == skipped or name.startswith(f"{skipped}/")):
            continue
        found = _examine(source, name, notices)
        if found:
            files.append(found)
    if not files:
        raise LaunchError(f"{source}: no code found to copy for the runs", hint="run launch from the repository")
    total = sum(file.size for file in files)
    if total > MAX_TOTAL_BYTES:
        largest = sorted(files, key=lambda file: file.size, reverse=True)[:3]
        raise LaunchError(
            f"{source}: the code to copy for the runs takes {total / 2**20:.0f} MiB, limit {MAX_TOTAL_BYTES // 2**20}; "
            f"the largest are {', '.join(ascii(file.path)[1:-1] for file in largest)}",
            hint="add files that are not code to .gitignore",
        )
    return files, notices


def _git_files(source: Path, notices: list[str]) -> list[str]:
    """Return the paths that git tracks or would track; an empty list if git cannot tell."""
    try:
        done = _git(source, "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    except OSError:
        notices.append("git is not installed: the snapshot holds the package folders alone")
        return []
    if done.returncode == 0:
        return [os.fsdecode(name) for name in done.stdout.split(b"\0") if name]
    if b"dubious ownership" in done.stderr:
        notices.append(
            f"git refuses {source}, which belongs to another user: the snapshot holds the package folders alone; "
            f"`git config --global --add safe.directory {source}` lets git read it"
        )
    elif b"not a git repository" not in done.stderr:
        said = os.fsdecode(done.stderr).strip().splitlines()
        notices.append(
            f"git failed ({said[-1] if said else done.returncode}): the snapshot holds the package folders alone"
        )
    return []


def find_commit(source: Path) -> str | None:
    """Return the commit of a git working tree, with `-dirty` if files differ from it; None if git cannot tell."""
    try:
        done = _git(source, "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*")
    except OSError:
        return None
    return os.fsdecode(done.stdout).strip() or None if done.returncode == 0 else None


def _git(source: Path, *words: str) -> subprocess.CompletedProcess[bytes]:
    environment = {key: value for key, value in os.environ.items() if key not in _GIT_HOOK_VARIABLES}
    # The user may be using git at this moment: take no lock. The checks of stderr above need English messages.
    environment |= {"GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C"}
    command = ["git", "-C", os.fspath(source), *words]
    return subprocess.run(command, capture_output=True, env=environment, stdin=subprocess.DEVNULL, check=False)


def _package_files(source: Path) -> Iterator[str]:
    for package in PACKAGES:
        for folder, folders, names in os.walk(source / package):
            folders[:] = [name for name in folders if name not in _CACHES]
            for name in [*names, *(n for n in folders if os.path.islink(os.path.join(folder, n)))]:
                yield Path(os.path.relpath(os.path.join(folder, name), source)).as_posix()


def _relative(path: Path, source: Path) -> str | None:
    """Return `path` relative to `source`, or None if it is outside."""
    relative = os.path.relpath(os.path.realpath(path), os.path.realpath(source))
    return None if relative.startswith(("..", "/")) or relative == "." else Path(relative).as_posix()


def _examine(source: Path, name: str, notices: list[str]) -> SourceFile | None:
    """Return the file `name`; if it does not belong to the code, add a notice and return None."""
    try:
        status = os.lstat(source / name)
    except FileNotFoundError:
        return None  # git tracks it, but it is deleted in the working tree
    shown = name if name.isprintable() else ascii(name)
    if stat.S_ISDIR(status.st_mode):
        notices.append(f"{shown} is a repository of its own and is left out of the snapshot")
    elif is_secret(name):
        notices.append(f"{shown} looks like a secret and is left out of the snapshot")
    elif stat.S_ISLNK(status.st_mode):
        target = os.readlink(source / name)
        if _inside(source, name, target):
            return SourceFile(name, target, False, 0)
        notices.append(f"{shown} links to a file outside the code and is left out of the snapshot")
    elif not stat.S_ISREG(status.st_mode):
        notices.append(f"{shown} is not a regular file and is left out of the snapshot")
    elif status.st_size > MAX_FILE_BYTES:
        size = f"{status.st_size / 2**20:.0f} MiB, limit {MAX_FILE_BYTES // 2**20}"
        notices.append(f"{shown} is too large ({size}) and is left out of the snapshot")
    else:
        return SourceFile(name, None, bool(status.st_mode & stat.S_IXUSR), status.st_size)
    return None


def _inside(source: Path, name: str, target: str) -> bool:
    """Return whether the target of a link is inside the source folder."""
    if os.path.isabs(target):
        return False
    reached = os.path.normpath(os.path.join(os.path.dirname(name), target))
    return not reached.startswith("..") and not os.path.isabs(reached)


def is_secret(name: str) -> bool:
    """Return whether a file probably contains a secret, judging by its name."""
    base = name.rpartition("/")[2]
    if _SECRET_NAMES.fullmatch(base) or _SECRET_PATHS.fullmatch(name):
        return True
    if name.startswith(_RECIPES):
        return False
    return os.path.splitext(base)[1].lower() in _PLAIN_ENDINGS and _SECRET_WORDS.search(name) is not None
