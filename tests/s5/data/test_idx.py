import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from s5.catalog import DataError
from s5.data.idx import decode_idx


def encode_idx(array) -> Any:
    return struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.tobytes()


@settings(deadline=None)
@given(hnp.arrays(np.uint8, hnp.array_shapes(min_dims=1, max_dims=4, min_side=0, max_side=5)))
def test_decoding_inverts_encoding(array) -> None:
    decoded = decode_idx(encode_idx(array), array.shape, "x")
    assert decoded.dtype == np.uint8
    np.testing.assert_array_equal(decoded, array)


@settings(deadline=None)
@given(st.data())
def test_a_file_cut_anywhere_is_refused(data) -> None:
    content = encode_idx(np.arange(12, dtype=np.uint8).reshape(3, 2, 2))
    cut = data.draw(st.integers(0, len(content) - 1))
    with pytest.raises(DataError, match=r"^some/file: "):
        decode_idx(content[:cut], (3, 2, 2), "some/file")


def test_mnist_s_magic_numbers_are_named() -> None:
    labels = encode_idx(np.zeros(3, np.uint8))
    with pytest.raises(DataError, match=r"images: magic number 2049; .* 3 dimensions starts with 2051"):
        decode_idx(labels, (3, 28, 28), "images")


def test_values_of_another_type_are_refused() -> None:
    content = struct.pack(">HBBI", 0, 0x0D, 1, 1) + struct.pack(">f", 1.0)
    with pytest.raises(DataError, match="magic number 3329"):
        decode_idx(content, (1,), "floats")


def test_another_count_is_refused() -> None:
    with pytest.raises(DataError, match=r"labels: has the shape \(3,\), not \(4,\)"):
        decode_idx(encode_idx(np.zeros(3, np.uint8)), (4,), "labels")


def test_trailing_bytes_are_refused() -> None:
    with pytest.raises(DataError, match="labels: 4 values; expected 3, as in its header"):
        decode_idx(encode_idx(np.zeros(3, np.uint8)) + b"\0", (3,), "labels")
