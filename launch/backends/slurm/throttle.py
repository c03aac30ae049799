"""Divide `max_parallel`, the number of runs that may execute at once, among the arrays of a sweep. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Share:
    """The part of the sweep's limit that an array has.

    Attributes:
        array: The array, by uuid or job number.
        throttle: How many of its tasks may run at once; None for no limit.
        follows: The array that must end first, whose share it then takes over; None if it has a share of its own.
    """

    array: str
    throttle: int | None
    follows: str | None = None


def share_limit(
    limit: int | None, taken: Sequence[Share], arrays: Sequence[str], ready: int | None = None
) -> list[Share]:
    """Divide a limit among new arrays, so that at most `limit` tasks run at once.

    Args:
        limit: How many tasks may run at once; None for no limit.
        taken: The shares of the arrays that are in the queue.
        arrays: The new arrays.
        ready: How many of the new arrays, from the first, have no predecessors. Only these get their own share, so that
            waiting arrays take nothing from them. All arrays count as ready if this is None or 0.

    Returns:
        A share for each new array.
    """
    if limit is None:
        return [Share(array=array, throttle=None) for array in arrays]
    free = limit - sum(one.throttle or 0 for one in taken)
    first = max(0, min(ready or len(arrays), free))
    shares: list[Share] = []
    for number, array in enumerate(arrays):
        if number < first:
            shares.append(Share(array=array, throttle=free // first + (number < free % first)))
        else:
            before = shares[number - first] if first else (*taken, *shares)[number]
            shares.append(Share(array=array, throttle=before.throttle or limit, follows=before.array))
    return shares
