import traceback

import pytest

from s5.config.errors import InvalidConfig
from s5.errors import NonFiniteLoss, PeerLost, UserError, shortened
from s5.training.exit_code import explain


@pytest.mark.parametrize(
    "error",
    [UserError("no", hint="so"), InvalidConfig("a.b", "no", hint="so"), NonFiniteLoss("no"), PeerLost("no")],
    ids=lambda error: type(error).__name__,
)
def test_a_traceback_shows_the_hint_once_and_so_does_the_command(
    error: Exception, capsys: pytest.CaptureFixture[str]
) -> None:
    hint = f"hint: {error.hint}"
    assert "".join(traceback.format_exception(error)).splitlines()[-1] == hint
    assert explain(error) is not None and capsys.readouterr().err.count(hint) == 1
    assert "hint" not in "".join(traceback.format_exception(UserError("no")))


def test_a_short_list_is_shown_whole() -> None:
    assert shortened(["b", "a"], "x", most=2) == "b, a"


def test_of_a_long_list_the_most_similar_words_are_shown_in_their_order() -> None:
    words = [f"pixel/{name}" for name in "uvwxyz"] + ["speech/sc35", "speech/sc10"]
    assert shortened(words, "speech/sc11", most=2) == "speech/sc35, speech/sc10 and 6 more"
