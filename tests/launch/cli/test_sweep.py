import json
import os
import pty
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from launch.actions import drive
from launch.actions.estimate import Estimate
from launch.backends.choose import check_queue
from launch.backends.local.slots import SLOTS_VARIABLE
from launch.cli import main
from launch.cli.parser import load_verb, make_parser
from launch.cli.start import command_again, estimate_text, resources_text
from launch.specs.resources import Resources

# A run that leaves a result, or fails, or waits to be told.
PAYLOAD = """
import json, os, signal, sys, time
from pathlib import Path
stops = []
signal.signal(signal.SIGTERM, lambda *_: stops.append(1))
place = Path(os.environ["LAUNCH_ATTEMPT_DIR"])
print("begun", flush=True)
control = Path(sys.argv[1])
while (control / "hold").exists() and not stops:
    time.sleep(0.01)
if stops:
    sys.exit(75)
if (control / "fail").exists():
    sys.exit("no luck today")
metrics = {"test/accuracy": 0.9}
(place / "result.json").write_text(json.dumps({"version": 1, "metrics": metrics}))
"""


@pytest.fixture
def control(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder in which a sweep `x.yaml` of three runs lies, and the files that tell its runs what to do."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LAUNCH_RUNS", str(tmp_path / "runs"))
    monkeypatch.setenv(SLOTS_VARIABLE, str(tmp_path / "slots"))
    (tmp_path / "payload.py").write_text(PAYLOAD)
    command = json.dumps([sys.executable, str(tmp_path / "payload.py"), str(tmp_path)])
    grid = "grid: {optim.lr: [0.001, 0.002, 0.003]}\n"
    (tmp_path / "x.yaml").write_text(f"experiment: digits/s5\ncommand: {command}\n{grid}retry: {{killed: 0}}\n")
    return tmp_path


def start(*words: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "launch.cli", *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def lines_until(process: "subprocess.Popen[str]", word: str) -> list[str]:
    """Read the process's stderr up to a line that holds the word."""
    assert process.stderr is not None
    lines: list[str] = []
    for line in process.stderr:
        lines.append(line)
        if word in line:
            return lines
    raise AssertionError(f"{word!r} never came: {lines}")


# What docker's command line does where no engine answers.
SILENT_DOCKER = """#!/bin/sh
echo "Cannot connect to the Docker daemon at $DOCKER_HOST. Is the docker daemon running?" >&2
exit 1
"""


def test_a_dry_run_shows_the_plan_whatever_is_in_the_way(
    control: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    if shutil.which("docker") is None:
        stand_in = control / "bin" / "docker"
        stand_in.parent.mkdir()
        stand_in.write_text(SILENT_DOCKER)
        stand_in.chmod(0o755)
        monkeypatch.setenv("PATH", f"{stand_in.parent}:{os.environ['PATH']}")
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")
    assert main(["sweep", "x.yaml", "--dry-run", "--runtime", "docker"]) == 3
    out, err = capsys.readouterr()
    assert "estimate: " in out
    assert "no Docker engine answers at unix:///nowhere/docker.sock" in " ".join(err.split())
    words = ["--dry-run", "--runtime", "docker", "--mount", "/nowhere/corpora:/corpora"]
    assert main(["sweep", "x.yaml", *words, "data.root=/nowhere/data"]) == 2
    out, err = capsys.readouterr()
    assert "estimate: " in out
    assert "no Docker engine answers at unix:///nowhere/docker.sock" in " ".join(err.split())
    assert "--mount: /nowhere/corpora: no such file or folder" in err
    Path("later.yaml").write_text(Path("x.yaml").read_text() + "\nafter: nowhere\n")
    assert main(["sweep", "later.yaml", "--dry-run"]) == 2
    out, err = capsys.readouterr()
    assert "estimate: " in out
    assert "`after: nowhere`: no such sweep" in err


def test_a_dry_run_shows_every_run_and_writes_nothing(control: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sweep", "x.yaml", "--dry-run"]) == 0
    out, err = capsys.readouterr()
    header, *rows = out.split("\n\n")[0].splitlines()
    assert header.split() == ["run", "experiment", "lr", "seed", "resources", "state"]
    assert [row.split()[1:] for row in rows] == [
        ["digits/s5", lr, "0", "1", "core", "new"] for lr in ("0.001", "0.002", "0.003")
    ]
    assert out.split("\n\n")[1].splitlines() == [
        "x: 3 runs: 3 new",
        "estimate: unknown for 3 runs: no run of the same configuration has finished",
    ]
    assert err == ""
    assert not (control / "runs").exists()


def test_a_sweep_in_a_pipe_writes_lines_and_ends_with_the_table(
    control: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["sweep", "x.yaml"]) == 0
    out, err = capfd.readouterr()
    assert out.splitlines()[0].split() == ["experiment", "lr", "seeds", "test/accuracy", "%"]
    assert [line.split()[1:4] for line in out.splitlines()[1:]] == [
        [lr, "1", "90.00"] for lr in ("0.001", "0.002", "0.003")
    ]
    assert err.splitlines()[0] == "x: 3 runs: 3 pending" or "RUNNING" in err.splitlines()[0]
    assert sum("SUCCEEDED" in line for line in err.splitlines()) == 3
    assert err.splitlines()[-1] == "x: 3 succeeded"
    assert "\x1b" not in out + err


def test_typing_it_again_does_nothing_and_says_so(control: Path, capfd: pytest.CaptureFixture[str]) -> None:
    main(["sweep", "x.yaml"])
    first = capfd.readouterr().out
    assert main(["sweep", "x.yaml"]) == 0
    out, err = capfd.readouterr()
    assert out == first
    assert err == "x: nothing to do: 3 runs succeeded before\n"
    main(["sweep", "x.yaml", "--dry-run"])
    assert "x: 3 runs: 3 succeeded\nestimate: nothing is left to run" in capfd.readouterr().out


def test_failures_end_with_1_and_what_to_type_and_retry_mends_them(
    control: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (control / "fail").touch()
    assert main(["sweep", "x.yaml"]) == 1
    out, err = capfd.readouterr()
    assert "1 failed" in out
    assert err.count("no luck today") >= 3
    assert "hint: `launch logs x/digits-s5-lr=0.001" in err and "`launch retry x` runs them again" in err
    (control / "fail").unlink()
    assert main(["sweep", "x.yaml", "--runtime", "bare"]) == 1
    assert "`launch retry x --runtime bare` runs them again" in capfd.readouterr().err
    assert main(["sweep", "x.yaml", "--detach"]) == 1, "nothing is left that could run in the background"
    err = capfd.readouterr().err
    assert "in the background" not in err and "`launch retry x` runs them again" in err
    assert main(["retry", "x", "--failed"]) == 0
    assert "90.00" in capfd.readouterr().out
    assert main(["retry", "x"]) == 0
    assert capfd.readouterr().err == "x: nothing to retry\n"


def test_a_user_error_is_mended_in_the_file_or_tried_again(control: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (control / "payload.py").write_text("print('s5: no')\nraise SystemExit(2)\n")
    assert main(["sweep", "x.yaml"]) == 1
    hint = capfd.readouterr().err.splitlines()[-1]
    assert "`launch sweep x.yaml` starts them again once their config is corrected" in hint
    assert "`launch retry x` without a correction" in hint


def test_plan_only_writes_directories_and_starts_nothing(control: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["sweep", "x.yaml", "--plan-only"]) == 0
    out, err = capfd.readouterr()
    assert out == ""
    assert err == "x: 3 runs: 3 new; nothing is started\n\nhint: `launch sweep x.yaml` starts it\n"
    assert len(list((control / "runs/x").glob("*/run.json"))) == 3
    assert main(["status", "x", "--json"]) == 0
    assert {view["state"] for view in json.loads(capfd.readouterr().out)} == {"PLANNED"}


def test_only_selects_runs(control: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["sweep", "x.yaml", "--only", "*lr=0.002*"]) == 0
    assert capfd.readouterr().err.splitlines()[-1] == "x: 1 succeeded"


def test_an_interrupt_stops_in_good_order_and_names_the_command_again(control: Path) -> None:
    (control / "hold").touch()
    process = start("sweep", "x.yaml", "optim.weight_decay=0.01")
    lines_until(process, "RUNNING")
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert out == ""
    assert "x: stopped: " in err and "preempted" in err
    assert err.endswith("hint: `launch sweep x.yaml optim.weight_decay=0.01` resumes\n")
    (control / "hold").unlink()
    again = start("sweep", "x.yaml", "optim.weight_decay=0.01")
    assert "90.00" in again.communicate(timeout=60)[0]
    assert again.returncode == 0


def test_a_second_launcher_is_refused(control: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (control / "hold").touch()
    process = start("sweep", "x.yaml")
    lines_until(process, "RUNNING")
    assert main(["sweep", "x.yaml"]) == 2
    err = capfd.readouterr().err
    assert f"process {process.pid}" in err and "launch watch x" in err
    (control / "hold").unlink()
    process.communicate(timeout=60)
    assert process.returncode == 0


def test_of_two_that_detach_at_once_the_second_is_refused_like_one_in_the_foreground(
    control: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (control / "hold").touch()
    assert main(["sweep", "x.yaml", "--detach"]) == 0
    # The second looked before the first had the queue.
    looks = iter([None])
    monkeypatch.setattr(drive, "check_queue", lambda *facts: next(looks, facts) and check_queue(*facts))
    assert main(["sweep", "x.yaml", "--detach"]) == 2
    err = capfd.readouterr().err
    assert "error: the sweep x is being run by process" in err and "hint: `launch watch x` shows it" in err
    (control / "hold").unlink()
    assert main(["wait", "x", "--timeout", "1"]) == 0


def test_the_background_is_waited_for_and_cancelled(control: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (control / "hold").touch()
    assert main(["sweep", "x.yaml", "--detach"]) == 0
    err = capfd.readouterr().err
    assert "runs it in the background" in err and "`launch watch x` shows it, `launch cancel x` stops it" in err
    assert main(["cancel", "x"]) == 0
    err = capfd.readouterr().err
    assert err.count("x/digits-s5-lr=") == 3 and "RUNNING" not in err
    assert main(["wait", "x", "--timeout", "1"]) == 1
    assert "x: 3 cancelled" in capfd.readouterr().err
    assert main(["cancel", "x"]) == 0
    assert "nothing to cancel" in capfd.readouterr().err
    (control / "hold").unlink()
    assert main(["retry", "x", "--detach"]) == 0
    assert main(["wait", "x", "--timeout", "1"]) == 0


def test_one_run_is_a_sweep_of_one(control: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "digits/s5", "seed=3", "--dry-run"]) == 0
    out = capfd.readouterr().out
    assert "run-digits-s5-seed-3: 1 run: 1 new" in out
    assert out.splitlines()[1].split()[2] == "3"


def test_a_terminal_gets_the_live_picture_and_the_table(control: Path) -> None:
    screen, terminal = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "80", "LINES": "24"}
    command = [sys.executable, "-m", "launch.cli", "sweep", "x.yaml"]
    process = subprocess.Popen(command, stdin=terminal, stdout=terminal, stderr=terminal, env=environment)
    os.close(terminal)
    seen = b""
    try:
        while piece := os.read(screen, 4096):
            seen += piece
    except OSError:
        pass  # Linux says so once the last writer has closed its end
    os.close(screen)
    assert process.wait() == 0
    text = seen.decode()
    assert "\x1b[" in text and "100 %" in text
    assert "90.00" in text and "x: 3 succeeded" in text


def test_the_command_is_told_as_it_must_be_typed_again() -> None:
    words = ["a b.yaml", "x=[1,2]", "--on", "here", "--only", "*-s0-*", "--detach", "--verbose"]
    args = make_parser("sweep", load_verb("sweep")).parse(words)
    assert command_again(args) == "launch sweep 'a b.yaml' 'x=[1,2]' --on here --only '*-s0-*'"


@pytest.mark.parametrize(
    ("estimate", "text"),
    [
        (Estimate(runs=0, known=0, core_hours=None, gpu_hours=None), "estimate: nothing is left to run"),
        (Estimate(runs=2, known=0, core_hours=None, gpu_hours=None), "unknown for 2 runs"),
        (Estimate(runs=2, known=2, core_hours=1.234, gpu_hours=None), "1.23 core-hours for 2 runs"),
        (Estimate(runs=2, known=2, core_hours=3.8e-05, gpu_hours=0.25), "less than a core-second and 15 GPU-minutes"),
        (
            Estimate(runs=9, known=3, core_hours=1234.5, gpu_hours=2.0),
            "1,234 core-hours and 2.00 GPU-hours for 3 of 9",
        ),
    ],
)
def test_the_estimate_in_words(estimate: Estimate, text: str) -> None:
    assert text in estimate_text(estimate)


def test_resources_in_words() -> None:
    assert resources_text(Resources()) == "1 core"
    everything = Resources(nodes=2, tasks_per_node=4, gpus_per_node=1, cpus_per_task=8, mem_gb=1.5, timeout_min=10)
    assert resources_text(everything) == "8 cores, 1 GPU, 1.5 GiB, 10 min, 2 nodes, 4 tasks per node"


def test_runs_on_a_file_system_without_hard_links(
    control: Path, exfat: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LAUNCH_RUNS", str(exfat / "runs"))
    assert main(["sweep", "x.yaml"]) == 0
    results = sorted((exfat / "runs" / "x").glob("*/result.json"))
    assert [json.loads(path.read_text())["metrics"] for path in results] == [{"test/accuracy": 0.9}] * 3
    assert main(["sweep", "x.yaml"]) == 0
    assert "3 runs succeeded before" in capsys.readouterr().err
    assert len(list((exfat / "runs" / "x").glob("*/attempts/*"))) == 3


def test_a_dry_run_tells_that_there_is_no_key_for_wandb(
    control: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (control / "y.yaml").write_text("experiment: digits/s5\nseeds: 2\n")
    monkeypatch.setenv("HOME", str(control))
    monkeypatch.setenv("WANDB_BASE_URL", "https://wandb.example.org")
    for name in ("WANDB_API_KEY", "NETRC"):
        monkeypatch.delenv(name, raising=False)

    def said(*words: str) -> str:
        assert main(["sweep", "y.yaml", "--dry-run", *words]) == 0
        return " ".join(capsys.readouterr().err.split())

    message = "wandb.mode=online in 2 runs, and there is no key for wandb.example.org here"
    assert message in said("wandb.mode=online")
    assert message not in said("wandb.mode=offline")
    (control / ".netrc").write_text("machine wandb.example.org login user password x\n")
    (control / ".netrc").chmod(0o600)
    assert message not in said("wandb.mode=online")
    (control / ".netrc").unlink()
    monkeypatch.setenv("WANDB_API_KEY", "x")
    assert message not in said("wandb.mode=online")


def test_a_dry_run_tells_of_a_warm_up_that_never_ends(control: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (control / "y.yaml").write_text(
        "experiment: digits/s5\nbase: {train.epochs: 2}\ngrid: {optim.warmup_epochs: [2, 5, 2.5]}\nseeds: 2\n"
    )
    assert main(["sweep", "y.yaml", "--dry-run"]) == 0
    said = " ".join(capsys.readouterr().err.split())
    assert "optim.warmup_epochs=5 is more than train.epochs=2: the learning rate ends at 40% of optim.lr (in 2" in said
    assert "optim.warmup_epochs=2.5 is more than train.epochs=2" in said
    assert "optim.warmup_epochs=2 is more" not in said
