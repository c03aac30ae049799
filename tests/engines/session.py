"""One engine for all workers of pytest: the first worker that needs it starts it; it is removed after the last one.

`LAUNCH_TEST_DOCKER=FOLDER`, or the same variable of another engine, names a folder whose engine is used, started if
necessary, and not removed. This is for work on these tests.
"""

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol, TypeVar

from tests.engines.daemon import EngineError

_ROOT = Path("/tmp")  # sockets lie under it: a longer path would not do
_MARK = ".launch-test-engine"


class Engine(Protocol):
    """An engine with its own folder, which can be removed with it."""

    def remove(self) -> None:
        """Stop it and remove its folder."""


E = TypeVar("E", bound=Engine)


@contextmanager
def engine_of(kind: str, make: Callable[[Path], E], up: Callable[[E], None], *, part: str = "") -> Iterator[E]:
    """Yield the engine of this session of pytest, or the permanent engine.

    Args:
        kind: Its name.
        make: Returns the engine of a folder.
        up: Starts the engine; changes nothing if it runs.
        part: Name of the group of workers that share it, if a session has several engines of the kind.
    """
    if named := os.environ.get(f"LAUNCH_TEST_{kind.upper()}"):
        engine = make(Path(named))
        up(engine)
        yield engine
        return
    with shared(kind, lambda folder: up(make(folder)), lambda folder: make(folder).remove(), part=part) as folder:
        yield make(folder)


def claim(folder: Path, kind: str) -> None:
    """Mark a folder as the folder of an engine, unless it is marked.

    Raises:
        EngineError: If it contains other files: starting an engine may end processes and remove files of its folder.
    """
    mark = folder / _MARK
    if mark.exists() and mark.read_text() == kind:
        return
    if folder.exists() and any(folder.iterdir()):
        raise EngineError(
            f"{folder} holds something that tests.engines.{kind} has not made; name an empty folder, or one of its own"
        )
    folder.mkdir(parents=True, exist_ok=True)
    mark.write_text(kind)


@contextmanager
def shared(kind: str, up: Callable[[Path], None], remove: Callable[[Path], None], *, part: str = "") -> Iterator[Path]:
    """Share an engine with the other processes of this session of pytest.

    Args:
        kind: Its name.
        up: Starts the engine of a folder; changes nothing if it runs.
        remove: Stops it and removes its folder; also called for sessions that were killed.
        part: Name of the group of workers that share it, if a session has several engines of the kind.

    Yields:
        Its folder.
    """
    own = f"{kind}-{os.getuid()}"
    session = os.environ.get("PYTEST_XDIST_TESTRUNUID", f"{os.getpid():08}")[:8]
    users = _ROOT / f"{own}-{session}{part}.users"
    with users.open("w") as used:
        with locked(_ROOT / f"{own}.lock"):
            fcntl.flock(used, fcntl.LOCK_SH)
            for other in _ROOT.glob(f"{own}-*.users"):
                if other != users:
                    _remove_unused(other, remove)
            up(users.with_suffix(""))
        yield users.with_suffix("")
    with locked(_ROOT / f"{own}.lock"):
        _remove_unused(users, remove)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a lock that all processes respect."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _remove_unused(users: Path, remove: Callable[[Path], None]) -> None:
    """Remove a session's engine unless a process of the session is alive."""
    with users.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return
        remove(users.with_suffix(""))
        users.unlink()
