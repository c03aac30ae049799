"""Values in the grammar of overrides: writing them, and reading them as Hydra does."""

import pytest
from hypothesis import given
from hypothesis import settings as configure
from hypothesis import strategies as st

from launch.grammar import Choices, GrammarError, Interval, format_value, parse_value

plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text()
    | st.sampled_from(
        ["null", "true", "1", "1e-3", "a b", "'", '"', "\\", "\\'", "a\\", "a,b", "x=y", "", " ", "é", "\n"]
    ),
    lambda values: (
        st.lists(values, max_size=3)
        | st.dictionaries(st.from_regex(r"[a-z_][a-z0-9_]{0,5}", fullmatch=True), values, max_size=2)
    ),
    max_leaves=5,
)


@configure(deadline=None)
@given(plain)
def test_a_value_survives_the_grammar(value) -> None:
    text = format_value(value)
    assert parse_value(text) == value
    assert type(parse_value(text)) is type(value)


numbers_and_words = st.from_regex(
    r"[+-]?[0-9_.]{1,6}([eE][+-]?[0-9]{1,3})?|[A-Za-z_/.-][A-Za-z0-9_/.-]{0,6}", fullmatch=True
)


@configure(deadline=None)
@given(numbers_and_words | st.sampled_from(["TRUE", "Null", "inf", "-inf", "nan", "+.5", "00", "-0", "1_0", "1__0"]))
def test_the_fast_reading_of_a_value_is_hydras(text: str) -> None:
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    try:
        expected = OverridesParser.create().parse_override(f"x={text}").value()
    except HydraException:
        with pytest.raises(GrammarError):
            parse_value(text)
    else:
        assert repr(parse_value(text)) == repr(expected)


def test_sweep_values() -> None:
    assert parse_value("1,2") == Choices((1, 2))
    assert parse_value("tag(log,interval(1e-4,1))") == Interval(1e-4, 1.0, True, False)
    assert parse_value("int(interval(1,8))") == Interval(1, 8, False, True)
    with pytest.raises(GrammarError, match="inside a list"):
        parse_value("[choice(1,2)]")
