"""Run ids: readable, and safe as the name of a folder or a job and as a word on a command line."""

import re

from hypothesis import given, settings
from hypothesis import strategies as st

from launch.compose.run_id import MAX_RUN_ID, MAX_SLUG, make_run_id, make_slug

leaf = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()


@given(
    experiment=st.text(max_size=200),
    values=st.dictionaries(st.from_regex(r"[a-z]+(\.[a-z_]+)*", fullmatch=True), leaf, max_size=6),
    seed=st.integers(0, 2**32 - 1),
)
@settings(deadline=None)
def test_a_run_id_is_safe_everywhere(experiment, values, seed: int) -> None:
    run_id = make_run_id(experiment, values, seed, "0123456789abcdef" * 4)
    assert re.fullmatch(r"[A-Za-z0-9._=-]+", run_id)
    assert run_id.endswith(f"-s{seed}-01234567")
    assert len(run_id) <= MAX_RUN_ID
    assert len(make_slug(values)) <= MAX_SLUG


def test_a_run_id_is_readable() -> None:
    values = {"optim.lr": 1e-05, "model.norm": "layer", "a.b": "x/y z", "c": None}
    assert make_run_id("digits/s5", values, 3, "ab" * 32) == "digits-s5-lr=1e-05-norm=layer-b=x_y_z-c=null-s3-abababab"
    assert make_run_id("digits/s5", {}, 0, "ab" * 32) == "digits-s5-s0-abababab"
    assert make_slug({"model.lr": 1, "optim.lr": 2}) == "model.lr=1-optim.lr=2"
