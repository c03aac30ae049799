"""The logger for Weights & Biases in offline mode: without network and key."""

import os
import pty
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from s5.config.choices import WandbMode
from s5.config.run import Config
from s5.config.wandb import WandbConfig
from s5.run_dir.result import METRICS, TIMING, read_lines
from s5.training.wandb_logger import WandbLogger, wandb_run_id


def offline() -> Config:
    return Config(wandb=WandbConfig(mode=WandbMode.offline))


def test_an_offline_run_mirrors_its_metrics(finished_run: tuple[Path, str, str]) -> None:
    run_dir, _, err = finished_run
    (file,) = (run_dir / "attempts" / "0" / "wandb").glob("offline-run-*/*.wandb")
    assert file.stat().st_size > 0
    content = file.read_bytes()
    for name in (b"train/loss", b"val/accuracy", b"test/accuracy"):
        assert name in content
    assert "W&B logging failed" not in err


def test_the_mirrored_run_bears_the_run_s_own_id(finished_run: tuple[Path, str, str]) -> None:
    from s5.config.config_file import read_config

    attempt_dir = finished_run[0] / "attempts" / "0"
    (file,) = (attempt_dir / "wandb").glob("offline-run-*/*.wandb")
    assert file.stem == f"run-{wandb_run_id(read_config(finished_run[0]), attempt_dir)}"


def test_the_id_belongs_to_one_run_and_to_all_its_attempts() -> None:
    def of(attempt_dir: str, config: Config | None = None) -> str:
        return wandb_run_id(config or Config(), Path(attempt_dir))

    one = of("/runs/sweep/run/attempts/0")
    assert re.fullmatch(r"[0-9a-f]{16}", one)
    assert of("/runs/sweep/run/attempts/1") == one
    assert of("/moved/sweep/run/attempts/0") == one
    assert len({one, of("/runs/other/run/attempts/0"), of("/runs/sweep/other/attempts/0")}) == 3
    assert of("/runs/sweep/run/attempts/0", Config(seed=1)) != one
    assert of("/runs/sweep/run/attempts/0", offline()) == one
    assert of("/runs/ab/c/attempts/0") != of("/runs/a/bc/attempts/0")


def test_it_is_off_unless_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)
    logger = WandbLogger(Config(), tmp_path)
    logger.log(1, {"x": 1})
    logger.close(succeeded=True)
    assert not list(tmp_path.iterdir())


def test_a_missing_package_is_said_and_kills_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)
    logger = WandbLogger(offline(), tmp_path)
    logger.log(1, {"x": 1})
    assert "wandb is not installed" in capsys.readouterr().err


def test_a_failing_mirror_kills_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def init(**_: object) -> SimpleNamespace:
        return SimpleNamespace(log=fail, finish=fail)

    def fail(*_: object, **__: object) -> None:
        raise ConnectionError("no network")

    monkeypatch.setitem(sys.modules, "wandb", SimpleNamespace(init=init, Settings=dict))  # pyright: ignore
    logger = WandbLogger(offline(), tmp_path)
    for step in (1, 2):
        logger.log(step, {"x": 1})
    logger.close(succeeded=True)
    assert capsys.readouterr().err.count("no network") == 1


def test_the_mirror_changes_no_number(finished_run: tuple[Path, str, str]) -> None:
    attempt = finished_run[0] / "attempts" / "0"
    assert all("_wandb" not in line for line in read_lines(attempt / METRICS) + read_lines(attempt / TIMING))


@pytest.mark.slow
def test_at_a_terminal_it_asks_for_nothing(tmp_path: Path) -> None:
    """Without a key W&B would offer to create an account, and wait for an answer."""
    code = """
from pathlib import Path
from s5.config.choices import WandbMode
from s5.config.run import Config
from s5.config.wandb import WandbConfig
from s5.training.wandb_logger import WandbLogger

WandbLogger(Config(wandb=WandbConfig(mode=WandbMode.online)), Path(".")).close(succeeded=True)
print(input("a question of the program: "))
"""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("WANDB")} | {"HOME": str(tmp_path)}
    outside, inside = pty.openpty()
    command = [sys.executable, "-c", code]
    with subprocess.Popen(
        command, cwd=tmp_path, env=environment, stdin=inside, stdout=inside, stderr=inside
    ) as process:
        os.close(inside)
        os.write(outside, b"answered\n")
        assert process.wait(timeout=60) == 0
        said = os.read(outside, 100_000).decode()
    os.close(outside)
    assert "W&B logging failed and is now off" in said
    assert "a question of the program: answered" in said.replace("\r\n", "\n")
