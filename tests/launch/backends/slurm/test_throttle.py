"""`max_parallel` over several arrays: the limit holds at any time, and as much of it as possible is used."""

from collections.abc import Sequence
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from launch.backends.slurm.throttle import Share, share_limit


def waiting(array: str, tasks: int = 1, running: int = 0) -> Share:
    return Share(array=array, tasks=tasks, running=running)


def taken(array: str, throttle: int, *follows: str) -> Share:
    return Share(array=array, tasks=9, throttle=throttle, follows=follows)


@pytest.mark.parametrize(
    ("limit", "others", "arrays", "throttles", "follows"),
    [
        (None, [], [waiting("a")], [None], [""]),
        (5, [taken("9", 3)], [waiting("a")], [2], [""]),
        (3, [taken("9", 3)], [waiting("a"), waiting("b")], [3, 3], ["9", "a"]),
        (3, [taken("8", 2), taken("9", 1)], [waiting("a"), waiting("b"), waiting("c")], [2, 2, 2], ["8", "a", "b"]),
        (4, [], [waiting("a"), waiting("b"), waiting("c")], [2, 1, 1], ["", "", ""]),
        # The array that is submitted third follows the second, not the first again: both would run at once.
        (1, [taken("8", 1), taken("9", 1, "8")], [waiting("a")], [1], ["9"]),
        # A large array has most of the limit, and a small one no more than it can use.
        (9, [], [waiting("a", 80), waiting("b", 10)], [8, 1], ["", ""]),
        # The limit was raised: four runs one by one would take longer than two at once, before the single one.
        (2, [], [waiting("a", 4, running=1), waiting("b")], [2, 2], ["", "a"]),
        # The limit was lowered: what runs goes on, and what comes next begins after all of it.
        (1, [waiting("7", 2, running=2), waiting("8", 1, running=1)], [waiting("a", 3)], [1], ["7 8"]),
        (2, [], [waiting("a", 6, running=4), waiting("b", 5)], [2, 2], ["", "a"]),
        # Few places are free, but all will be soon: the long array waits for all of them.
        (4, [waiting("9", 3, running=3)], [waiting("a", 40)], [4], ["9"]),
    ],
)
def test_a_limit_is_shared_by_arrays(
    limit: int | None,
    others: list[Share],
    arrays: list[Share],
    throttles: list[int | None],
    follows: list[str],
) -> None:
    shares = share_limit(limit, others, arrays)
    assert [one.throttle for one in shares] == throttles
    assert [" ".join(one.follows) for one in shares] == follows


def most_at_once(shares: Sequence[Share], random: Random) -> int:
    """Let Slurm start tasks as soon as it may and end them in any order; return the most that ran when one began."""
    left = {one.array: one.tasks - one.running for one in shares}
    running = {one.array: one.running for one in shares}
    most = 0
    while any(left.values()) or any(running.values()):
        for one in shares:
            may_begin = not any(left[name] + running[name] for name in one.follows)
            while may_begin and left[one.array] and running[one.array] < (one.throttle or one.tasks):
                left[one.array] -= 1
                running[one.array] += 1
                most = max(most, sum(running.values()))
        alive = [name for name, count in running.items() if count]
        assert alive, "no array can ever begin"
        running[random.choice(alive)] -= 1
    return most


ARRAYS = st.lists(st.tuples(st.integers(1, 9), st.integers(0, 3)), min_size=1, max_size=5)


@given(ARRAYS, st.lists(st.integers(1, 9), max_size=3), st.integers(1, 8), st.integers(1, 8), st.randoms())
def test_no_more_than_the_limit_run_at_once_after_any_changes(
    begun: list[tuple[int, int]], new: list[int], limit: int, later: int, random: Random
) -> None:
    arrays = [waiting(f"{at}", tasks, min(tasks, running)) for at, (tasks, running) in enumerate(begun)]
    arrays.sort(key=lambda one: not one.running)
    running = sum(one.running for one in arrays)
    shares = share_limit(limit, [], arrays)
    shares += share_limit(limit, shares, [waiting(f"new{at}", tasks) for at, tasks in enumerate(new)])
    assert most_at_once(shares, random) <= max(limit, running)
    shares = share_limit(later, [], sorted(shares, key=lambda one: not one.running))
    assert most_at_once(shares, random) <= max(later, running)
