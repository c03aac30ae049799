"""The networks that an engine of this machine can put a container in."""

from __future__ import annotations

from launch.containers.engine.command_line import ask, refusal
from launch.errors import LaunchError, nearest

# What is no network of its own but a way to do with or without one; Docker lists its own among the others.
_MODES = {"docker": (), "podman": ("none", "host", "bridge", "private", "pasta", "slirp4netns")}


def check_network(name: str, engine: str) -> None:
    """Check that an engine has a network.

    Args:
        name: The network's name.
        engine: `docker` or `podman`.

    Raises:
        LaunchError: If there is none of this name.
        BackendError: If the engine does not answer.
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
    said = ask(engine, "network", "ls", "--format", "{{.Name}}")
    if said.returncode:
        raise refusal(engine, said.stderr)
    return said.stdout.split()
