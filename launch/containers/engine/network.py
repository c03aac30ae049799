"""Check the network that a container is to use."""

from __future__ import annotations

from launch.containers.engine.command_line import answer
from launch.errors import LaunchError, did_you_mean

# Modes that Podman does not list among its networks; Docker lists its own.
_MODES = {"docker": (), "podman": ("none", "host", "bridge", "private", "pasta", "slirp4netns")}


def check_network(name: str, engine: str) -> None:
    """Raise if an engine, `docker` or `podman`, has no network of this name."""
    if name in _MODES[engine]:
        return
    known = sorted({*_MODES[engine], *answer(engine, "network", "ls", "--format", "{{.Name}}").split()})
    if name not in known:
        raise LaunchError(
            f"{engine} has no network {name!r}{did_you_mean(name, known)}",
            hint=f"it has {', '.join(known)}; `{engine} network create {name}` makes one",
        )
