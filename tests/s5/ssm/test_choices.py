"""The choices of every layer: texts name them, and a text that names nothing is refused."""

import inspect
import re
from typing import Any, get_args

import numpy as np
import pytest

import s5
from s5.config.choices import Choice, Norm
from s5.config.families import S5Config
from s5.nn.sequence_mixer import SequenceMixer

SIZES: dict[str, Any] = {"d_model": 4, "d_state": 4}
LAYERS = [getattr(s5, name) for name in ("S5SSM", "S4", "S4D", "DSS", "LRU", "RGLRU", "LinOSS", "LSSL")]


def _choices(layer: type[SequenceMixer]) -> dict[str, type[Choice]]:
    """Return the arguments of a layer that are choices."""
    parameters = inspect.signature(layer).parameters.values()
    return {p.name: type(p.default) for p in parameters if isinstance(p.default, Choice)}


def _make(layer: Any, **choice: Any) -> SequenceMixer:
    needed = {"l_max": 8} if layer is s5.DSS else {"n_blocks": 1} if layer in (s5.S5SSM, s5.RGLRU) else {}
    return layer(**SIZES, **needed, **choice, rngs=np.random.default_rng(0))


@pytest.mark.parametrize("layer", LAYERS)
def test_a_text_is_the_choice_that_it_names(layer: type[SequenceMixer]) -> None:
    u = np.random.default_rng(1).standard_normal((1, 6, 4)).astype(np.float32)
    for name, choices in _choices(layer).items():
        assert str in get_args(inspect.signature(layer).parameters[name].annotation)
        last = list(choices)[-1] if choices.__name__ != "Measure" else choices("legt")
        np.testing.assert_array_equal(_make(layer, **{name: last.name})(u), _make(layer, **{name: last})(u))
        with pytest.raises(ValueError, match=f"'nothing' is not one of {re.escape(next(iter(choices)).name)}, "):
            _make(layer, **{name: "nothing"})


def test_a_section_made_in_python_takes_texts() -> None:
    config: Any = S5Config()  # tests check the types of its arguments, programs of users do not
    config.norm = "layer"
    config.__post_init__()
    assert config.norm is Norm.layer
    config.norm = "layr"
    with pytest.raises(ValueError, match=r"^model\.norm: 'layr' is not one of batch, layer, .*; did you mean layer\?"):
        config.__post_init__()
