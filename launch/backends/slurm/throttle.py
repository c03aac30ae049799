"""How the arrays of a sweep share the number of runs that may execute at once. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Share:
    """The part of a sweep's limit that an array has.

    Attributes:
        array: The array, by its uuid or by its job's number.
        throttle: How many of its tasks may run at once; None for no limit.
        follows: The array whose share it takes over, and whose end it waits for; None if it begins with its own.
    """

    array: str
    throttle: int | None
    follows: str | None = None


def share_limit(
    limit: int | None, taken: Sequence[Share], arrays: Sequence[str], ready: int | None = None
) -> list[Share]:
    """Share a limit among new arrays, so that no more than `limit` tasks run at once.

    Args:
        limit: How many tasks may run at once; None for no limit.
        taken: The shares of the arrays that are in the queue.
        arrays: The new arrays.
        ready: How many of them, from the first, wait for no other's success. Only these get a share of their own, so
            that a waiting array does not keep room from them. All count as ready if this is None or 0.

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
