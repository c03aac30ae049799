"""A config as YAML text: every YAML reader returns the same values."""

import string

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf

from s5.config.yaml_text import yaml_text

leaf = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text().filter(lambda t: "${" not in t)
)
tree = st.recursive(
    leaf | st.lists(leaf, max_size=3),
    lambda values: st.dictionaries(
        st.text(string.printable, min_size=1).filter(lambda t: "${" not in t), values, max_size=4
    ),
    max_leaves=12,
)
document = st.dictionaries(st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,8}", fullmatch=True), tree, max_size=5)


@settings(deadline=None, max_examples=50)
@given(document)
def test_the_config_text_is_read_back_equal(config) -> None:
    text = yaml_text(config)
    assert repr(yaml.safe_load(text) or {}) == repr(config)
    if "???" not in text:
        assert OmegaConf.to_container(OmegaConf.create(text or "{}")) == config


@pytest.mark.parametrize(
    "value", [1e-05, 1e16, 1e300, 5e-324, 0.1, -0.0, 1.0, 123456789.0, float("inf"), -float("inf")]
)
def test_a_float_stays_a_float_for_every_reader(value: float) -> None:
    text = yaml_text({"lr": value})
    assert repr(yaml.safe_load(text)["lr"]) == repr(OmegaConf.create(text).lr) == repr(value)
