"""The examples of docs/own_loop.md do what they say."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs/own_loop.md"


@pytest.mark.slow
def test_the_page_is_a_script(tmp_path: Path) -> None:
    code = "\n".join(re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL))
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, env=dict(os.environ), cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stderr
    first, last = (float(done.stdout.split(f"epoch {epoch}: loss ")[1].split()[0]) for epoch in (0, 4))
    assert last < first
    assert float(done.stdout.split("right: ")[1].split()[0]) > 0.9
    slow = ["B_im", "B_re", "Lambda_im", "Lambda_re", "bias", "log_step", "scale"]
    assert f"slow: {slow}" in done.stdout
    assert "logits: (4, 2)" in done.stdout
    assert "classes: ['falls', 'rises']" in done.stdout
