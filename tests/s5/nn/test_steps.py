import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest

from s5.nn.steps import REGULAR, Steps, check_steps

TIMES = np.array([[0.0, 2.0, 3.0, 7.0, 8.0], [5.0, 6.0, 9.0, -1.0, 4.0]], np.float32)
LENGTHS = np.array([5, 3])
RESETS = np.array([[False, False, True, False, False], [False, True, False, False, False]])


def test_what_is_not_said_costs_nothing():
    assert Steps.of(5) == REGULAR == Steps(None, None, None, 1.0)
    assert REGULAR.gaps(reverse=True) is None
    assert REGULAR.last_segment() is None
    assert jax.tree.leaves(REGULAR) == [1.0]


@pytest.mark.parametrize(
    ("lengths", "resets", "forward", "backward"),
    [
        (None, None, [[1, 2, 1, 4, 1], [1, 1, 3, -10, 5]], [[2, 1, 4, 1, 1], [1, 3, -10, 5, 1]]),
        (LENGTHS, None, [[1, 2, 1, 4, 1], [1, 1, 3, 1, 1]], [[2, 1, 4, 1, 1], [1, 3, 1, 1, 1]]),
        (LENGTHS, RESETS, [[1, 2, 1, 4, 1], [1, 1, 3, 1, 1]], [[2, 1, 4, 1, 1], [1, 3, 1, 1, 1]]),
    ],
    ids=["full", "padded", "segments"],
)
def test_each_direction_moves_by_the_interval_behind_it(lengths, resets, forward, backward):
    steps = Steps.of(5, lengths, times=TIMES, resets=resets)
    np.testing.assert_array_equal(steps.gaps(reverse=False), forward)
    np.testing.assert_array_equal(steps.gaps(reverse=True), backward)


def test_between_segments_there_is_no_interval():
    times = np.array([[3.0, 4.0, 100.0, 103.0]], np.float32)
    steps = Steps.of(4, times=times, resets=np.array([[False, False, True, False]]))
    np.testing.assert_array_equal(steps.gaps(reverse=False), [[1, 1, 1, 3]])
    np.testing.assert_array_equal(steps.gaps(reverse=True), [[1, 1, 3, 1]])


def test_the_last_segment_is_that_of_the_last_valid_step():
    got = Steps.of(5, np.array([5, 1]), resets=RESETS).last_segment()
    np.testing.assert_array_equal(got, [[False, False, True, True, True], [True, False, False, False, False]])
    np.testing.assert_array_equal(Steps.of(5, np.array([4, 0])).last_segment(), [[True] * 4 + [False], [False] * 5])


def test_documents_of_a_pair_have_an_axis_of_their_own():
    steps = Steps.of(5, np.array([[5, 3], [1, 0]]), times=np.stack([TIMES, TIMES], axis=1))
    check_steps(steps, (2, 2, 5))
    assert int(steps.mask.sum()) == 9


def test_what_describes_other_steps_is_refused():
    with pytest.raises(ValueError, match=r"mask has shape \(2, 5\), but the inputs have .*\(2, 6\); Steps\.of"):
        check_steps(Steps.of(5, LENGTHS), (2, 6))
    with pytest.raises(ValueError, match=r"Steps\.resets has shape \(2, 5\)"):
        check_steps(Steps(resets=jnp.asarray(RESETS)), (3, 5))


@pytest.mark.parametrize("kind", [np.float64, np.int64])
def test_large_times_keep_their_intervals(kind):
    times = np.array([[0, 3, 4, 9], [2, 3, 5, 6]], kind)
    for offset in (1_764_500_000, -(10**12)):
        steps = Steps.of(4, times=times + kind(offset))
        assert steps.intervals.dtype == np.float32
        np.testing.assert_array_equal(steps.intervals, [[1, 3, 1, 5], [1, 1, 2, 1]])


def test_times_that_have_lost_their_intervals_are_refused():
    times = np.array([[0.0, 3.0, 4.0, 9.0]])
    with pytest.raises(
        ValueError, match=r"times reach 1\.764e\+09, where float32 has one value in 128 regular intervals"
    ):
        Steps.of(4, times=jnp.asarray(times + 1.7645e9, jnp.float32))
    assert Steps.of(4, times=jnp.asarray(times + 1e6, jnp.float32)).intervals[0, 3] == 5
    jax.jit(lambda t: Steps.of(4, times=t).intervals)(jnp.asarray(times + 1.7645e9, jnp.float32))  # values are unknown


@pytest.mark.parametrize(
    ("lengths", "said"),
    [
        (np.array([5, 9, 3]), r"lengths\[1\] is 9, but must be from 0 to L=5"),
        (jnp.array([[5, 0], [4, 6]]), r"lengths\[1, 1\] is 6, but must be from 0 to L=5"),
        (np.array([-1, 2]), r"lengths\[0\] is -1, but must be from 0"),
        (np.array(6), r"lengths is 6, but must be from 0"),
    ],
)
def test_a_length_that_no_row_has_is_refused(lengths, said):
    with pytest.raises(ValueError, match=said):
        Steps.of(5, lengths)


@pytest.mark.parametrize("lengths", [np.array([True, False]), np.array([2.0, 3.0])])
def test_lengths_that_are_not_integers_are_refused(lengths, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    with pytest.raises(ValueError, match=f"lengths are {lengths.dtype}, but must be integers"):
        Steps.of(5, lengths)


def test_lengths_are_not_read_while_they_are_traced():
    traced = jax.jit(lambda lengths: Steps.of(5, lengths).mask)(jnp.array([0, 3, 9]))
    np.testing.assert_array_equal(traced.sum(1), [0, 3, 5])
    assert Steps.of(5, np.zeros(0, int)).mask.shape == (0, 5)
