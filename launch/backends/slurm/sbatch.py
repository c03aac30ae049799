"""Call sbatch. If the controller has just started and does not know its nodes yet, wait and try again."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence

from launch.backends.slurm.client import TIMEOUT_S, ClientError, Unreachable, run_client
from launch.errors import BackendError

# A job that is refused with this message may be accepted a moment later.
_UNFIT = "node configuration is not available"
_PATIENCE_S = 20.0
_PAUSE_S = 1.0
# Nodes whose state begins with one of these words accept no jobs.
_AWAY = ("down", "drain", "drng", "fail", "inval", "maint", "power")
_LATER = "`sinfo -R` shows why; type the command again when they do: nothing is lost and nothing runs twice"


def sbatch(words: Sequence[str], *, hold: Sequence[int] = (), timeout_s: float = TIMEOUT_S) -> str:
    """Call sbatch and return what it prints; see `run_client` for the arguments.

    Raises:
        ClientError: If sbatch refuses.
        Unreachable: If the controller does not answer, or no node of the cluster accepts jobs.
    """
    deadline = time.monotonic() + _PATIENCE_S
    while True:
        try:
            return run_client(words, hold=hold, timeout_s=timeout_s)
        except ClientError as error:
            if _UNFIT not in error.said:
                raise
            states = _node_states()
            if not any(map(_is_silent, states)) or time.monotonic() >= deadline:
                if states and all(_is_silent(state) or state.startswith(_AWAY) for state in states):
                    named = ", ".join(f"{count} {state}" for state, count in Counter(states).items())
                    raise Unreachable(f"no node of the cluster takes jobs now ({named})", hint=_LATER) from error
                raise
        time.sleep(_PAUSE_S)


def _node_states() -> list[str]:
    """Return the state of every node; empty if the controller does not answer."""
    try:
        lines = run_client(["sinfo", "-h", "-N", "-o", "%N %t"]).splitlines()
    except BackendError:
        return []
    return list({name: state for name, _, state in (line.partition(" ") for line in lines)}.values())


def _is_silent(state: str) -> bool:
    """Return whether a node in this state has not reported to the controller yet, and will probably do so."""
    return state.startswith("unk") or (state.endswith("*") and not state.startswith(_AWAY))
