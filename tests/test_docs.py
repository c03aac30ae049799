"""The documentation: what `make docs` has built."""

import html
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.docs
def test_the_built_documentation_has_the_interfaces_and_the_gallery() -> None:
    site = ROOT / "docs/_build"
    words = html.unescape(re.sub(r"<[^>]+>", "", (site / "_api/s5.ssm.html").read_text()))
    assert "u: Float[Array, 'batch L H']" in words
    assert (site / "gallery.html").exists()
