"""Find the error in the output of a runtime's program, and the remedy for a known error."""

from __future__ import annotations

import re
from pathlib import Path

_COLOUR = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
_LOGRUS = re.compile(r'^time="[^"]*" level=(?P<level>\w+) msg="(?P<said>(?:[^"\\]|\\.)*)"')
_HEAD = re.compile(
    r"^(?:\S+\[\d+\]: )?\[?(?:fatal )?(?P<level>fatal|error|err|warning|warn|info|debug)(?:\]|\s*:)\s*", re.IGNORECASE
)
# The levels, the most important first; "" stands for a line without a level.
_RANKS = ("fatal", "error", "err", "", "warning", "warn", "info", "debug")

_SYSCTLS = Path("/proc/sys")
_SUBORDINATE = "`sudo usermod --add-subuids 100000-165535 --add-subgids 100000-165535 {user}`"
_FUSE = (
    "`apt-get install fuse3`, and /dev/fuse must be readable and writable for you; or name an unpacked folder as image"
)

# Patterns of output in lower case, each with its remedy; the first that fits counts.
_REMEDIES = (
    (r"squashfuse.{0,20}not found", "`apt-get install squashfuse`"),
    (r"/dev/fuse|fusermount", _FUSE),
    (r"newuidmap|newgidmap", "`apt-get install uidmap`"),
    (r"no subuid|no subgid|/etc/subuid|/etc/subgid|fakeroot mapping", _SUBORDINATE),
    (r"user.{0,20}namespace|max_user_namespaces|clone_newuser", None),
    (r"must be owned by root", "give the file back to root, or use an installation without setuid"),
    (r"couldn't parse configuration|could not parse configuration", "its installation lacks a file: install it again"),
    (
        r"error while loading shared libraries|glibc|exec format error|cannot execute",
        "it was built for another system: take the distribution's own package, or ask the site for its module",
    ),
    (r"no space left on device", "free some space, or name another folder with TMPDIR"),
    (r"read-only file system", "name a folder that can be written with TMPDIR, or another HOME"),
)
_DOCKER = (
    (r"ssh -|ssh:|publickey", "DOCKER_HOST names another machine: can `ssh` reach it, and does docker answer there?"),
    ("permission denied", "`sudo usermod -aG docker {user}`, then log in again; or use podman or apptainer"),
    (
        "context not found",
        "`docker context ls` lists the contexts; `docker context use default`, and unset DOCKER_CONTEXT",
    ),
    (r"tls|certificate|x509|\.pem", "DOCKER_HOST asks for TLS: DOCKER_CERT_PATH must hold this engine's certificates"),
    ("api version", "the versions of client and engine do not fit: update the older one"),
)


def summarize_output(said: str) -> str:
    """Return the line with the error from a program's output, without colours, time and level."""
    found = [_graded(line.strip()) for line in _COLOUR.sub("", said).splitlines()]
    found = [(rank, words) for rank, words in found if words]
    if not found:
        return "it printed nothing"
    best = min(rank for rank, _ in found)
    # The last of several errors is the one that ended the program.
    return [words for rank, words in found if rank == best][-1]


def _graded(line: str) -> tuple[int, str]:
    """Return the rank of a line by its level, and its message."""
    if logged := _LOGRUS.match(line):
        level, words = logged["level"], re.sub(r"\\(.)", r"\1", logged["said"])
    elif headed := _HEAD.match(line):
        level, words = headed["level"].lower(), line[headed.end() :]
    else:
        level, words = "", line
    return _RANKS.index(level) if level in _RANKS else _RANKS.index(""), words


def suggest_fix(said: str, user: str) -> str | None:
    """Return the remedy for the error in the output of Apptainer, Charliecloud or Podman; None if it is unknown."""
    for text in (summarize_output(said).lower(), said.lower()):
        for pattern, advice in _REMEDIES:
            if re.search(pattern, text):
                return namespaces_remedy() if advice is None else advice.format(user=user)
    return None


def subordinates_remedy(user: str) -> str:
    """Return the command that gives a user subordinate ids, which a container without root's rights needs."""
    return _SUBORDINATE.format(user=user)


def docker_remedy(said: str, user: str) -> str:
    """Return the remedy for a Docker engine that does not answer, by the output of its client."""
    for pattern, advice in _DOCKER:
        if re.search(pattern, said.lower()):
            return advice.format(user=user)
    return "start it (`systemctl start docker`), or name another with DOCKER_HOST"


def namespaces_remedy() -> str:
    """Return the advice that lets this machine allow user namespaces, by its kernel settings."""
    if _value("user/max_user_namespaces") == 0:
        return "root allows them: `sysctl user.max_user_namespaces=15000`"
    if _value("kernel/unprivileged_userns_clone") == 0:
        return "root allows them: `sysctl kernel.unprivileged_userns_clone=1`"
    if _value("kernel/apparmor_restrict_unprivileged_userns") == 1:
        return "on Ubuntu an AppArmor profile must allow it: `sysctl kernel.apparmor_restrict_unprivileged_userns`"
    return "a container's engine may forbid user namespaces (`--security-opt seccomp=unconfined`); or ask root"


def _value(name: str) -> int | None:
    try:
        return int((_SYSCTLS / name).read_text())
    except (OSError, ValueError):
        return None
