"""One engine for all of pytest's workers: started by the first that wants it, removed after the last."""

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

_ROOT = Path("/tmp")  # sockets lie under it: a longer path would not do


@contextmanager
def shared(kind: str, up: Callable[[Path], None], remove: Callable[[Path], None], *, part: str = "") -> Iterator[Path]:
    """Share an engine with the other processes of this session of pytest.

    Args:
        kind: Its name.
        up: Starts the engine of a folder; changes nothing where it runs.
        remove: Stops it and removes its folder; also called for sessions that were killed.
        part: Who shares it, where a session has several of the kind.

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
    """Hold a lock among processes."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _remove_unused(users: Path, remove: Callable[[Path], None]) -> None:
    """Remove a session's engine unless a process of the session lives."""
    with users.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return
        remove(users.with_suffix(""))
        users.unlink()
