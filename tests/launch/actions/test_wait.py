"""Waiting for runs on a cluster: a run that leaves the queue to be tried again is submitted before the wait ends."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from launch.actions.wait import wait_for_end
from launch.store.state import State


class Cluster:
    """A sweep of one run and its feeder: the run leaves the queue between a look of the feeder and the next view."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.told: list[State] = [State.PREEMPTED, State.RUNNING, State.SUCCEEDED, State.SUCCEEDED]
        self.submitted = 0
        self.paused = False
        self.in_queue = True

    def feed(self) -> bool:
        if self.paused:
            return True
        self.paused = True
        self.submitted += not self.in_queue and self.told[0] is not State.SUCCEEDED
        return False

    def end_pause(self) -> None:
        self.paused = False

    def refreshed(self) -> "Cluster":
        return self

    def views(self) -> list[Any]:
        state = self.told.pop(0)
        self.in_queue = state is State.RUNNING
        self.paused = False  # the pause of the feeder is as long as that between two views
        return [SimpleNamespace(state=state)]


def test_a_run_that_leaves_the_queue_as_the_feeder_has_looked_is_submitted_again(tmp_path: Path) -> None:
    cluster = cast("Any", Cluster(tmp_path))
    _, over = wait_for_end([cluster], poll_s=0, feeder=cluster)
    assert over and cluster.submitted == 1 and not cluster.told
