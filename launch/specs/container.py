"""How an engine sets a container up, beside what its run asks for."""

from __future__ import annotations

from dataclasses import dataclass, field

# Tells the supervisor by which names the profile has set variables, with commas between: they are handed in too.
PASS_VARIABLE = "LAUNCH_PASS"


@dataclass(frozen=True, kw_only=True)
class ContainerSettings:
    """What a profile says of containers. Only an engine, Docker or Podman, can do what stands here.

    Attributes:
        network: The network they are in: `none`, `host`, `bridge`, or one that was made; None for the host's where a
            run needs one, and none elsewhere.
        shm_gb: Shared memory, in GiB; None for 8. It takes no memory that is not used.
        ulimits: Limits of a process by their names, soft and hard alike, such as memlock; -1 for no limit.
    """

    network: str | None = None
    shm_gb: float | None = None
    ulimits: dict[str, int] = field(default_factory=dict[str, int])
