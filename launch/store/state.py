"""The states of a run, and the reasons why an attempt ended. The same words for every backend."""

from __future__ import annotations

from enum import StrEnum


class State(StrEnum):
    """Where a run stands."""

    PLANNED = "PLANNED"  # on disk, and no process or scheduler is going to start it
    PENDING = "PENDING"  # waiting for a slot or for the scheduler
    RUNNING = "RUNNING"
    PREEMPTED = "PREEMPTED"  # stopped in good order before its end; it goes on from its checkpoint
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"
    LOST = "LOST"  # its supervisor is gone without recording an end, by two independent proofs


# Only a retry starts these again.
TERMINAL = frozenset({State.SUCCEEDED, State.FAILED, State.CANCELLED})


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
    KILLED = "killed"  # by a signal that the launcher did not send
    NODE_FAILURE = "node_failure"  # the machine failed, as its scheduler says: no end was recorded
    CRASH = "crash"  # any other non-zero exit
    START = "start"  # the command could not be started


# The attempt stopped in good order because it was asked to: the run goes on from its checkpoint.
RESUMABLE = (Reason.INTERRUPTED, Reason.PREEMPTED)
