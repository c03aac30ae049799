"""The documentation builds without warnings: no broken link, no docstring that cannot be parsed."""

import html
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.docs
@pytest.mark.slow
def test_the_documentation_builds_without_a_warning(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-b", "html", "-d", str(tmp_path / "doctrees")]
    done = subprocess.run([*words, ROOT / "docs", tmp_path / "site"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    words = html.unescape(re.sub(r"<[^>]+>", "", (tmp_path / "site/_api/s5.ssm.html").read_text()))
    assert "u: Float[Array, 'batch L H']" in words
    assert (tmp_path / "site/gallery.html").exists()
