"""The local backend: runs the queue on this machine, in the foreground or in a background process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import final

from launch.backends.base import AttendedBackend, OnChange
from launch.backends.local.queue import QUEUE_LOG, QueueOptions, run_queue
from launch.backends.local.slots import check_fits, find_machine
from launch.errors import BackendError, LaunchError
from launch.profiles.profile import Profile
from launch.self_command import python_command
from launch.specs.choices import BackendName
from launch.store import processes
from launch.store.attempts import attempt_path, find_attempt
from launch.store.cancel_mark import cancelled_since_s
from launch.store.files import store_errors
from launch.store.liveness import is_here
from launch.store.records import ManifestEntry
from launch.store.state import State
from launch.store.sweep_state import SweepState
from launch.store.view import RunView
from launch.supervise.host import local_grace_s
from s5.run_dir.result import ATTEMPT_DIR_VARIABLE, CWD_VARIABLE

# How deep the tree of an attempt's processes may be.
_GENERATIONS = 20


@final
class LocalBackend(AttendedBackend):
    """Runs attempts on this machine, as many at once as its slots allow.

    Args:
        profile: The number of slots, and the variables for the runs.
    """

    def __init__(self, profile: Profile) -> None:
        self._profile = profile

    def check(self, entries: Sequence[ManifestEntry]) -> list[str]:
        """Raise if a run asks for more than this machine has."""
        asked = {entry.resources for entry in entries}
        machine = find_machine(gpus=any(resources.gpus_per_node for resources in asked))
        for resources in asked:
            check_fits(resources, machine)
        return []

    def run(self, sweep: SweepState, generation: int, on_change: OnChange | None) -> None:
        """Start runs as slots become free, until no run is left."""
        options = QueueOptions(
            slots=self._profile.slots,
            slots_per_gpu=self._profile.slots_per_gpu,
            environment={**os.environ, **self._profile.variables},
            on_change=on_change,
        )
        run_queue(sweep, generation, options)

    def run_in_background(self, sweep: SweepState, generation: int) -> int:
        """Start a process in its own session; return its pid once it has locked the sweep's queue."""
        reading, ready = os.pipe()
        words = [sweep.folder, str(generation), str(self._profile.slots or 0)]
        words += [str(self._profile.slots_per_gpu), str(ready)]
        cwd = os.environ.get(CWD_VARIABLE) or os.getcwd()
        log_path = Path(sweep.folder, QUEUE_LOG)
        with store_errors(f"write {log_path}"):
            log = os.open(log_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o666)
        with open(reading, "rb") as answer:
            try:
                started = subprocess.Popen(
                    python_command("launch.backends.local.backend", words, site=True),
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    env={**os.environ, **self._profile.variables, CWD_VARIABLE: cwd},
                    pass_fds=[ready],
                    start_new_session=True,
                )
            finally:
                os.close(log)
                os.close(ready)
            said = answer.read()  # returns when the queue has begun, or when its process has ended
        started.wait()  # it forks at once, and only the fork continues
        if not said:
            raise BackendError(f"the queue in the background did not start: {_last_line(log_path)}")
        return int(said)

    def stop(self, sweep: SweepState, views: Sequence[RunView]) -> dict[str, str]:
        """Send SIGTERM to the supervisors of running attempts; if a supervisor has died, to the processes it left.

        A supervisor kills what does not end. Processes without one are killed by the first cancel after their grace.

        Returns:
            The runs that another machine executes, each with that machine.
        """
        elsewhere: dict[str, str] = {}
        for view in (view for view in views if view.state is State.RUNNING):
            path = attempt_path(view.run_dir, view.attempts - 1)
            record, supervisor = find_attempt(path), None
            if record is not None and not record.has_ended and is_here(record):
                supervisor = processes.open_process(record.pid, record.pid_start)
            if supervisor is not None:
                processes.send(supervisor, signal.SIGTERM)
                os.close(supervisor)
            elif cancelled_since_s(view.run_dir) > local_grace_s():
                _kill_left(path)
            else:
                for process in processes.find_by_environment(ATTEMPT_DIR_VARIABLE, path):
                    processes.send(process, signal.SIGTERM)
                    os.close(process)
            if record is not None and record.backend == BackendName.LOCAL and record.host != processes.host():
                elsewhere[view.run_id] = f"process {record.pid} on {record.host}"
        return elsewhere


def _kill_left(path: str) -> None:
    """Kill the processes of an attempt whose supervisor has died: each parent, and then the children it leaves."""
    for _ in range(_GENERATIONS):
        left = processes.find_by_environment(ATTEMPT_DIR_VARIABLE, path)
        for process in left:
            processes.send(process, signal.SIGKILL)
        processes.wait_any(left, 1.0 if left else 0.0)
        for process in left:
            os.close(process)
        if not left:
            return


def _last_line(path: Path) -> str:
    with suppress(OSError):
        lines = path.read_text(errors="replace").splitlines()
        return next((line for line in reversed(lines) if line and not line.startswith("hint:")), "it printed nothing")
    return "it printed nothing"


def main(words: Sequence[str]) -> int:
    """Run a generation in the background and return the exit code.

    `python -m launch.backends.local.backend SWEEP_DIR GENERATION SLOTS PER_GPU FD`
    """
    folder, generation, slots, slots_per_gpu, ready = words
    if os.fork():
        return 0  # so that the process that started this one need not wait

    def begun() -> None:
        os.write(int(ready), str(os.getpid()).encode())
        os.close(int(ready))

    options = QueueOptions(
        slots=int(slots) or None, slots_per_gpu=int(slots_per_gpu), environment=os.environ, on_begin=begun
    )
    try:
        run_queue(SweepState.read(folder), int(generation), options)
    except LaunchError as error:
        sys.stderr.write(f"{error.message}\n" + (f"hint: {error.hint}\n" if error.hint else ""))
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
