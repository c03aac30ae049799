"""Real error outputs of the programs, on machines that lacked something, and the messages made from them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from launch.containers import diagnostics
from launch.containers.diagnostics import namespaces_remedy, suggest_fix, summarize_output

if TYPE_CHECKING:
    from pathlib import Path

NO_NAMESPACE = """\
INFO   : A system administrator may need to enable user namespaces, install
INFO   :   apptainer-suid, or compile with ./mconfig --with-suid
\x1b[91mERROR  : Failed to create user namespace: maximum number of user namespaces exceeded
\x1b[0m"""
NO_FUSE = """\
INFO:    fuse2fs not found, will not be able to mount EXT3 filesystems
FATAL:   container creation failed: squashfuse_ll exited: fuse: failed to open /dev/fuse: Permission denied
"""
NO_SQUASHFUSE = "INFO:    squashfuse not found, will not be able to mount SIF or other squashfs files\n"
NO_CONFIG = "\x1b[31mFATAL:  \x1b[0m While initializing: couldn't parse configuration file /etc/apptainer.conf: none\n"
NO_CH = "ch-run[22672]: error: can't init user+mount namespaces: No space left on device (ch_core.c:436 28)\n"
NO_SUBUID = """\
time="2026-11-22T14:56:55Z" level=error msg="cannot find UID/GID for user ann: no subuid ranges in \\"/etc/subuid\\""
time="2026-11-22T14:56:55Z" level=warning msg="Using rootless single mapping into the namespace."
"""
NO_DOCKER = "\nCannot connect to the Docker daemon at unix:///var/run/docker.sock.\n"


@pytest.mark.parametrize(
    ("said", "line", "helps"),
    [
        (NO_NAMESPACE, "Failed to create user namespace: maximum number of user namespaces exceeded", "sysctl"),
        (
            NO_FUSE,
            "container creation failed: squashfuse_ll exited: fuse: failed to open /dev/fuse: Permission denied",
            "install fuse3",
        ),
        (NO_SQUASHFUSE, "squashfuse not found, will not be able to mount SIF or other squashfs files", "squashfuse"),
        (
            NO_CONFIG,
            "While initializing: couldn't parse configuration file /etc/apptainer.conf: none",
            "install it again",
        ),
        (
            NO_SQUASHFUSE + NO_FUSE,
            "container creation failed: squashfuse_ll exited: fuse: failed to open /dev/fuse: Permission denied",
            "install fuse3",
        ),
        (NO_CH, "can't init user+mount namespaces: No space left on device (ch_core.c:436 28)", "sysctl"),
        (NO_SUBUID, 'cannot find UID/GID for user ann: no subuid ranges in "/etc/subuid"', "--add-subuids"),
        (NO_DOCKER, "Cannot connect to the Docker daemon at unix:///var/run/docker.sock.", None),
        ("[INFO] Querying registry\n[ERROR] Could not process JSON input\n", "Could not process JSON input", None),
        ("FATAL ERROR: Out of memory in reader\nParallel mksquashfs: Using 2\n", "Out of memory in reader", None),
        ("1.4.5\n", "1.4.5", None),
        ("\x1b[0m\n", "it printed nothing", None),
        ("", "it printed nothing", None),
    ],
)
def test_the_line_that_tells_and_what_helps(
    said: str, line: str, helps: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "user").mkdir()
    (tmp_path / "user/max_user_namespaces").write_text("0\n")
    monkeypatch.setattr(diagnostics, "_SYSCTLS", tmp_path)
    assert summarize_output(said) == line
    advice = suggest_fix(said, "ann")
    assert advice is None if helps is None else helps in (advice or "")


@pytest.mark.parametrize(
    ("setting", "value", "advice"),
    [
        ("user/max_user_namespaces", 0, "user.max_user_namespaces=15000"),
        ("kernel/unprivileged_userns_clone", 0, "kernel.unprivileged_userns_clone=1"),
        ("kernel/apparmor_restrict_unprivileged_userns", 1, "AppArmor"),
        ("user/max_user_namespaces", 9, "seccomp=unconfined"),
    ],
)
def test_what_forbids_namespaces_is_looked_up(
    setting: str, value: int, advice: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(diagnostics, "_SYSCTLS", tmp_path)
    file = tmp_path / setting
    file.parent.mkdir()
    file.write_text(f"{value}\n")
    assert advice in namespaces_remedy()
