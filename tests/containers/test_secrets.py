"""A secret key must not appear in anything that a run writes or shows, nor in any program's arguments."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.containers.places import ENGINES, place_of
from tests.engines.daemon import wait_until

pytestmark = pytest.mark.engine

# Neither its half nor its whole stands in this file, which a snapshot could hold.
KEY = hashlib.sha256(b"planted").hexdigest()[:40]
LAUNCHER = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from launch.actions.container_plan import ContainerOptions
from launch.store.store import Store
from launch.profiles.profile import Profile
from launch.actions.drive import run_queue
from tests.launch.command_sweep import submit_runs
from tests.launch.command_sweep import code_under, command_runs, sweep_of
root = Path(sys.argv[2])
config = {"data": {"name": "digits", "root": None, "cache": None}, "train": {"batch_size": 1},
          "wandb": {"project": "x", "mode": "offline"}}
runs = command_runs([("python3", "-S", "-c", Path(root, "payload.py").read_text())], config=config)
options = ContainerOptions(runtime=sys.argv[3], image=sys.argv[4])
store = Store(root / "runs")
submission = submit_runs(sweep_of(runs), runs, store, Profile(name="local"), options=options, source=code_under(root))
print([view.state.value for view in run_queue(submission)])
"""
# It proves that it could read the key without saying it, and waits until it has been looked at from outside.
PAYLOAD = """
import hashlib, os, stat, time
file = os.environ["NETRC"]
words = open(file).read().split()
print(words[:4], oct(stat.S_IMODE(os.stat(file).st_mode)), hashlib.sha256(words[-1].encode()).hexdigest(), flush=True)
print(sorted(name for name in os.environ if "KEY" in name), flush=True)
try:
    open(file, "a")
except OSError as error:
    print("read-only", flush=True)
while not os.path.exists("go"):
    time.sleep(0.02)
"""


@pytest.mark.parametrize("runtime", ENGINES)
def test_a_key_reaches_the_run_and_nothing_else(
    request: pytest.FixtureRequest, runtime: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = place_of(request, runtime)
    strace = shutil.which("strace")
    if strace is None:
        pytest.skip("no strace here; type: apt-get install strace")
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    monkeypatch.setenv("LAUNCH_SLOTS", str(tmp_path / "slots"))
    (tmp_path / "payload.py").write_text(PAYLOAD)
    trace = tmp_path / "trace"
    trace.mkdir()
    words = [sys.executable, "-c", LAUNCHER, str(Path(__file__).parents[2]), str(tmp_path), runtime, place.image]
    with subprocess.Popen(
        [
            strace,
            "-f",
            "--seccomp-bpf",
            "-qq",
            "-s",
            "1000000",
            "-e",
            "trace=execve",
            "-o",
            str(trace / "execve"),
            *words,
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as launcher:
        attempt = tmp_path / "runs/work/command-s0-00000000/attempts/0"
        log = attempt / "log.txt"
        assert wait_until(lambda: log.exists() and "read-only" in log.read_text(), 120)
        shown = "".join(place.engine.call("inspect", container) for container in place.containers())
        own = Path(f"/tmp/launch-{os.getuid()}/secrets")
        kept = [path for path in own.iterdir() if KEY in path.read_text()]
        assert [oct(path.stat().st_mode & 0o777) for path in (own, *kept)] == ["0o700", "0o600"]
        (attempt / "go").touch()
        said, _ = launcher.communicate(timeout=120)
    assert "SUCCEEDED" in said, said
    assert log.read_text().splitlines() == [
        f"['machine', 'api.wandb.ai', 'login', 'user'] 0o600 {hashlib.sha256(KEY.encode()).hexdigest()}",
        "[]",
        "read-only",
    ]
    assert not kept[0].exists(), "it is deleted with the attempt"
    traced = (trace / "execve").read_text()
    assert "docker_driver" in traced or "podman" in traced
    assert json.loads(shown.replace("][", ","))[0]["Config"]["Labels"]["launch.attempt"] == "0"
    for text, where in ((traced, "argv"), (shown, "inspect"), (said, "output")):
        assert KEY not in text and KEY[:20] not in text, where
    found = [path for path in tmp_path.rglob("*") if path.is_file() and KEY.encode() in path.read_bytes()]
    assert not found
