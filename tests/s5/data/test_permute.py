import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from s5.config.choices import Permutation
from s5.data.permute import bit_reversal, pixel_order


def test_bit_reversal_of_mnist_is_the_published_order() -> None:
    order = bit_reversal(784).tolist()
    assert order[:12] == [0, 512, 256, 768, 128, 640, 384, 64, 576, 320, 192, 704]
    assert order[-4:] == [383, 255, 767, 511]


@settings(deadline=None)
@given(st.integers(1, 2000))
def test_bit_reversal_is_a_permutation(length) -> None:
    assert sorted(bit_reversal(length)) == list(range(length))


@pytest.mark.parametrize("length", [1, 2, 64, 1024])
def test_bit_reversal_of_a_power_of_two_undoes_itself(length: int) -> None:
    order = bit_reversal(length)
    np.testing.assert_array_equal(order[order], np.arange(length))


@pytest.mark.parametrize("permutation", Permutation)
def test_every_choice_of_the_config_has_an_order(permutation) -> None:
    assert sorted(pixel_order(permutation, 100)) == list(range(100))
