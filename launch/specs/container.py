"""The settings of a profile for containers under an engine."""

from __future__ import annotations

from dataclasses import dataclass, field

# This variable lists, separated by commas, the variables that the profile sets; they are passed into containers.
PASS_VARIABLE = "LAUNCH_PASS"


@dataclass(frozen=True, kw_only=True)
class ContainerSettings:
    """The `container:` settings of a profile. Only an engine, Docker or Podman, can apply them.

    Attributes:
        network: The network: `none`, `host`, `bridge`, or one that the user created; None for `host` if a run needs a
            network, else `none`.
        shm_gb: The size of the shared memory in GiB; None for 8. Unused shared memory takes no memory.
        ulimits: Limits of a process by name, such as memlock, for both soft and hard limit; -1 for no limit.
    """

    network: str | None = None
    shm_gb: float | None = None
    ulimits: dict[str, int] = field(default_factory=dict[str, int])
