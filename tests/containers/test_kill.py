"""Kills of a sweep in containers: no process continues, no run is lost, no run is done twice."""

import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from launch.store.processes import find_by_environment
from s5.run_dir.result import ATTEMPT_DIR_VARIABLE
from tests.containers.places import ENGINES, Place, place_of
from tests.kill.harness import PAYLOAD, Harness, wait_until

pytestmark = pytest.mark.engine

# An orphan has 30 s, and a machine that is busy with other tests some more.
_GONE_S = 60


class ContainedHarness(Harness):
    """A sweep of payloads in containers."""

    profile = "contained"
    place: Place

    def prepare(self, place: Place) -> None:
        """Write the profile: the runtime, the image, and the folders of the payload and its journal."""
        self.place = place
        (self.root / "profiles").mkdir()
        (self.root / "profiles/contained.yaml").write_text(
            f"runtime: {place.runtime}\nimage: {place.image}\nmounts: [{PAYLOAD.parent}, {self.root}:rw]\n"
        )

    def steps_done(self) -> int:
        return len(list(self.sweep.glob("*/attempts/*/checkpoints/*")))

    def kill_supervisors(self) -> int:
        found = self._processes(b"launch.supervise")
        for pid in found:
            os.kill(pid, signal.SIGKILL)
        return len(found)

    def left(self) -> list[str]:
        """Return the containers and the processes that work on attempts of the sweep."""
        paths = [str(path) for path in self.sweep.glob("*/attempts/*")]
        labelled = [fd for path in paths for fd in find_by_environment(ATTEMPT_DIR_VARIABLE, path)]
        for fd in labelled:
            os.close(fd)
        return [*self.place.containers(), *map(str, labelled)]


@pytest.fixture(params=ENGINES)
def harness(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ContainedHarness]:
    place = place_of(request, request.param)
    made = ContainedHarness(tmp_path, runs=1, steps=30, step_s=0.1)
    made.prepare(place)
    yield made
    for pid in made.left_processes():
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def test_a_preempted_and_a_killed_sweep_goes_on_and_leaves_nothing(harness: ContainedHarness) -> None:
    """SIGTERM first, for a checkpoint; then everything on the host is killed at once; then it is left to finish."""
    command = harness.type_command()
    assert wait_until(lambda: harness.steps_done() >= 2, 60), harness.place.containers()
    command.terminate()
    command.communicate(timeout=60)
    assert command.returncode == 1
    assert not harness.left()
    events = harness.journal.read_text()
    assert events.count('"stopped"') == 1, events

    before = harness.steps_done()
    command = harness.type_command()
    assert wait_until(lambda: harness.steps_done() >= before + 2, 60)
    assert harness.kill_supervisors() == 1
    command.kill()
    command.communicate()
    assert wait_until(lambda: not harness.left(), _GONE_S), harness.left()

    harness.finish()
    counts = harness.check()
    assert counts["published"] == 1
    assert counts["attempts"] == 3
    assert not harness.left()
