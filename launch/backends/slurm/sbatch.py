"""One call of sbatch, which waits where a controller that was just started has not heard of its nodes yet."""

from __future__ import annotations

import time
from collections.abc import Sequence

from launch.errors import BackendError
from launch.scheduler.client import TIMEOUT_S, ClientError, Unreachable, call

# Refused for this, a job may fit a moment later.
_UNFIT = "node configuration is not available"
_PATIENCE_S = 20.0
_PAUSE_S = 1.0


def sbatch(words: Sequence[str], *, hold: Sequence[int] = (), timeout_s: float = TIMEOUT_S) -> str:
    """Call sbatch and return what it prints.

    Args:
        words: The command line.
        hold: Descriptors that it holds while it runs.
        timeout_s: Seconds that one call may take.

    Raises:
        ClientError: Where it refuses.
        Unreachable: Where nobody answers it, or no node of the cluster has spoken with its controller yet.
    """
    deadline = time.monotonic() + _PATIENCE_S
    while True:
        try:
            return call(words, hold=hold, timeout_s=timeout_s)
        except ClientError as error:
            silent, nodes = _silent_nodes() if _UNFIT in error.said else (0, 0)
            if not silent or (time.monotonic() >= deadline and silent < nodes):
                raise
            if time.monotonic() >= deadline:
                hint = "its controller may have been started a moment ago; type the command again: nothing is lost"
                raise Unreachable("no node of the cluster answers its controller", hint=hint) from error
            time.sleep(_PAUSE_S)


def _silent_nodes() -> tuple[int, int]:
    """Return how many nodes have not spoken with the controller that counts on them, of how many."""
    try:
        states = call(["sinfo", "-h", "-N", "-o", "%N %t"]).splitlines()
    except BackendError:
        return 0, 0
    nodes = dict(line.split()[:2] for line in states if len(line.split()) > 1)
    return sum(_is_silent(state) for state in nodes.values()), len(nodes)


def _is_silent(state: str) -> bool:
    """Say whether a node in this state is expected, and has said nothing. One that is down is not expected."""
    return state.startswith("unk") or (state.endswith("*") and not state.startswith(("down", "drain", "drng", "fail")))
