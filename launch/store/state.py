"""The states of a run, and the reasons why an attempt ended. The same words for every backend."""

from __future__ import annotations

from enum import StrEnum


class State(StrEnum):
    """Where a run stands. The same words for every backend."""

    PLANNED = "PLANNED"  # on disk, and nobody is there to start it
    PENDING = "PENDING"  # waiting for a slot or for the scheduler
    RUNNING = "RUNNING"
    PREEMPTED = "PREEMPTED"  # stopped in good order before its end; it goes on from its checkpoint
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"
    LOST = "LOST"  # its supervisor is gone and left no word; two independent proofs


# What only a retry starts again.
OVER = frozenset({State.SUCCEEDED, State.FAILED, State.CANCELLED})


class Reason(StrEnum):
    """Why an attempt ended."""

    SUCCESS = "success"
    INTERRUPTED = "interrupted"  # the user or the launcher asked it to stop
    PREEMPTED = "preempted"  # the scheduler asked it to stop
    TIMEOUT = "timeout"  # timeout_min was reached
    CANCELLED = "cancelled"
    OUT_OF_MEMORY = "out_of_memory"
    NAN = "nan"
    USER_ERROR = "user_error"  # a config or a data set it cannot run with
    KILLED = "killed"  # by a signal nobody here sent
    NODE_FAILURE = "node_failure"  # the machine went away under it, which its scheduler says: it left no word itself
    CRASH = "crash"  # any other non-zero exit
    START = "start"  # the command could not be started
