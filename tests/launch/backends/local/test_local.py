import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from launch.actions.cancel import cancel
from launch.actions.drive import run_queue
from launch.backends.choose import find_backend
from launch.backends.local.backend import LocalBackend
from launch.backends.local.slots import Slots, find_machine
from launch.errors import BackendError, LaunchError, StoreError
from launch.profiles.profile import Profile
from launch.specs.resources import Resources
from launch.store.attempts import attempt_numbers, attempt_path, read_attempt
from launch.store.queue_lock import read_queue_owner
from launch.store.state import Reason, State
from launch.store.store import Store
from launch.store.view import RunView
from tests.kill.harness import wait_until
from tests.launch.backends.local.test_slots import fake_nvidia_smi
from tests.launch.command_sweep import LOCAL, python, submitted

# Leaves a note that it is there, then waits to be asked to stop.
WAITING = "import signal, sys; signal.pthread_sigmask(0, {15}); print('ready', flush=True); signal.sigwait({15}); "
STOPPING = WAITING + "sys.exit(75)"
INTERVAL = """
import json, os, sys, time
begin = time.monotonic()
time.sleep(float(sys.argv[1]))
fd = os.open(sys.argv[2], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
seen = os.environ.get("CUDA_VISIBLE_DEVICES"), sorted(os.sched_getaffinity(0))
os.write(fd, (json.dumps([begin, time.monotonic(), *seen]) + "\\n").encode())
"""


def interval(seconds: float, journal: Path) -> list[str]:
    """Return a command that notes when it began and ended, and what it was given."""
    return [*python(INTERVAL), str(seconds), str(journal)]


def most_at_once(intervals: Sequence[Sequence[float]]) -> int:
    """Return how many intervals overlap at most."""
    events = sorted([(begin, 1) for begin, *_ in intervals] + [(end, -1) for _, end, *_ in intervals])
    now = most = 0
    for _, change in events:
        now += change
        most = max(most, now)
    return most


def ready(view: RunView, attempt: int = 0) -> bool:
    """Return whether the command of an attempt has said that it is there."""
    log = Path(attempt_path(view.run_dir, attempt), "log.txt")
    return log.exists() and "ready" in log.read_text()


DRIVER = """
import os, sys
from pathlib import Path
from launch.backends.choose import find_backend
from launch.backends.local.backend import LocalBackend
from launch.backends.local.slots import Slots, find_machine
from launch.errors import LaunchError
from launch.profiles.profile import Profile
from launch.store.store import Store
try:
    LocalBackend(Profile(name="local")).run(Store(Path(sys.argv[1])).sweep("work").state(), int(sys.argv[2]), None)
except LaunchError as error:
    sys.exit(error.message)
"""


def driver(store: Store, generation: int = 1) -> "subprocess.Popen[str]":
    """Start a process that drives the sweep."""
    return subprocess.Popen(
        [sys.executable, "-c", DRIVER, str(store.root), str(generation)],
        stderr=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[4],
        start_new_session=True,
    )


def test_every_run_succeeds_and_typing_it_again_starts_nothing(store: Store) -> None:
    commands = [python("pass")] * 5
    views = run_queue(submitted(store, commands))
    assert [view.state for view in views] == [State.SUCCEEDED] * 5
    again = submitted(store, commands)
    assert again.generation == 1
    assert [view.attempts for view in run_queue(again)] == [1] * 5
    assert read_queue_owner(str(store.sweep("work").path)) is None


def test_failed_run_is_reported_and_does_not_stop_the_others(store: Store) -> None:
    views = run_queue(submitted(store, [python("raise ValueError('no')"), python("pass")]))
    assert [(view.state, view.message) for view in views] == [(State.FAILED, "ValueError: no"), (State.SUCCEEDED, None)]
    again = submitted(store, [python("raise ValueError('no')"), python("pass")])
    assert [view.run_id for view in again.left_alone] == [views[0].run_id]
    assert [view.attempts for view in run_queue(again)] == [1, 1]


def test_policy_is_applied_without_being_asked(store: Store) -> None:
    third = "import os, sys; print('s5: nan'); sys.exit(3 if os.environ['LAUNCH_ATTEMPT_DIR'][-1] < '2' else 0)"
    (view,) = run_queue(submitted(store, [python(third)], retry={"nan": 2}))
    assert (view.state, view.attempts) == (State.SUCCEEDED, 3)


def test_cores_are_given_out_once(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cores = sorted(os.sched_getaffinity(0))
    journal = tmp_path / "journal"
    run_queue(submitted(store, [interval(0.05, journal)] * (2 * len(cores))))
    lines = [json.loads(line) for line in journal.read_text().splitlines()]
    for core in cores:
        assert most_at_once([line for line in lines if line[3] == [core]]) == 1
    assert all(len(line[3]) == 1 for line in lines)


def test_gpus_are_given_out_as_often_as_allowed(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_nvidia_smi(tmp_path / "bin", 2)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    journal = tmp_path / "journal"
    submission = submitted(store, [interval(0.1, journal)] * 8, resources=Resources(gpus_per_node=1))
    LocalBackend(Profile(name="local", slots_per_gpu=2)).run(store.sweep("work").state(), submission.generation, None)
    lines = [json.loads(line) for line in journal.read_text().splitlines()]
    assert len(lines) == 8
    for gpu in ("0", "1"):
        own = [line for line in lines if line[2] == gpu]
        assert own and most_at_once(own) <= 2
    record = read_attempt(attempt_path(submission.views[0].run_dir, 0))
    assert (record.devices, record.threads) == ((0,), None)


@pytest.mark.parametrize(("settings", "profile"), [({"max_parallel": 1}, LOCAL), ({}, Profile(name="local", slots=1))])
def test_limits_of_sweep_and_profile_are_kept(
    store: Store, tmp_path: Path, settings: dict[str, int], profile: Profile
) -> None:
    journal = tmp_path / "journal"
    submission = submitted(store, [interval(0.05, journal)] * 4, **settings)
    LocalBackend(profile).run(store.sweep("work").state(), submission.generation, None)
    assert most_at_once([json.loads(line) for line in journal.read_text().splitlines()]) == 1


def test_run_that_can_never_start_is_refused_before_anything_is_written(store: Store) -> None:
    with pytest.raises(LaunchError, match=r"resources\.cpus_per_task: 4096 asked for, and this machine has"):
        submitted(store, [python("pass")], resources=Resources(cpus_per_task=4096))
    assert not store.root.exists()


def test_changes_are_told_as_they_happen(store: Store) -> None:
    told: list[list[State]] = []
    run_queue(
        submitted(store, [python("pass")] * 3, max_parallel=1),
        on_change=lambda views: told.append([view.state for view in views]),
    )
    assert told[0] != told[-1] == [State.SUCCEEDED] * 3
    assert all(len(states) == 3 for states in told)
    succeeded = [states.count(State.SUCCEEDED) for states in told]
    assert succeeded == sorted(succeeded) and {1, 2} <= set(succeeded)


def test_slot_of_another_sweep_is_waited_for(store: Store, tmp_path: Path) -> None:
    cores = len(os.sched_getaffinity(0))
    one = submitted(store, [python(STOPPING)], resources=Resources(cpus_per_task=cores))
    first = driver(store)
    assert wait_until(lambda: ready(one.views[0]), 20)
    other = Store(tmp_path / "other")
    submitted(other, [python("pass")])
    second = driver(other)
    assert wait_until(lambda: read_queue_owner(str(other.sweep("work").path)) is not None, 20)
    assert other.sweep("work").views()[0].state is State.PENDING
    first.send_signal(signal.SIGINT)
    assert (first.communicate()[1], second.communicate()[1]) == ("", "")
    assert other.sweep("work").views()[0].state is State.SUCCEEDED


def test_waiting_for_another_sweep_is_said(store: Store) -> None:
    slots = Slots(find_machine(gpus=False))
    held = slots.take(Resources(cpus_per_task=len(os.sched_getaffinity(0))))
    assert held is not None
    said: list[str | None] = []

    def on_change(views: list[RunView]) -> None:
        said.append(views[0].message)
        if len(said) == 1:
            held.close()

    (view,) = run_queue(submitted(store, [python("pass")]), on_change=on_change)
    assert said[0] == "waits for 1 core that other sweeps on this machine hold"
    assert (view.state, view.message) == (State.SUCCEEDED, None)


def test_second_launcher_is_turned_away(store: Store) -> None:
    submission = submitted(store, [python(STOPPING)])
    first = driver(store)
    assert wait_until(lambda: ready(submission.views[0]), 20)
    words = rf"the sweep work is being run by process {first.pid} on "
    for attempt in (lambda: submitted(store, [python(STOPPING)]), lambda: run_queue(submission)):
        with pytest.raises(LaunchError, match=words) as caught:
            attempt()
        assert "launch watch work" in (caught.value.hint or "")
    first.send_signal(signal.SIGTERM)
    first.communicate()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_request_to_stop_ends_runs_in_good_order_and_typing_it_again_goes_on(
    store: Store, number: signal.Signals
) -> None:
    code = "import os, sys\nif os.environ['LAUNCH_ATTEMPT_DIR'][-1] == '0':\n " + STOPPING.replace("; ", "\n ")
    submission = submitted(store, [python(code)] * 2, max_parallel=1)
    process = driver(store)
    assert wait_until(lambda: ready(submission.views[0]), 20)
    process.send_signal(number)
    assert process.communicate()[1] == ""
    assert [view.state for view in store.sweep("work").views()] == [State.PREEMPTED, State.PLANNED]
    again = driver(store)
    assert wait_until(lambda: store.sweep("work").views()[0].state is State.SUCCEEDED, 20)
    assert wait_until(lambda: ready(submission.views[1]), 20)
    again.send_signal(number)
    again.communicate()
    assert [view.attempts for view in store.sweep("work").views()] == [2, 1]


def test_second_request_to_stop_is_hard(store: Store) -> None:
    code = "import os, signal, time; signal.signal(15, lambda *_: os.write(1, b'heard')); print('ready', flush=True)"
    submission = submitted(store, [python(f"{code}; time.sleep(60)")])
    process = driver(store)
    assert wait_until(lambda: ready(submission.views[0]), 20)
    process.send_signal(signal.SIGINT)
    log = Path(attempt_path(submission.views[0].run_dir, 0), "log.txt")
    assert wait_until(lambda: "heard" in log.read_text(), 20)
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    process.communicate()
    record = read_attempt(attempt_path(submission.views[0].run_dir, 0))
    assert (record.reason, record.signal) == (Reason.INTERRUPTED, 9)


def test_supervisors_outlive_their_launcher_and_the_next_one_waits_for_them(store: Store, tmp_path: Path) -> None:
    go = tmp_path / "go"
    os.mkfifo(go)
    submission = submitted(store, [python(f"print('ready', flush=True); open({str(go)!r}).read()")])
    first = driver(store)
    assert wait_until(lambda: ready(submission.views[0]), 20)
    first.kill()
    first.communicate()
    assert store.sweep("work").views()[0].state is State.RUNNING
    second = driver(store)
    assert wait_until(lambda: read_queue_owner(str(store.sweep("work").path)) is not None, 20)
    go.write_text("")
    assert second.communicate()[1] == ""
    (view,) = store.sweep("work").views()
    assert (view.state, view.attempts) == (State.SUCCEEDED, 1)


def test_killed_supervisor_is_replaced_as_often_as_the_policy_says(store: Store) -> None:
    code = "import os; os.kill(os.getppid(), 9)"
    (view,) = run_queue(submitted(store, [python(code + "; import time; time.sleep(0.2)")], retry={"killed": 2}))
    assert view.attempts == 3
    assert view.state in (State.LOST, State.RUNNING), "what the last one started may still be ending"


def test_supervisor_that_cannot_write_stops_the_sweep_with_its_words(store: Store) -> None:
    submission = submitted(store, [python("pass")] * 3, max_parallel=1)
    Path(submission.views[0].run_dir, "attempts").write_text("")
    with pytest.raises(StoreError, match="Not a directory"):
        run_queue(submission)
    assert [view.attempts for view in store.sweep("work").views()[1:]] == [0, 0]
    assert "Not a directory" in (store.root / "work" / "queue.log").read_text()


def test_supervisor_that_fails_itself_stops_the_sweep_with_its_words(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    submission = submitted(store, [python("pass")] * 3)
    monkeypatch.setenv("LAUNCH_GRACE_S", "no number")
    (manifest,) = (store.root / "work" / "manifest").iterdir()
    manifest.write_text(manifest.read_text().replace('"timeout_min": null', '"timeout_min": 1.0'))
    with pytest.raises(StoreError, match="could not convert string to float: 'no number'"):
        run_queue(submission)


def test_cancelling_ends_what_runs_and_what_waits(store: Store) -> None:
    submission = submitted(store, [python(STOPPING)] * 3, max_parallel=1)
    process = driver(store)
    assert wait_until(lambda: ready(submission.views[0]), 20)
    cancelled = cancel(store, ["work"]).views
    assert [view.run_id for view in cancelled] == [view.run_id for view in submission.views]
    assert process.communicate()[1] == "", "nothing is left to do"
    assert [view.state for view in store.sweep("work").views()] == [State.CANCELLED] * 3
    assert [len(attempt_numbers(view.run_dir)) for view in submission.views] == [1, 0, 0]
    assert [view.attempts for view in run_queue(submitted(store, [python(STOPPING)] * 3))] == [1, 0, 0]


@pytest.mark.parametrize("name", ["with space", "quo'te\"s", "ünïcødé-运行", "new\nline", "semi;$(x)`y`", "a:b", "-n"])
def test_hostile_path(tmp_path: Path, name: str) -> None:
    store = Store(tmp_path / name / "runs")
    views = run_queue(submitted(store, [python("import os; print(os.environ['LAUNCH_RUN_DIR'])")]))
    assert [view.state for view in views] == [State.SUCCEEDED]
    assert Path(views[0].run_dir, "attempts", "0", "log.txt").read_text() == f"{views[0].run_dir}\n"


def test_disk_that_fills_up_is_survived(tmp_path: Path) -> None:
    unshare = shutil.which("unshare")
    words = [unshare or "unshare", "--map-root-user", "--mount", "sh", "-c"]
    if unshare is None or subprocess.run([*words, f"mount -t tmpfs tmpfs {tmp_path}"], capture_output=True).returncode:
        pytest.skip("needs `unshare --map-root-user --mount`, with which a small disk of its own is made")
    harness = Path(__file__).parents[3] / "kill" / "command.py"
    command = f'"{sys.executable}" "{harness}" "{tmp_path}" 2 2 0.01 3 local 0'
    script = f"""
        mount -t tmpfs -o size=512k tmpfs "{tmp_path}" && export LAUNCH_SLOTS=/tmp/slots.$$
        {command} || exit 10
        rm -r "{tmp_path}/runs/kill-{tmp_path.name}"
        while head -c 4096 /dev/zero >> "{tmp_path}/filler"; do :; done 2>/dev/null
        {command} && exit 11
        rm "{tmp_path}/filler"
        {command} || exit 12
    """
    answer = subprocess.run([*words, script], capture_output=True, text=True, timeout=60)
    assert answer.returncode == 0, answer.stderr
    assert "No space left on device" in answer.stderr


def test_unknown_backend_is_refused() -> None:
    with pytest.raises(BackendError, match="unknown backend 'slrm'; did you mean slurm"):
        find_backend(Profile(name="x", backend="slrm"))
