"""What a command prints that succeeds."""

import pytest

from launch.cli import main


def printed(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[str, str]:
    capsys.readouterr()
    assert main(list(words)) == 0
    out, err = capsys.readouterr()
    return out, err
