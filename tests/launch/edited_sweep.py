"""A sweep file that is edited and submitted several times; its runs are executed by writing their results."""

import json
from pathlib import Path

from launch.actions.plan import plan_sweep
from launch.actions.submit import Submission, submit
from launch.results.gather import Results, gather
from launch.store.state import State
from launch.store.store import Store, SweepStore
from launch.store.view import RunView
from launch.sweepfile.sweep import load_sweep
from s5.run_dir.result import publish, write_result
from tests.launch.command_sweep import LOCAL, code_under


class EditedSweep:
    """The runs of a sweep whose file is edited: each that is submitted is executed at once."""

    def __init__(self, root: Path) -> None:
        self.file = root / "edited.yaml"
        self.store = Store(root / "runs")
        self.code = code_under(root)
        self.executed: list[str] = []

    def write(self, text: str) -> None:
        self.file.write_text(text)

    def submit(self, only: str | None = None, overrides: tuple[str, ...] = ()) -> Submission:
        plan = plan_sweep(load_sweep(self.file, overrides), self.store, LOCAL, only=only)
        return submit(plan, source=self.code)

    def execute(self, only: str | None = None, overrides: tuple[str, ...] = ()) -> int:
        """Submit the file and execute what is left; return the number of executions."""
        left = [view for view in self.submit(only, overrides).views if view.state is not State.SUCCEEDED]
        for view in left:
            self.finish(view)
        return len(left)

    def finish(self, view: RunView) -> None:
        identity = json.loads(Path(view.run_dir, "run.json").read_bytes())["science_hash"]
        self.executed.append(identity)
        attempt = Path(view.run_dir, "attempts", "0")
        attempt.mkdir(parents=True)
        write_result(attempt, {"test/accuracy": int(identity[:6], 16) / 0x1000000})
        publish(attempt)

    @property
    def sweep(self) -> SweepStore:
        return self.store.sweep("edited")

    def results(self, *, superseded: bool = False) -> Results:
        return gather(self.sweep.state(), superseded=superseded)

    def numbers(self) -> list[tuple[int, float | None, float | None]]:
        return sorted((len(row.seeds), row.mean, row.std) for row in self.results())
