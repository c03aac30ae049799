import signal
from pathlib import Path

import pytest

from launch.store.state import Reason
from launch.supervise.classify import classify, last_words, oom_kills, read_tail

TRACEBACK = """step 3
Traceback (most recent call last):
  File "train.py", line 3, in <module>
    raise ValueError("too bad")
ValueError: too bad
--------------------
For simplicity, JAX has removed its internal frames from the traceback.
"""
XLA = "jaxlib.XlaRuntimeError: RESOURCE_EXHAUSTED: Out of memory while trying to allocate 8 bytes\n"


@pytest.mark.parametrize(
    ("code", "facts", "reason", "message"),
    [
        (0, {"finished": True}, Reason.SUCCESS, None),
        (1, {"finished": True}, Reason.SUCCESS, "exit code 1 after its result was written"),
        (-11, {"finished": True}, Reason.SUCCESS, "signal SIGSEGV after its result was written"),
        (0, {}, Reason.CRASH, "it ended without a result.json"),
        (1, {"log": TRACEBACK}, Reason.CRASH, "ValueError: too bad"),
        (1, {"log": XLA}, Reason.OUT_OF_MEMORY, XLA.strip()),
        (1, {"log": "Traceback (most recent call last):\n  x\nMemoryError\n"}, Reason.OUT_OF_MEMORY, "MemoryError"),
        (2, {"log": "s5: no data\nhint: get it\n"}, Reason.USER_ERROR, "s5: no data"),
        (3, {"log": "s5: loss is nan\n"}, Reason.NAN, "s5: loss is nan"),
        (4, {}, Reason.OUT_OF_MEMORY, "exit code 4"),
        (7, {}, Reason.CRASH, "exit code 7"),
        (75, {}, Reason.INTERRUPTED, None),
        (75, {"asked": Reason.TIMEOUT}, Reason.TIMEOUT, None),
        (75, {"asked": Reason.CANCELLED}, Reason.CANCELLED, None),
        (1, {"asked": Reason.INTERRUPTED, "log": TRACEBACK}, Reason.INTERRUPTED, None),
        (3, {"asked": Reason.INTERRUPTED}, Reason.NAN, "exit code 3"),
        (-15, {"asked": Reason.INTERRUPTED}, Reason.INTERRUPTED, None),
        (-9, {"asked": Reason.TIMEOUT}, Reason.TIMEOUT, None),
        (-9, {}, Reason.KILLED, "killed by SIGKILL"),
        (-15, {}, Reason.KILLED, "killed by SIGTERM"),
        (-9, {"oom_killed": True}, Reason.OUT_OF_MEMORY, "the kernel killed it for lack of memory"),
        (-6, {"log": "terminate: std::bad_alloc\n"}, Reason.OUT_OF_MEMORY, "SIGABRT: terminate: std::bad_alloc"),
        (-11, {}, Reason.CRASH, "SIGSEGV"),
    ],
)
def test_ending(code: int, facts: dict[str, object], reason: Reason, message: str | None) -> None:
    known: dict[str, object] = {"finished": False, "asked": None, "oom_killed": False, "log": ""} | facts
    ending = classify(code, **known)  # type: ignore[arg-type]
    assert (ending.reason, ending.message) == (reason, message)
    assert (ending.exit_code, ending.signal) == ((None, -code) if code < 0 else (code, None))


@pytest.mark.parametrize(
    ("code", "log", "reason"),
    [(2, "", "crash"), (3, "", "crash"), (4, "", "crash"), (4, XLA, "out_of_memory"), (75, "", "interrupted")],
)
def test_exit_codes_of_a_program_of_the_user_name_no_reason(code: int, log: str, reason: str) -> None:
    ending = classify(code, finished=False, asked=None, oom_killed=False, log=log, trains=False)
    assert ending.reason.value == reason
    said = classify(3, finished=False, asked=None, oom_killed=False, log="s5: the loss is nan", trains=False)
    assert said.reason is Reason.NAN  # it executes `python -m s5`


def test_last_words_of_an_unknown_signal() -> None:
    assert classify(-40, finished=False, asked=None, oom_killed=False, log="").message == "killed by signal 40"


def test_last_words_are_the_last_traceback_or_the_last_line() -> None:
    assert last_words("") is None
    assert last_words("one\ntwo\n\n") == "two"
    assert last_words(TRACEBACK + TRACEBACK.replace("too bad", "worse")) == "ValueError: worse"
    assert last_words("Traceback (most recent call last):\n  cut off") == "  cut off"
    assert len(last_words("x" * 5000) or "") == 300


def test_tail_of_a_long_log_is_read_and_no_more(tmp_path: Path) -> None:
    log = tmp_path / "log.txt"
    log.write_bytes(b"\xff" * 300_000 + b"\nthe end\n")
    assert len(read_tail(str(log))) <= 64 * 1024
    assert last_words(read_tail(str(log))) == "the end"
    assert read_tail(str(tmp_path / "none")) == ""


@pytest.mark.parametrize(
    ("group", "file"),
    [
        ("0::/a/b\n", "a/b/memory.events"),
        ("0::/of/the/host\n", "memory.events"),
        ("4:memory:/a\n3:cpuset:/\n", "memory/a/memory.oom_control"),
        ("4:cpu,memory:/elsewhere\n", "memory/memory.oom_control"),
    ],
    ids=["v2", "v2 in a container", "v1", "v1 in a container"],
)
def test_kernel_counts_of_killed_processes_are_read(tmp_path: Path, group: str, file: str) -> None:
    (tmp_path / "group").write_text(group)
    counter = tmp_path / "root" / file
    counter.parent.mkdir(parents=True)
    counter.write_text("oom_kill_disable 0\nunder_oom 0\nlow 7\noom 3\noom_kill 2\n")
    assert oom_kills(str(tmp_path / "group"), str(tmp_path / "root")) == 2
    assert oom_kills(str(tmp_path / "group"), str(tmp_path / "nowhere")) == 0
    assert oom_kills(str(tmp_path / "none")) == 0


def test_real_exit_statuses_are_understood() -> None:
    assert signal.SIGKILL == 9
    assert oom_kills() >= 0
