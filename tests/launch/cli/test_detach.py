import os
import pty
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from launch.actions.drive import run_in_background
from launch.backends.local.backend import LocalBackend
from launch.errors import BackendError, LaunchError
from launch.store import processes
from launch.store.attempts import attempt_path
from launch.store.queue_lock import read_queue_owner
from launch.store.state import State
from launch.store.store import Store
from launch.store.view import RunView
from tests.kill.harness import wait_until
from tests.launch.command_sweep import LOCAL, python, submitted

# Leaves a note that it is there, then waits to be asked to stop.
WAITING = "import signal, sys; signal.pthread_sigmask(0, {15}); print('ready', flush=True); signal.sigwait({15}); "
STOPPING = WAITING + "sys.exit(75)"


def ready(view: RunView, attempt: int = 0) -> bool:
    """Return whether the command of an attempt has said that it is there."""
    log = Path(attempt_path(view.run_dir, attempt), "log.txt")
    return log.exists() and "ready" in log.read_text()


def test_queue_in_the_background_outlives_its_terminal(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    submission = submitted(store, [python(STOPPING)])
    code = "from tests.launch.cli.test_detach import leave; leave()"
    master, terminal = pty.openpty()
    root = str(Path(__file__).parents[3])
    shell = subprocess.Popen(
        [sys.executable, "-c", code, str(store.root)],
        stdin=terminal,
        stdout=subprocess.PIPE,
        stderr=terminal,
        start_new_session=True,
        cwd=root,
    )
    os.close(terminal)
    pid = int(shell.communicate()[0])
    os.close(master)
    queue = read_queue_owner(str(store.sweep("work").path))
    assert queue is not None and queue.pid == pid
    assert os.getsid(pid) not in (os.getsid(0), shell.pid)
    assert wait_until(lambda: ready(submission.views[0]), 20)
    with pytest.raises(LaunchError, match=f"process {pid} on"):
        run_in_background(submission)
    os.kill(pid, signal.SIGTERM)
    assert wait_until(lambda: processes.start_time(pid) is None, 20)
    assert store.sweep("work").views()[0].state is State.PREEMPTED


def leave() -> None:
    """Be the shell's process in the test above."""
    store = Store(Path(sys.argv[1]))
    print(LocalBackend(LOCAL).run_in_background(store.sweep("work").state(), 1))


def test_queue_that_does_not_start_in_the_background_says_why(store: Store) -> None:
    submitted(store, [python("pass")])
    with pytest.raises(BackendError, match=r"did not start: .*/manifest/0009\.jsonl: No such file"):
        LocalBackend(LOCAL).run_in_background(store.sweep("work").state(), 9)
