"""The hint after runs that failed because of a setting."""

from pathlib import Path

import pytest

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
    control: Path, capfd: pytest.CaptureFixture[str], typed: list[str], said: str, hint: str
) -> None:
    (control / "payload.py").write_text(f"import sys\nsys.stderr.write('s5: {said}\\n')\nraise SystemExit(2)\n")
    assert main(["sweep", "x.yaml", *typed]) == 1
    last = capfd.readouterr().err.splitlines()[-1]
    assert last.startswith(f"hint: {hint}") and "`launch retry x` without a correction" in last
