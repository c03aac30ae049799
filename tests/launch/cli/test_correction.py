"""The hint after runs that failed because of a setting."""

import json
import sys
from pathlib import Path

import pytest

from launch.backends.local.slots import SLOTS_VARIABLE
from launch.cli import main


@pytest.mark.parametrize(
    ("typed", "said", "hint"),
    [
        ([], "data.root=/nowhere: no such folder", "correct data.root, and type `launch sweep x.yaml` again, "),
        (["data.root=/b"], "data.root=/b: no such folder", "correct data.root in `launch sweep x.yaml data.root=/b`, "),
        ([], "data.name=walks: plugin.py, line 3: no files", "`launch logs x/digits"),
        ([], "out of luck", "`launch logs x/digits"),
    ],
)
def test_a_failure_that_names_a_setting_says_to_correct_it(
    runs: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    typed: list[str],
    said: str,
    hint: str,
) -> None:
    monkeypatch.setenv(SLOTS_VARIABLE, str(runs.parent / "slots"))
    code = f"import sys; sys.stderr.write('s5: {said}\\n'); raise SystemExit(2)"
    command = json.dumps([sys.executable, "-S", "-c", code])
    (runs.parent / "x.yaml").write_text(f"experiment: digits/s5\ncommand: {command}\ngrid: {{optim.lr: [0.1, 0.2]}}\n")
    assert main(["sweep", "x.yaml", *typed]) == 1
    last = capfd.readouterr().err.splitlines()[-1]
    assert last.startswith(f"hint: {hint}") and "`launch retry x` without a correction" in last
