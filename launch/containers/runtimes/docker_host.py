"""Find the address of the Docker engine as docker's command line does: `$DOCKER_HOST`, a context, or the socket."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping
from typing import Any, cast

HOST_VARIABLE = "DOCKER_HOST"
_SOCKET = "unix:///var/run/docker.sock"
_DEFAULT = "default"  # the name that means: no context
_PASSWORD = re.compile(r"(?<=//)([^/@:]*):[^/@]*@")


def docker_host(surroundings: Mapping[str, str]) -> str:
    """Return the engine's address, without a password, for a process with these variables."""
    host = surroundings.get(HOST_VARIABLE) or _host_of_context(surroundings) or _SOCKET
    return _PASSWORD.sub(r"\1@", host)


def _host_of_context(surroundings: Mapping[str, str]) -> str | None:
    """Return the address in docker's current context; None without a context. Rootless engines set a context."""
    config = surroundings.get("DOCKER_CONFIG") or os.path.join(surroundings.get("HOME", ""), ".docker")
    name = surroundings.get("DOCKER_CONTEXT") or _read(config, "config.json").get("currentContext") or _DEFAULT
    if name == _DEFAULT:
        return None
    digest = hashlib.sha256(str(name).encode()).hexdigest()
    try:
        return str(_read(config, "contexts", "meta", digest, "meta.json")["Endpoints"]["docker"]["Host"])
    except (KeyError, TypeError):
        return None


def _read(*parts: str) -> dict[str, Any]:
    """Return the content of a JSON settings file of docker; empty if the file cannot be read."""
    try:
        with open(os.path.join(*parts), encoding="utf-8") as file:
            found = json.load(file)
    except (OSError, ValueError):
        return {}
    return cast("dict[str, Any]", found) if isinstance(found, dict) else {}
