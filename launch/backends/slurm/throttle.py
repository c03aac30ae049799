"""How the arrays of a sweep share what may run at once. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Share:
    """Room for some runs at once, which one array fills after another.

    Attributes:
        array: The array in it, by its uuid or its job's number.
        throttle: How many of its tasks may run at once; None for no limit.
        behind: The array before it in the lane, whose end it waits for; None for none.
    """

    array: str
    throttle: int | None
    behind: str | None = None


def share(most: int | None, live: Sequence[Share], arrays: Sequence[str], ready: int | None = None) -> list[Share]:
    """Give every new array a lane, so that no more than `most` tasks run at once.

    Args:
        most: How many; None for no limit.
        live: The lanes of the arrays that are in the queue.
        arrays: The new arrays.
        ready: How many of them, the first ones, wait for no other's success: they are not kept from the room of those
            that do. Where it is None or 0, all count as ready.

    Returns:
        A lane for each.
    """
    if most is None:
        return [Share(array=array, throttle=None) for array in arrays]
    free = most - sum(lane.throttle or 0 for lane in live)
    heads = max(0, min(ready or len(arrays), free))
    lanes: list[Share] = []
    for number, array in enumerate(arrays):
        if number < heads:
            lanes.append(Share(array=array, throttle=free // heads + (number < free % heads)))
        else:
            before = lanes[number - heads] if heads else (*live, *lanes)[number]
            lanes.append(Share(array=array, throttle=before.throttle or most, behind=before.array))
    return lanes
