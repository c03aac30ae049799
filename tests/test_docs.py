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


def test_the_readme_leads_to_every_page() -> None:
    text = (ROOT / "README.md").read_text()
    pages = {file.name for file in (ROOT / "docs").glob("*.md")} - {"index.md", "releasing.md"}
    assert [page for page in sorted(pages) if f"(docs/{page}" not in text] == []
    linked = re.findall(r"\]\(((?!https?:)[^)#]+)", text)
    assert [path for path in linked if not (ROOT / path).exists()] == []
