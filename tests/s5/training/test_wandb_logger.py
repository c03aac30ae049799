"""The logger for Weights & Biases in offline mode: without network and key."""

import json
import math
import os
import pty
import re
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from s5.config.choices import WandbMode
from s5.config.run import Config
from s5.config.wandb import WandbConfig
from s5.run_dir.result import METRICS, TIMING, read_lines, read_metrics
from s5.training.metrics_writer import MetricsWriter
from s5.training.wandb_logger import WandbLogger, wandb_run_id
from tests.s5.conftest import Program


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


def records(content: bytes) -> Iterator[bytes]:
    """Yield the records of a W&B file: a log of LevelDB, in blocks of 32 KiB, after a header of 7 bytes."""
    full, first, last, block = 1, 2, 4, 32768
    at, parts = 7, b""
    while at + 7 <= len(content):
        if block - at % block < 7:
            at += block - at % block
            continue
        length, kind = struct.unpack_from("<HB", content, at + 4)
        data = content[at + 7 : at + 7 + length]
        parts = data if kind in (full, first) else parts + data
        if kind in (full, last):
            yield parts
        at += 7 + length


def logged(attempt_dir: Path) -> dict[int, dict[str, float]]:
    """Return the metrics in the W&B file of an attempt, by step."""
    from wandb.proto.wandb_internal_pb2 import Record

    (file,) = (attempt_dir / "wandb").glob("offline-run-*/*.wandb")
    found = dict[int, dict[str, float]]()
    for data in records(file.read_bytes()):
        record = Record()
        record.ParseFromString(data)
        if record.HasField("history"):
            items = {item.key or item.nested_key[0]: json.loads(item.value_json) for item in record.history.item}
            step = record.history.step.num
            found.setdefault(step, {}).update({k: v for k, v in items.items() if not k.startswith("_")})
    return found


def test_after_a_kill_the_next_attempt_has_every_step(program: Program, tiny: list[str], tmp_path: Path) -> None:
    run_dir = tmp_path / "run"
    words = [*tiny, "train.epochs=12", "train.checkpoint_every_steps=20", "train.keep_checkpoints=2"]
    words += ["wandb.mode=offline", "--run-dir", str(run_dir)]
    with program.start(*words) as process:
        program.until(process, 7)
        process.kill()
    code, _, err = program.run(*words)
    assert code == 0, err
    assert "W&B logging failed" not in err
    wanted = {}
    for line in read_metrics(run_dir):
        wanted.setdefault(line["step"], {}).update({k: v for k, v in line.items() if k != "step"})
    first = read_lines(run_dir / "attempts" / "1" / METRICS)[0]["resumed_from"]["step"]
    assert first >= 20 and min(wanted) < first < max(wanted)
    found = logged(run_dir / "attempts" / "1")
    assert {step: {k: found[step][k] for k in line} for step, line in wanted.items()} == wanted


def test_a_run_of_a_sweep_is_named_as_there_and_grouped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[dict[str, object]] = []
    monkeypatch.setitem(
        sys.modules,
        "wandb",
        SimpleNamespace(init=lambda **words: given.append(words), Settings=dict),  # pyright: ignore
    )
    attempt = tmp_path / "widths" / "digits-s5-d_model=8-s3-0123abcd" / "attempts" / "0"
    attempt.mkdir(parents=True)
    WandbLogger(offline(), attempt)
    (attempt.parents[1] / "run.json").write_text("{}")
    WandbLogger(offline(), attempt)
    names = [(words["group"], words["name"]) for words in given]
    assert names == [(None, "run-s0"), ("widths", "digits-s5-d_model=8-s3-0123abcd")]


def test_nan_in_the_earlier_metrics_is_logged_as_nan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines: list[tuple[int, dict[str, float]]] = []
    run = SimpleNamespace(log=lambda values, step: lines.append((step, values)), finish=lambda **_: None)
    monkeypatch.setitem(sys.modules, "wandb", SimpleNamespace(init=lambda **_: run, Settings=dict))  # pyright: ignore
    for attempt in (0, 1):
        (tmp_path / "attempts" / str(attempt)).mkdir(parents=True)
    (tmp_path / "attempts" / "0" / METRICS).write_text('{"step": 4, "a": null}\n{"step": 8, "a": 1.0}\n')
    with MetricsWriter(offline(), tmp_path / "attempts" / "1") as writer:
        writer.write_resumed_from(0, 4)
        writer.write(8, {"a": 2.0})
    assert [step for step, _ in lines] == [4, 8] and math.isnan(lines[0][1]["a"]) and lines[1][1] == {"a": 2.0}
