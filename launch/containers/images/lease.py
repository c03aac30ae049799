"""Whose turn it is to make something that others want too, on whatever machine: held by a file that its holder touches.

A lock of the kernel would not do: not every file system that a cluster shares has them between machines. A second name
for one file is refused by every one, and who is killed stops touching.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType

from launch.store import processes
from launch.store.files import store_error

# How long a holder on another machine may keep still; a network's file system may show old times for a minute.
_SILENCE_S = 180.0
_POLL_S = 0.2
# The same by the clocks of two machines, which may differ.
_LONG_S = 3600.0


def is_taken(path: str) -> bool:
    """Say whether somebody may have the turn at a path. Asking takes nothing.

    A holder on another machine that has kept still for long has not: it touches the file about once a second.
    """
    try:
        with open(path) as file:
            holder = json.load(file)
            still = time.time() - os.fstat(file.fileno()).st_mtime
        if holder["host"] != processes.host():
            return still < _LONG_S
        pid, start = int(holder["pid"]), int(holder["start"])
        return holder["boot"] == processes.boot_id() and processes.is_alive(pid, start)
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return False  # torn by a full disk or a crash of the machine, it is nobody's
    except OSError:
        return True  # it cannot be seen


class Lease:
    """A turn at a path, waited for where somebody has it.

    Args:
        path: The file, in a folder that is there.
        say: Told once for whom this process waits.
    """

    def __init__(self, path: str, say: Callable[[str], None]) -> None:
        self._path = path
        self._say = say
        note = {"host": processes.host(), "boot": processes.boot_id(), "pid": os.getpid()}
        self._note = {**note, "start": processes.start_time(os.getpid()), "token": os.urandom(8).hex()}

    def __enter__(self) -> Lease:
        """Wait for the turn, and take it."""
        told = False
        try:
            while not self._take():
                holder = self._holder()
                if holder is None:
                    continue
                if not told:
                    told = True
                    self._say(f"process {holder.get('pid')} on {holder.get('host')} is at it; waiting for it to finish")
                if self._is_gone(holder):
                    self._break(holder)
        except OSError as error:
            raise store_error(error, f"take the lock {self._path}") from error
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Give the turn up, unless it was taken away."""
        if self._holder() == self._note:
            with suppress(OSError):
                os.unlink(self._path)

    def touch(self) -> None:
        """Say that the holder lives."""
        with suppress(OSError):
            os.utime(self._path)

    def _take(self) -> bool:
        own = f"{self._path}.{self._note['token']}"
        with open(own, "w") as file:
            json.dump(self._note, file)
        try:
            os.link(own, self._path)
        except FileExistsError:
            return False
        finally:
            os.unlink(own)
        return True

    def _holder(self, path: str | None = None) -> dict[str, object] | None:
        """Return who has the turn; None where nobody has."""
        try:
            with open(path or self._path) as file:
                return json.load(file)
        except FileNotFoundError:
            return None
        except ValueError:
            return {}  # torn by a full disk or a crash of the machine: nobody's

    def _is_gone(self, holder: dict[str, object]) -> bool:
        """Say whether a holder is dead; where that cannot be seen, whether it has kept still for long."""
        if not holder:
            return True
        if holder["host"] == processes.host():
            pid, start = holder["pid"], holder["start"]
            lives = isinstance(pid, int) and isinstance(start, int) and processes.is_alive(pid, start)
            if holder["boot"] == processes.boot_id() and lives:
                time.sleep(_POLL_S)
                return False
            return True
        return self._keeps_still(holder)

    def _keeps_still(self, holder: dict[str, object]) -> bool:
        # Held against this machine's own clock: those of two machines may differ.
        seen, deadline = self._touched(), time.monotonic() + _SILENCE_S
        while time.monotonic() < deadline:
            time.sleep(_POLL_S)
            if self._holder() != holder or self._touched() != seen:
                return False
        return True

    def _touched(self) -> int | None:
        try:
            return os.stat(self._path).st_mtime_ns
        except FileNotFoundError:
            return None

    def _break(self, holder: dict[str, object]) -> None:
        """Take the turn away from a dead holder; from nobody else, though others may be about to do the same."""
        aside = f"{self._path}.{self._note['token']}-broken"
        try:
            os.rename(self._path, aside)
        except FileNotFoundError:
            return
        if self._holder(aside) != holder:  # it was broken already, and this is the turn of somebody who lives
            with suppress(FileExistsError):
                os.link(aside, self._path)
        os.unlink(aside)
