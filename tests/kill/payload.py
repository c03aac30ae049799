"""A training process without JAX: steps, checkpoints, a result, and a journal of what it did.

usage: payload.py JOURNAL STEPS STEP_S

It behaves as a run must: it resumes from the newest checkpoint of any attempt, stops with a checkpoint on request or if
its supervisor has ended, and writes its result last. Each line of the journal is one O_APPEND write, so the
journal shows what really happened. The program uses only the standard library.
"""

import fcntl
import json
import os
import signal
import sys
import threading
from contextlib import suppress

_STOPPED = 75


def main() -> int:
    journal_path, steps, step_s = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
    run_dir, attempt_dir = os.environ["LAUNCH_RUN_DIR"], os.environ["LAUNCH_ATTEMPT_DIR"]
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    threading.Thread(target=_watch, args=(int(os.environ["LAUNCH_LIFELINE_FD"]), stop), daemon=True).start()
    journal = os.open(journal_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)

    def note(event: str) -> None:
        line = {"event": event, "run": os.path.basename(run_dir), "attempt": int(os.path.basename(attempt_dir))}
        os.write(journal, (json.dumps(line) + "\n").encode())

    working = os.open(os.path.join(run_dir, ".working"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    note("start")
    try:
        fcntl.flock(working, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        note("overlap")
    die_at("payload.started")
    first = newest_step(run_dir) + 1
    for step in range(first, steps):
        if stop.wait(step_s):
            note("stopped")
            return _STOPPED
        os.makedirs(os.path.join(attempt_dir, "checkpoints", str(step)))
        die_at("payload.checkpoint")
    write_result(attempt_dir, steps)
    die_at("payload.result")
    note("done")
    die_at("payload.done")
    return 0


def _watch(fd: int, stop: threading.Event) -> None:
    with suppress(OSError):
        os.read(fd, 1)
    stop.set()


def newest_step(run_dir: str) -> int:
    """Return the largest step with a checkpoint, from any attempt; -1 without a checkpoint."""
    found = -1
    attempts = os.path.join(run_dir, "attempts")
    for attempt in filter(str.isdigit, os.listdir(attempts)):
        with suppress(FileNotFoundError):
            found = max([found, *map(int, os.listdir(os.path.join(attempts, attempt, "checkpoints")))])
    return found


def write_result(attempt_dir: str, steps: int) -> None:
    """Write the result as `s5.run_dir.result` does."""
    path = os.path.join(attempt_dir, "result.json")
    with open(f"{path}.tmp", "w") as file:
        json.dump({"version": 1, "metrics": {"test/accuracy": 0.5}, "steps": steps}, file)
    os.replace(f"{path}.tmp", path)


def die_at(point: str) -> None:
    """Die if the environment names this point, as `launch.store.files.fault` does, but only once per run."""
    if os.environ.get("LAUNCH_FAULT") == point:
        with suppress(FileExistsError):
            os.close(os.open(os.path.join(os.environ["LAUNCH_RUN_DIR"], f".{point}"), os.O_CREAT | os.O_EXCL))
            os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main())
