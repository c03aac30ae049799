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


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("range(4)", (0, 1, 2, 3)),
        ("range(9,2,-3)", (9, 6, 3)),
        ("range(0.1,0.5,0.1)", (0.1, 0.2, 0.3, 0.4)),
        ("range(1,0,-0.3)", (1.0, 0.7, 0.4, 0.1)),
        ("range(1e-4,1e-3,3e-4)", (1e-4, 4e-4, 7e-4)),
        ("range(0,2.1,0.7)", (0.0, 0.7, 1.4)),
        ("float(range(1,4))", (1.0, 2.0, 3.0)),
        ("int(range(1.2,4.8))", (1, 2, 3)),
        ("sort(range(10,0,-4))", (2, 6, 10)),
        ("sort(range(1,8,3),reverse=true)", (7, 4, 1)),
        ("sort(range(0.2,0.8,0.2),reverse=true)", (0.6, 0.4, 0.2)),
        ("sort(range(3,-3,-2))", (-1, 1, 3)),
        ("sort(sweep=range(7,0,-5),reverse=true)", (7, 2)),
        ("sort(choice(3,1,2))", (1, 2, 3)),
        ("int(sort(choice(2.0,1.0)))", (1, 2)),
    ],
)
def test_a_range_has_the_values_that_are_written(text: str, values: tuple[float, ...]) -> None:
    found = parse_value(text)
    assert found == Choices(values)
    assert [type(value) for value in found.values] == [type(value) for value in values]


@configure(deadline=None)
@given(st.integers(-30, 30), st.integers(-30, 30), st.integers(-7, 7).filter(bool), st.integers(0, 3), st.booleans())
def test_a_range_of_decimals_is_one_of_whole_numbers(start: int, stop: int, step: int, digits: int, back: bool) -> None:
    texts = ",".join(f"{value / 10**digits:.{max(digits, 1)}f}" for value in (start, stop, step))
    values = [float(f"{value / 10**digits:.{max(digits, 1)}f}") for value in range(start, stop, step)]
    assert parse_value(f"range({texts})") == Choices(tuple(values))
    assert parse_value(f"sort(range({texts}),reverse={str(back).lower()})") == Choices(
        tuple(sorted(values, reverse=back))
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("shuffle(choice(1,2))", r"^shuffle\(\) is not supported"),
        ("int(shuffle(choice(1,2)))", r"^shuffle\(\) is not supported"),
        ("shuffle([1,2,3])", r"^shuffle\(\) is not supported"),
        ("sort(shuffle(range(3)))", r"^shuffle\(\) is not supported"),
        ("int(range(0,1,0.25))", r"^the step of a range is 0; int\(range"),
        ("range(1,5,0)", "^the step of a range is 0"),
        ("sort(range(1,5,0.0))", "^the step of a range is 0"),
        ("range(0,inf)", "^a range needs .* finite numbers"),
        ("range(0,1e9)", "^more than 100000 values"),
        ("sort(range(1e9,0,-1))", "^more than 100000 values"),
    ],
)
def test_a_sweep_function_that_cannot_be_used_says_why(text: str, message: str) -> None:
    with pytest.raises(GrammarError, match=message):
        parse_value(text)
