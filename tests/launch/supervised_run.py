"""One run, whose supervisors are started as the queue starts them."""

import os
from collections.abc import Sequence
from pathlib import Path

from launch.backends.local.start import StartedSupervisor, build_request, send_request
from launch.specs.resources import Resources
from launch.store.attempts import read_attempt
from launch.store.records import AttemptRecord
from launch.store.state import State
from launch.store.store import Store
from launch.supervise.arguments import SupervisorArgs
from tests.kill.harness import wait_until
from tests.launch.command_sweep import submitted

RESULT = (
    "import os, sys; sys.path.insert(0, {root!r}); "
    "from s5.run_dir.result import write_result; from pathlib import Path; "
)
RESULT = RESULT.format(root=str(Path(__file__).parents[2]))
WRITE = "write_result(Path(os.environ['LAUNCH_ATTEMPT_DIR']), {'test/accuracy': 0.5}); "

# Says that it is there, then waits to be asked to stop, and returns what a run returns that has been.
WAITING = (
    "import os, signal, sys; signal.pthread_sigmask(signal.SIG_BLOCK, {15});"
    "print('ready', flush=True); os.mkdir('checkpoints'); os.mkdir('checkpoints/7'); os.mkfifo('fifo');"
    "signal.sigwait({15}); print('asked', flush=True); sys.exit(75)"
)
DEAF = "import signal, time; signal.signal(15, signal.SIG_IGN); print('ready', flush=True); time.sleep(60)"


class Case:
    """One run, and the supervisors that are started for it."""

    def __init__(self, root: Path, command: Sequence[str] | None, **settings: object) -> None:
        self.store = Store(root / "runs")
        resources = settings.pop("resources", Resources())
        assert isinstance(resources, Resources)
        submission = submitted(self.store, [command], resources=resources, **settings)
        self.run_dir = Path(submission.views[0].run_dir)
        self.order = SupervisorArgs(run_dir=str(self.run_dir), generation=1)

    def supervise(self, *, environment: dict[str, str] | None = None, order: SupervisorArgs | None = None) -> int:
        code, self.said = self.start(environment=environment, order=order).close()
        return code

    def start(
        self, *, environment: dict[str, str] | None = None, order: SupervisorArgs | None = None
    ) -> StartedSupervisor:
        surroundings = {**os.environ, **(environment or {})}
        return send_request(build_request(order or self.order, surroundings, os.getcwd()))

    def attempt(self, number: int = 0) -> AttemptRecord:
        return read_attempt(str(self.run_dir / "attempts" / str(number)))

    def path(self, number: int = 0) -> Path:
        return self.run_dir / "attempts" / str(number)

    def log(self, number: int = 0) -> str:
        return (self.path(number) / "log.txt").read_text()

    @property
    def state(self) -> State:
        return self.store.sweep("work").views()[0].state


def until_ready(case: Case, number: int = 0) -> None:
    """Wait until the command of an attempt has written that it started."""
    log = case.path(number) / "log.txt"
    assert wait_until(lambda: log.exists() and "ready" in log.read_text(), 20)
