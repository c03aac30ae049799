"""A process that runs one Docker container; the supervisor sees only the exit code and the output of this process.

    docker_driver run REQUEST          create, start, copy the output, forward signals, wait, remove
    docker_driver end FOLDER GRACE_S   end the containers that are labelled with an attempt's folder

The engine removes the container when it has ended, even if this process is gone. This process holds the container's
standard input open. When this process dies, that input closes, and the training process stops, as when it is orphaned.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Any, cast

from launch.containers.engine.cleanup import end_labelled
from launch.containers.engine.connection import answering, connect, user_of
from launch.containers.engine.create_options import create_options, explain
from launch.containers.runtimes import REFUSED, UNREACHED
from launch.containers.runtimes.docker import GONE, OUT_OF_MEMORY, SAYS
from launch.containers.runtimes.request import FOLDER_LABEL, ContainerRequest, from_plain
from launch.errors import BackendError, LaunchError
from s5.run_dir.orphan_grace import ORPHAN_LIMIT_S
from s5.run_dir.result import SUPERVISOR_PIPE_VARIABLE
from s5.run_dir.secret import is_secret

_FORWARDED = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2, signal.SIGHUP)
_LOOK_S = 0.25
# The time for the last output after the end of a container.
_DRAIN_S = 5.0
_KILLED = 128 + signal.SIGKILL
_HEADER_BYTES = 8
# The variables that srun sets for each task of a step.
_OF_A_TASK = ("SLURM_", "JAX_")

_Event = tuple[str, Any]


class ContainerGone(LaunchError):
    """The engine went away while a container was running."""


class Driver:
    """Runs one container from its creation to its end.

    Args:
        api: The engine's client from docker-py; it has hardly any types.
        request: The container to start.
        user: The `uid:gid` of the command in the container.
        inbox: The queue of signals and other events.
    """

    def __init__(self, api: Any, request: ContainerRequest, user: str, inbox: SimpleQueue[_Event]) -> None:
        self._api = api
        self._request = request
        self._user = user
        self._inbox = inbox
        self._asked = False
        self._kill_at: float | None = None
        self._code: int | None = None
        self._out_of_memory = False

    def run(self) -> int:
        """Start the container and wait until it is removed; return its exit code, 128 and more for a signal.

        Raises:
            LaunchError: If the container cannot be started.
            ContainerGone: If the connection to the engine breaks while the container runs.
        """
        request = self._request
        end_labelled(self._api, request.labels.get(FOLDER_LABEL, ""), 0.0)  # no other process works on the attempt
        try:
            made = self._api.create_container(**create_options(self._api, request, self._user))
        except Exception as error:
            raise explain(error, request) from error
        container = cast("str", made["Id"])
        try:
            output = self._attach(container)
            events = self._api.events(filters={"container": container}, decode=True)
            if not self._inbox.empty() and self._inbox.get()[0] in ("signal", "orphaned"):
                self._remove(container)
                return 128 + signal.SIGTERM
            self._api.start(container)
        except Exception as error:
            self._remove(container)
            raise explain(error, request) from error
        copier = _thread(lambda: _copy(output, 1))
        _thread(lambda: self._listen(events))
        self._watch(container)
        copier.join(_DRAIN_S)
        if self._out_of_memory and self._code == _KILLED:
            limit = request.memory_bytes
            _say(f"{SAYS}{OUT_OF_MEMORY}{'' if limit is None else f' (mem_gb is {limit / 2**30:g})'}")
        return 1 if self._code is None else self._code

    def _attach(self, container: str) -> socket.socket:
        """Return one socket for the container's input and output; call this before the container starts."""
        ways = {"stdin": 1, "stdout": 1, "stderr": 1, "stream": 1}
        held: Any = self._api.attach_socket(container, params=ways)
        self._held = held  # if the last reference to it went, the engine would see the end of the input
        channel = socket.socket(fileno=os.dup(held.fileno()))
        channel.settimeout(None)
        return channel

    def _listen(self, events: Iterator[Any]) -> None:
        """Put the engine's events about the container into the inbox, until the container is gone."""
        try:
            for event in events:
                self._inbox.put(("event", event))
                if event.get("Action") == "destroy":
                    return
        except Exception as error:
            self._inbox.put(("gone", error))
        else:
            self._inbox.put(("gone", None))

    def _watch(self, container: str) -> None:
        """Wait for the container's end; forward the first signal; end the container if the supervisor is gone."""
        while True:
            left = None if self._kill_at is None else max(0.0, self._kill_at - time.monotonic())
            try:
                kind, value = self._inbox.get(timeout=left)
            except Empty:
                self._kill_at = None
                self._signal(container, signal.SIGKILL)
                continue
            if kind == "signal" and not self._asked:
                self._asked = True
                self._signal(container, value)
            elif kind == "orphaned":
                self._kill_at = time.monotonic() + ORPHAN_LIMIT_S
                self._signal(container, signal.SIGTERM)
            elif kind == "event" and self._has_ended(value):
                return
            elif kind == "gone":
                if self._code is not None:  # the container had ended before the connection broke
                    return
                raise ContainerGone(f"{GONE}: {value or 'it closed the connection'}")

    def _has_ended(self, event: dict[str, Any]) -> bool:
        match event.get("Action"):
            case "oom":
                self._out_of_memory = True
            case "die":
                self._code = int(event["Actor"]["Attributes"].get("exitCode") or 0)
            case "destroy":
                return True
            case _:
                pass
        return False

    def _signal(self, container: str, number: int) -> None:
        with suppress(Exception):  # the container may have ended already; an event reports that
            self._api.kill(container, signal=signal.Signals(number).name)

    def _remove(self, container: str) -> None:
        with suppress(Exception):  # the engine may have removed it already
            self._api.remove_container(container, force=True)


class _Copied:
    """The state of the copied output: the driver's own message must begin on a line of its own."""

    ends_line = True


_copied = _Copied()


def _copy(channel: socket.socket, to: int) -> None:
    """Copy a container's output to a descriptor. Each frame has a header (kind and length), then the bytes."""
    with suppress(OSError), channel.makefile("rb") as stream:
        while len(header := stream.read(_HEADER_BYTES)) == _HEADER_BYTES:
            left = memoryview(stream.read(int.from_bytes(header[4:], "big")))
            _copied.ends_line = not left or left[-1] == ord("\n")
            while left:
                left = left[os.write(to, left) :]


def _thread(work: Callable[[], None]) -> threading.Thread:
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


def _hear(inbox: SimpleQueue[_Event]) -> None:
    """From now on, put an event into the inbox for each signal, and for the end of the supervisor."""
    for number in _FORWARDED:
        signal.signal(number, lambda heard, _frame: inbox.put(("signal", heard)))
    text = os.environ.get(SUPERVISOR_PIPE_VARIABLE, "")

    def watch() -> None:
        with suppress(OSError):
            while os.read(int(text), 64):
                pass
        inbox.put(("orphaned", None))

    if text.isdigit():
        _thread(watch)


def _of_this_task(request: ContainerRequest) -> ContainerRequest:
    """Return the request for this task of a job step, with its own name and the variables that srun sets for it."""
    from dataclasses import replace

    number = os.environ.get("SLURM_PROCID")
    if number is None or request.ipc != "host":  # tasks of one step share memory
        return request
    own = {
        name: value for name, value in os.environ.items() if name.startswith(_OF_A_TASK) and not is_secret(name, value)
    }
    return replace(request, name=f"{request.name}-{number}", environment={**request.environment, **own})


def _say(words: str) -> None:
    with suppress(OSError):
        sys.stderr.write(f"{words}\n" if _copied.ends_line else f"\n{words}\n")
        sys.stderr.flush()


def main(words: Sequence[str]) -> int:
    """Execute `run REQUEST` or `end FOLDER GRACE_S`; see the module's docstring.

    Returns:
        The container's exit code, `REFUSED` if no container started, or `UNREACHED` if the engine does not answer.
    """
    verb, *rest = words
    try:
        if verb == "end":
            return 0 if _end(rest[0], float(rest[1])) else 1
        inbox: SimpleQueue[_Event] = SimpleQueue()
        _hear(inbox)
        client = connect()
        with answering():
            user = user_of(client)
    except LaunchError as error:
        return _refuse(error, UNREACHED)
    try:
        return Driver(client.api, _of_this_task(from_plain(json.loads(rest[0]))), user, inbox).run()
    except LaunchError as error:
        return _refuse(error, REFUSED)


def _end(folder: str, grace_s: float) -> bool:
    """End an attempt's containers. If the engine does not answer, try for `grace_s`, since it may be restarting."""
    deadline = time.monotonic() + grace_s
    while True:
        try:
            api = connect().api
        except BackendError:
            if time.monotonic() + _LOOK_S > deadline:
                raise
            time.sleep(_LOOK_S)
        else:
            with answering():
                return end_labelled(api, folder, max(0.0, deadline - time.monotonic()))


def _refuse(error: LaunchError, code: int) -> int:
    _say(f"{SAYS}{error.message}" + (f"\nhint: {error.hint}" if error.hint else ""))
    return code
