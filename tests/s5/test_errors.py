from s5.errors import shortened


def test_a_short_list_is_shown_whole() -> None:
    assert shortened(["b", "a"], "x", most=2) == "b, a"


def test_of_a_long_list_the_most_similar_words_are_shown_in_their_order() -> None:
    words = [f"pixel/{name}" for name in "uvwxyz"] + ["speech/sc35", "speech/sc10"]
    assert shortened(words, "speech/sc11", most=2) == "speech/sc35, speech/sc10 and 6 more"
