import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import jax
import pytest

from s5.process.shutdown import STOP_SIGNALS
from tests.engines.session import locked
from tests.quickly import QUICKLY

# A run that trains in a second or two, with everything in it that a checkpoint must carry.
TINY = (
    "experiment=digits/s5",
    "model.n_layers=1",
    "model.d_model=8",
    "model.d_state=8",
    "model.n_blocks=1",
    "model.dropout=0.1",
    "train.batch_size=64",
    "train.epochs=2",
    "train.log_every_steps=4",
)


def _compile_quickly() -> None:
    """Let this process compile quickly, but not its children: XLA reads its flags once, when its client is made."""
    own = os.environ.get("XLA_FLAGS")
    os.environ["XLA_FLAGS"] = f"{QUICKLY} {own or ''}"
    jax.devices()
    del os.environ["XLA_FLAGS"]
    if own is not None:
        os.environ["XLA_FLAGS"] = own


_compile_quickly()


@pytest.fixture(autouse=True)
def signals_as_before() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in STOP_SIGNALS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture(scope="session")
def tiny() -> list[str]:
    return list(TINY)


class Program:
    """`python -m s5` as a user or a supervisor starts it: in its own process and its own folder."""

    def __init__(self, folder: Path, xla_flags: str = QUICKLY) -> None:
        self.folder = folder
        self._xla_flags = xla_flags

    def start(self, *words: str | Path, **variables: str) -> subprocess.Popen[str]:
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("LAUNCH_", "WANDB_"))}
        return subprocess.Popen(
            [sys.executable, "-m", "s5", *map(str, words)],
            cwd=self.folder,
            # One thread, so that two runs at once compute what each computes alone.
            env={**clean, "NPROC": "1", "XLA_FLAGS": self._xla_flags, **variables},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            pass_fds=[int(variables["LAUNCH_LIFELINE_FD"])] if "LAUNCH_LIFELINE_FD" in variables else (),
        )

    def run(self, *words: str | Path, **variables: str) -> tuple[int, str, str]:
        with self.start(*words, **variables) as process:
            out, err = process.communicate()
        return process.returncode, out, err

    @staticmethod
    def until(process: subprocess.Popen[str], epoch: int) -> None:
        """Wait until the process says that it has evaluated an epoch."""
        assert process.stderr is not None
        said = ""
        while f"  epoch {epoch} " not in said:
            said = process.stderr.readline()
            assert said, f"the process ended before epoch {epoch}"


@pytest.fixture
def program(tmp_path: Path) -> Program:
    return Program(tmp_path)


@pytest.fixture(scope="session")
def finished_run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, str]:
    """A finished run in its default folder, compiled as for users, and its stdout and stderr.

    The workers of a session share it, so tests must not write in it.
    """
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "finished"
    folder.mkdir(exist_ok=True)
    with locked(folder / "lock"):
        if not (folder / "err").exists():
            code, out, err = Program(folder, xla_flags="").run(*TINY, "wandb.mode=offline")
            assert code == 0, err
            (folder / "out").write_text(out)
            (folder / "err").write_text(err)
    (run_dir,) = (folder / "runs" / "_single").iterdir()
    return run_dir, (folder / "out").read_text(), (folder / "err").read_text()
