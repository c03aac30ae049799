"""How an engine sets a container up, besides what its run asks for."""

from __future__ import annotations

from dataclasses import dataclass, field

# Names the variables that the profile sets, with commas in between: the supervisor hands them into the container.
PASS_VARIABLE = "LAUNCH_PASS"


@dataclass(frozen=True, kw_only=True)
class ContainerSettings:
    """The `container:` settings of a profile. Only an engine, Docker or Podman, can apply them.

    Attributes:
        network: Their network: `none`, `host`, `bridge`, or one that the user made; None for the host's if a run needs
            a network, else for none.
        shm_gb: Shared memory, in GiB; None for 8. Unused shared memory takes no memory.
        ulimits: Limits of a process by their names, such as memlock, soft and hard alike; -1 for no limit.
    """

    network: str | None = None
    shm_gb: float | None = None
    ulimits: dict[str, int] = field(default_factory=dict[str, int])
