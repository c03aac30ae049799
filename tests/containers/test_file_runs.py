"""Complete runs through the runtimes without an engine: they end, stop, are killed and resume like bare runs."""

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from launch.specs.image import Image
from launch.store import processes
from launch.store.state import Reason
from launch.supervise.outcome import Outcome
from s5.run_dir.result import ATTEMPT_DIR_VARIABLE
from tests.containers.contained import Contained, profile_of
from tests.engines.daemon import wait_until

# Waits until it is asked to stop, or its supervisor is gone, and says which; the second attempt has a result.
PAYLOAD = """
import json, os, select, signal, sys
place, lifeline = os.environ["LAUNCH_ATTEMPT_DIR"], int(os.environ["LAUNCH_LIFELINE_FD"])
if place.endswith("1"):
    json.dump({"version": 1, "metrics": {"test/accuracy": 0.5}}, open(place + "/result.json", "w"))
    sys.exit(0)
reading, writing = os.pipe()
os.set_blocking(writing, False)
signal.set_wakeup_fd(writing)
signal.signal(signal.SIGTERM, lambda *_: None)
print("ready", flush=True)
ready, _, _ = select.select([lifeline, reading], [], [])
os.makedirs(place + "/checkpoints/7")
open(place + "/why", "w").write("lifeline" if lifeline in ready else "asked")
sys.exit(75)
"""


@pytest.fixture
def contained(
    file_image: tuple[str, Image], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Contained]:
    monkeypatch.setenv("S5_CACHE", str(tmp_path / "cache"))
    profile = profile_of(*file_image, tmp_path)
    return lambda *command: Contained(tmp_path, profile, command)


def at_work(run: Contained, number: int = 0) -> bool:
    """Return whether a process of an attempt is alive."""
    found = processes.find_by_environment(ATTEMPT_DIR_VARIABLE, str(run.path(number)))
    for fd in found:
        os.close(fd)
    return bool(found)


def test_request_to_stop_and_resume(contained: Callable[..., Contained]) -> None:
    run = contained("python3", "-S", "-c", PAYLOAD)
    supervisor = run.start()
    assert wait_until(lambda: "ready" in run.log(), 30)
    assert at_work(run)
    supervisor.send(signal.SIGTERM)
    assert supervisor.close()[0] == Outcome.RETRY
    attempt = run.attempt()
    assert (attempt.reason, attempt.exit_code) == (Reason.INTERRUPTED, 75)
    assert attempt.image is not None and attempt.image.file is not None
    assert (run.path() / "why").read_text() == "asked"
    assert run.start().close()[0] == Outcome.DONE
    assert not at_work(run) and not at_work(run, 1)


def test_kill_of_the_supervisor_loses_nothing(contained: Callable[..., Contained]) -> None:
    run = contained("python3", "-S", "-c", PAYLOAD)
    supervisor = run.start()
    assert wait_until(lambda: "ready" in run.log(), 30)
    supervisor.send(signal.SIGKILL)
    supervisor.close()
    assert run.start().close()[0] == Outcome.DONE  # it waits for the orphan, which holds the attempt
    assert (run.path() / "why").read_text() == "lifeline"
    assert sorted(path.name for path in (run.run_dir / "attempts").iterdir()) == ["0", "1"]
    assert not at_work(run)


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        ("import sys; print('s5: no memory'); sys.exit(4)", Reason.OUT_OF_MEMORY),
        ("raise MemoryError", Reason.OUT_OF_MEMORY),
        ("import os; os.kill(os.getpid(), 9)", Reason.KILLED),
        (None, Reason.START),
    ],
    ids=["refused", "python", "killed", "missing"],
)
def test_end_is_classified_as_without_container(
    contained: Callable[..., Contained], payload: str | None, reason: Reason
) -> None:
    run = contained("no-such-program") if payload is None else contained("python3", "-S", "-c", payload)
    run.start().close()
    attempt = run.attempt()
    assert attempt.reason is reason, attempt
    if payload is None:
        assert "no-such-program" in (attempt.message or "")
