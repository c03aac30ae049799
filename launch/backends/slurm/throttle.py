"""Divide `max_parallel`, the number of runs that may execute at once, among the arrays of a sweep. Pure.

Arrays form chains: each array of a chain begins when the one before it has ended, and takes over its part of the limit.
Chains divide the limit, so it holds at any time, although Slurm's throttle is a property of a single array.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

_MOST_PLANS = 16  # how many ways to divide the limit are compared, so that a thousand arrays take no second


@dataclass(frozen=True, kw_only=True)
class Share:
    """The part of the sweep's limit that an array has.

    Attributes:
        array: The array, by uuid or job number.
        tasks: How many of its tasks are in the queue, or will be.
        running: How many of them run.
        waits: Whether it waits until other runs have succeeded.
        throttle: How many of its tasks may run at once; None for no limit.
        follows: The arrays that must end first, whose share it then takes over; empty if it has a share of its own.
    """

    array: str
    tasks: int = 1
    running: int = 0
    waits: bool = False
    throttle: int | None = None
    follows: tuple[str, ...] = ()

    @property
    def width(self) -> int:
        """How many of its tasks can run at once."""
        return max(self.running, min(self.tasks, self.throttle or self.tasks))


@dataclass(kw_only=True)
class _Chain:
    """Arrays that run one after another."""

    last: tuple[str, ...] = ()  # the arrays that must end before the next one begins
    width: int
    rounds: int = 0  # when it ends if every run takes as long: a multiple of this time

    def add(self, one: Share, width: int) -> None:
        """Add an array that runs `width` tasks at once. One that runs already may end before those that it follows."""
        self.last = (*self.last, one.array) if one.running else (one.array,)
        self.rounds += -(-one.tasks // width)


def share_limit(limit: int | None, taken: Sequence[Share], arrays: Sequence[Share]) -> list[Share]:
    """Divide a limit among arrays, so that at most `limit` tasks run at once, and all of them end early.

    Args:
        limit: How many tasks may run at once; None for no limit.
        taken: The shares of other arrays, which stay as they are. An array comes after those that it follows.
        arrays: The arrays: first those with running tasks, then the others, and at the end those that wait for other
            runs. If any of them can begin, only these get a share of their own: those that wait take nothing from them.

    Returns:
        The arrays with their new throttles and predecessors.
    """
    if limit is None or not arrays:
        return [replace(one, throttle=None, follows=()) for one in arrays]
    chains = _chains(taken)
    free = limit - sum(chain.width for chain in chains)
    if free < 0:  # the limit was lowered: nothing begins before all of these have ended
        last = tuple(dict.fromkeys(array for chain in chains for array in chain.last))
        chains = [_Chain(last=last, width=limit, rounds=max(chain.rounds for chain in chains))]
    most = max(0, min(sum(not one.waits for one in arrays) or len(arrays), free))
    least = 0 if chains else 1
    counts = sorted({*range(most, least, -max(1, most // _MOST_PLANS)), least}, reverse=True)
    counts = [count for count in counts if _fits(arrays, count, free)] or [min(most, 1) or least]
    return min((_plan(chains, arrays, count, free) for count in counts), key=lambda plan: plan[0])[1]


def _chains(taken: Sequence[Share]) -> list[_Chain]:
    """Return the chains of arrays in the queue. Of two arrays that follow the same one, each needs room of its own."""
    chains: list[_Chain] = []
    for one in taken:
        chain = next((chain for chain in chains if one.follows and set(chain.last) <= set(one.follows)), None)
        if chain is None:
            chain = _Chain(width=0)
            chains.append(chain)
        chain.width = max(chain.width + one.running, one.width)
        chain.add(one, one.width)
    return chains


def _fits(arrays: Sequence[Share], count: int, free: int) -> bool:
    """Return whether the first `count` arrays can have shares of their own while all running tasks go on."""
    own = sum(max(1, one.running) for one in arrays[:count])
    return own + sum(one.running for one in arrays[count:]) <= free


def _plan(taken: Sequence[_Chain], arrays: Sequence[Share], count: int, free: int) -> tuple[int, list[Share]]:
    """Give the first `count` arrays shares of their own, and let each other one follow the chain that ends first.

    Returns:
        How many rounds the longest chain takes, and the shares.
    """
    chains = [replace(chain) for chain in taken]
    room = free - sum(one.running for one in arrays[count:])
    if not count and room > 0:
        for chain, more in zip(chains, _even(room, len(chains)), strict=True):
            chain.width += more
    widths = _widths(arrays[:count], max(1, room))
    shares: list[Share] = []
    for number, one in enumerate(arrays):
        if number < count:
            chain = _Chain(width=widths[number], rounds=int(one.waits))
            chains.append(chain)
        else:
            chain = min(chains, key=lambda chain: chain.rounds)
        shares.append(replace(one, throttle=chain.width, follows=chain.last))
        chain.add(one, chain.width)
    return max(chain.rounds for chain in chains), shares


def _widths(arrays: Sequence[Share], room: int) -> list[int]:
    """Divide room among arrays, so that all of them end in the same round if possible."""
    if len(arrays) < 2:
        return [room] * len(arrays)
    low, high = 1, max(one.tasks for one in arrays)
    while low < high:
        middle = (low + high) // 2
        if sum(_needed(one, middle) for one in arrays) <= room:
            high = middle
        else:
            low = middle + 1
    needed = [_needed(one, low) for one in arrays]
    return [own + more for own, more in zip(needed, _even(room - sum(needed), len(arrays)), strict=True)]


def _needed(one: Share, rounds: int) -> int:
    """Return how many tasks of an array must run at once so that it ends after some rounds."""
    return max(1, one.running, -(-one.tasks // rounds))


def _even(total: int, parts: int) -> list[int]:
    return [total // parts + (number < total % parts) for number in range(parts)]
