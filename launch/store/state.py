"""The states of a run, and the reasons why an attempt ended. They are the same for every backend."""

from __future__ import annotations

from enum import StrEnum


class State(StrEnum):
    """The state of a run."""

    PLANNED = "PLANNED"  # its directory exists, but no process or scheduler is going to start it
    PENDING = "PENDING"  # waiting for a slot or for the scheduler
    RUNNING = "RUNNING"
    PREEMPTED = "PREEMPTED"  # interrupted, preempted, or failed with retries left; it continues from its checkpoint
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"
    LOST = "LOST"  # its supervisor died without recording an end; two independent proofs show that


# No queue starts runs in these states again. A retry does if they failed or were cancelled, and so does the sweep's
# command if they failed with USER_ERROR and their config has been corrected since.
TERMINAL = frozenset({State.SUCCEEDED, State.FAILED, State.CANCELLED})

# A scheduler's queue has no task for runs in these states: a submission submits them.
SUBMITTABLE = (State.PLANNED, State.PREEMPTED, State.LOST)


class Reason(StrEnum):
    """Why an attempt ended."""

    SUCCESS = "success"
    INTERRUPTED = "interrupted"  # the user or the launcher asked it to stop
    PREEMPTED = "preempted"  # the scheduler asked it to stop
    TIMEOUT = "timeout"  # timeout_min was reached
    CANCELLED = "cancelled"
    OUT_OF_MEMORY = "out_of_memory"
    NAN = "nan"
    USER_ERROR = "user_error"  # its config or its data set is not valid
    KILLED = "killed"  # by a signal that the launcher did not send
    NODE_FAILURE = "node_failure"  # its scheduler says that the machine failed; the attempt recorded no end
    CRASH = "crash"  # any other non-zero exit
    START = "start"  # the command could not be started
    MACHINE = "machine"  # nor could any other: the machine had no processes, memory, descriptors or disk space left


# The attempt stopped because it was asked to, or its machine lacked something: the run can continue.
RESUMABLE = (Reason.INTERRUPTED, Reason.PREEMPTED, Reason.MACHINE)
