"""The networks that an engine of this machine can put a container in."""

from __future__ import annotations

import subprocess

from launch.engine.connection import address, unreachable
from launch.errors import BackendError, LaunchError, nearest

# What is no network of its own but a way to do with or without one; Docker lists its own among the others.
_MODES = {"docker": (), "podman": ("none", "host", "bridge", "private", "pasta", "slirp4netns")}
_ASK_S = 60.0


def check_network(name: str, engine: str) -> None:
    """Check that an engine has a network.

    Args:
        name: The network's name.
        engine: `docker` or `podman`.

    Raises:
        LaunchError: Where there is none of this name.
        BackendError: Where the engine does not answer.
    """
    if name in _MODES[engine]:
        return
    known = sorted({*_MODES[engine], *_list(engine)})
    if name not in known:
        near = nearest(name, known)
        raise LaunchError(
            f"{engine} has no network {name!r}" + (f"; did you mean {near}?" if near else ""),
            hint=f"it has {', '.join(known)}; `{engine} network create {name}` makes one",
        )


def _list(engine: str) -> list[str]:
    words = [engine, "network", "ls", "--format", "{{.Name}}"]
    try:
        said = subprocess.run(
            words, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=_ASK_S
        )
    except subprocess.TimeoutExpired as error:
        raise BackendError(f"{engine} does not answer in {_ASK_S:g} s", hint="is the engine well?") from error
    except OSError as error:
        raise LaunchError(f"{engine} cannot be executed: {error.strerror}", hint="`launch doctor` looks") from error
    if said.returncode == 0:
        return said.stdout.split()
    last = (said.stderr.strip().splitlines() or ["it failed and said nothing"])[-1]
    raise unreachable(address(), RuntimeError(last)) if engine == "docker" else BackendError(f"{engine}: {last}")
