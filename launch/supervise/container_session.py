"""The container of an attempt: wrap its command, choose its mounts, and end the container."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from dataclasses import replace

from launch.containers.runtimes import REFUSED, CommandCall, HostCommand, Runtime, find_runtime
from launch.errors import StoreError
from launch.specs.mount import Mount
from launch.store import processes
from launch.store.liveness import is_here
from launch.store.records import AttemptRecord, ManifestHeader
from launch.store.state import Reason
from launch.supervise.child import Child
from launch.supervise.classify import ExitInfo, machine_oom_kills, oom_kills
from s5.run_dir.orphan_grace import KILL_ORPHAN_S
from s5.run_dir.result import ATTEMPT_DIR_VARIABLE, CONFIG

_LOOK_S = 0.1


class ContainerSession:
    """The runtime of one command, from its start to its cleanup. Under `bare` the command is a plain process.

    Args:
        header: The header of the generation, with runtime, image and mounts.
        run_dir: The run directory.
        snapshot: The folder with its code; None for the installed code.
        sees_others: Whether it may read the folders of the sweep's other runs; needed by a run with predecessors.
    """

    def __init__(
        self, header: ManifestHeader, run_dir: str, snapshot: str | None, *, sees_others: bool = False
    ) -> None:
        self._header = header
        self._run_dir = run_dir
        self._sees_others = sees_others
        self._snapshot = snapshot
        self._runtime: Runtime = find_runtime(header.runtime)
        self._netrc: str | None = None
        self._is_unstarted = False
        self._kills = self._count_kills()

    @property
    def python(self) -> str | None:
        """The Python interpreter inside the container; None for the host's."""
        return self._runtime.python

    @property
    def engine(self) -> str | None:
        """The address of the container engine; None for a runtime without one."""
        return self._runtime.engine(os.environ)

    def wrap(self, call: CommandCall) -> HostCommand:
        """Return the command of the host that executes a command inside the container.

        Raises:
            LaunchError: If the runtime cannot execute the command.
        """
        if not self._runtime.contained:
            return self._runtime.wrap(call, os.environ)
        from launch.containers.runtimes.request import labels_of  # most runs have no container
        from launch.supervise.wandb_key import NETRC_VARIABLE, remove_left_keys, wandb_mode, write_netrc

        remove_left_keys()
        mode = wandb_mode(os.path.join(self._run_dir, CONFIG))
        mounts = [Mount(source=self._run_dir, target=self._run_dir, writable=True), *self._header.mounts]
        sweep = os.path.dirname(self._run_dir)
        if self._sees_others and all(mount.target != sweep for mount in mounts):
            mounts.append(Mount(source=sweep, target=sweep))  # one mount, however many predecessors there are
        if self._snapshot is not None:
            mounts.append(Mount(source=self._snapshot, target=self._snapshot))
        variables = dict(call.variables)
        # A run on several machines would need the key on each machine, so it runs without W&B.
        if mode != "disabled" and call.resources.nodes == 1:
            self._netrc = write_netrc(os.environ)
        if self._netrc is not None:
            mounts.append(Mount(source=self._netrc, target=self._netrc))
            variables[NETRC_VARIABLE] = self._netrc
        inside = replace(
            call,
            variables=variables,
            image=self._header.image,
            mounts=tuple(mounts),
            labels=labels_of(call.folder),
            container=self._header.container,
            needs_network=mode == "online",
        )
        self._runtime.prepare(inside)
        return self._runtime.wrap(inside, os.environ)

    def code(self, code: int) -> int:
        """Return the command's exit code, negative for a signal, from the exit code of the runtime's process."""
        return -signal.SIGTERM if self._is_unstarted else self._runtime.code(code)

    def find(self, code: int, log: str) -> ExitInfo | None:
        """Return how a command ended if the exit code or the log shows an error of its runtime; else None."""
        found = self._runtime.diagnose(code, log)
        if found is None:
            return None
        started = found.reason is not Reason.START
        return ExitInfo(
            reason=found.reason,
            exit_code=code if started and code >= 0 else None,
            signal=-code if code < 0 else None,
            message=found.message,
        )

    def ran_out_of_memory(self) -> bool:
        """Return whether the kernel has killed a process for memory since the command began."""
        return self._count_kills() > self._kills

    def _count_kills(self) -> int:
        return machine_oom_kills() if self._runtime.has_own_group else oom_kills()

    def delete_key(self) -> None:
        """Delete the file with the W&B key, if one was written."""
        if self._netrc is not None:
            with suppress(OSError):
                os.unlink(self._netrc)

    def cleanup(self, path: str, code: int, child: Child) -> None:
        """End everything of an attempt that is left after its command's process has ended with exit code `code`.

        Raises:
            StoreError: If the container may still be running.
        """
        self.delete_key()
        # A container that was asked to stop before it began has done nothing, whatever exit code its runtime reports.
        self._is_unstarted = child.asked is not None and self._runtime.remove_unstarted(path)
        # The client process of the container was killed, or has lost its connection: the container may be running.
        unseen = self._header.image is not None and (code < 0 or code == REFUSED)
        if unseen:
            _end(self._header.runtime, self.engine, path, 0.0 if child.killed else KILL_ORPHAN_S)


def end_container(path: str, record: AttemptRecord | None) -> None:
    """End the container of an attempt whose supervisor has died, if the attempt ran on this machine.

    Raises:
        StoreError: If the container may still be running.
    """
    if record is None or record.image is None or not is_here(record):
        return
    from launch.supervise.wandb_key import remove_left_keys

    remove_left_keys()
    _end(record.runtime, record.engine, path, KILL_ORPHAN_S)


def _end(runtime: str, engine: str | None, path: str, grace_s: float) -> None:
    """End everything that works on an attempt: first the visible processes, then the containers of the engine.

    Raises:
        StoreError: If a container may still be running: then no other attempt may begin.
    """
    deadline = time.monotonic() + grace_s
    left = processes.find_by_environment(ATTEMPT_DIR_VARIABLE, path)
    for fd in left:
        processes.send(fd, signal.SIGTERM if grace_s else signal.SIGKILL)
    while left and time.monotonic() < deadline:
        processes.wait_any(left, _LOOK_S)
        left = processes.without_ended(left)
    for fd in left:  # killed here, since an engine that does not answer cannot kill them
        processes.send(fd, signal.SIGKILL)
        os.close(fd)
    grace_s = 0.0 if left else max(0.0, deadline - time.monotonic())
    obstacle = find_runtime(runtime).end(path, grace_s=grace_s, engine=engine)
    if obstacle is not None:
        raise StoreError(
            f"{path}: its container may still be running, and cannot be ended: {obstacle}",
            hint=f"if its engine does not answer, start it and type the command again; "
            f"`{runtime} ps --filter label=launch.folder={path}` shows it, `{runtime} rm --force` ends it",
        )
