"""The memory that a run may use on one of its devices."""

import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

# The rest is for what the compiled step does not count: fragments, batches that are prepared ahead, and on a CPU the
# data set and the interpreter.
_SHARE_OF_ACCELERATOR, _SHARE_OF_HOST = 0.9, 0.75
_MIB = 1 << 20


def usable_bytes() -> int:
    """Return how many bytes a training step may use on a device of this process.

    An accelerator has its own memory. A CPU has that of the machine, or less if the control group or Slurm says so. The
    number is one of the machine and its limits, not of what is free at this moment, so that it is the same every time.
    """
    import jax

    device = jax.local_devices()[0]
    if device.platform != "cpu" and (stats := device.memory_stats()):
        return int(_SHARE_OF_ACCELERATOR * stats["bytes_limit"])
    return int(_SHARE_OF_HOST * host_bytes(os.environ) / jax.local_device_count())


def host_bytes(environment: Mapping[str, str], proc: str = "/proc/self/cgroup", root: str = "/sys/fs/cgroup") -> int:
    """Return the memory that this process may use on its machine.

    Args:
        environment: The environment variables; those of Slurm have a job's memory.
        proc: The file that names the control groups of this process.
        root: The folder of the control groups.
    """
    machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return min((machine, *_cgroup_limits(Path(proc), Path(root)), *_slurm_limits(environment)))


def _slurm_limits(environment: Mapping[str, str]) -> Iterator[int]:
    for name, times in (("SLURM_MEM_PER_NODE", "1"), ("SLURM_MEM_PER_CPU", environment.get("SLURM_CPUS_ON_NODE", "1"))):
        with suppress(KeyError, ValueError):
            if mebibytes := int(environment[name]) * int(times):  # 0 is all of the node
                yield mebibytes * _MIB


def _cgroup_limits(proc: Path, root: Path) -> Iterator[int]:
    """Yield the limits of the control groups that this process is in, of version 2 or 1."""
    with suppress(OSError):
        for line in proc.read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            if controllers and "memory" not in controllers.split(","):
                continue
            top = root / "memory" if controllers else root
            name = "memory.limit_in_bytes" if controllers else "memory.max"
            group = top / path.lstrip("/")
            # In a container the path may be that of the host, but the container's own group is mounted at the top.
            for folder in {group, *(parent for parent in group.parents if parent.is_relative_to(top)), top}:
                with suppress(OSError, ValueError):
                    yield int((folder / name).read_text())
