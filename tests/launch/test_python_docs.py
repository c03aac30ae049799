"""The examples of docs/python.md and the notebook do what they say."""

import inspect
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import nbformat
import pytest
from nbclient import NotebookClient

import launch
import s5

# Classes of values that functions of `launch` return; the text describes them.
CLASSES = {"LaunchError", "Plan", "Profile", "ResultRow", "Results", "RunView", "State", "Sweep", "SweepHandle"}
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


@pytest.mark.parametrize("package", [launch, s5])
def test_the_tables_have_every_public_name(package: ModuleType) -> None:
    text = (
        (DOCS / "python.md").read_text().partition(f"## All names of `{package.__name__}`\n")[2].partition("\n## ")[0]
    )
    named = set(re.findall(r"`([A-Za-z]\w*)(?:\([^`]*\))?`", text))
    assert set(package.__all__) - CLASSES <= named
    first = re.findall(r"^\| (.*?) \|", text.partition("| of a ")[0], re.MULTILINE)
    rows = set(re.findall(r"`([A-Za-z]\w*)(?:\([^`]*\))?`", "\n".join(first)))
    assert rows <= set(package.__all__)
    for call in re.findall(r"`([a-z]\w*)\(([^`]*)\)`", "\n".join(first)):
        parameters = inspect.signature(getattr(package, call[0])).parameters
        assert {word.strip(" *…") for word in call[1].split(",")} - {""} <= set(parameters), call
