"""The examples of docs/python.md and the notebook do what they say."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A new folder with the sweep file of the page."""
    monkeypatch.chdir(tmp_path)
    (sweep,) = re.findall(r"```yaml\n# small\.yaml\n(.*?)```", (DOCS / "python.md").read_text(), re.DOTALL)
    (tmp_path / "small.yaml").write_text(sweep)
    return tmp_path


@pytest.mark.slow
def test_the_page_is_a_script(folder: Path) -> None:
    code = "\n".join(re.findall(r"```python\n(.*?)```", (DOCS / "python.md").read_text(), re.DOTALL))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=dict(os.environ))
    assert done.returncode == 0, done.stderr
    assert "small on local: 2 runs: 2 new" in done.stdout
    assert "{'succeeded': 2}" in done.stdout
    assert "optim.lrr" in done.stdout and "did you mean" in done.stdout


@pytest.mark.slow
def test_the_notebook_executes(folder: Path) -> None:
    notebook = nbformat.read(DOCS / "notebook.ipynb", as_version=4)
    NotebookClient(notebook, timeout=240, kernel_name="python3", resources={"metadata": {"path": folder}}).execute()
    shown = json.dumps([cell.outputs for cell in notebook.cells if cell.cell_type == "code"])
    assert "<table>" in shown and "succeeded" in shown
