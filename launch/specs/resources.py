"""The resources that a run asks for, with the names of submitit, which contain the units."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any

from launch.errors import LaunchError, did_you_mean


@dataclass(frozen=True, kw_only=True)
class Resources:
    """The resources of one attempt.

    Attributes:
        nodes: The number of machines.
        tasks_per_node: The number of processes per machine.
        gpus_per_node: The number of GPUs per machine; 0 for a run on CPUs.
        cpus_per_task: The number of CPU cores per process. On CPUs it fixes the number of threads, and so the exact
            results: the order of XLA's sums depends on the number of threads.
        mem_gb: The memory per machine in GiB; None for the backend's default.
        timeout_min: The time limit of one attempt in minutes; None for no limit.
        mem_growth: On a cluster, the factor on `mem_gb` after an attempt ran out of memory.
    """

    nodes: int = 1
    tasks_per_node: int = 1
    gpus_per_node: int = 0
    cpus_per_task: int = 1
    mem_gb: float | None = None
    timeout_min: float | None = None
    mem_growth: float = 1.0

    @property
    def tasks(self) -> int:
        """The number of processes of a run."""
        return self.nodes * self.tasks_per_node

    def to_json(self) -> dict[str, Any]:
        """Return the fields as plain values."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Resources:
        """Return the resources with the values that `to_json` wrote, or a user typed.

        Raises:
            LaunchError: If a key is unknown or a value is not allowed.
        """
        known = {field.name for field in fields(cls)}
        for key, value in values.items():
            _check(key, value, known)
        return cls(**values)


_OPTIONAL = ("mem_gb", "timeout_min")
_FRACTIONAL = ("mem_gb", "timeout_min", "mem_growth")
_UNITS = {"mem_gb": "in GiB: 16, not 16G", "timeout_min": "in minutes: 90, not 1h30 or 1:30:00"}
_MOST_GROWTH = 10
# Far above any machine: a larger number is a slip of the key, and could overflow where it is multiplied.
_MOST = {
    "nodes": 10**5,
    "tasks_per_node": 10**4,
    "gpus_per_node": 10**3,
    "cpus_per_task": 10**4,
    "mem_gb": 2**20,
    "timeout_min": 10 * 366 * 24 * 60,
}
_MAY_BE_ZERO = ("gpus_per_node",)


def _check(key: str, value: Any, known: set[str]) -> None:
    """Raise if the resource `key` is unknown or cannot have this value."""
    if key not in known:
        raise LaunchError(
            f"resources.{key}: unknown key{did_you_mean(key, sorted(known))}",
            hint=f"the keys are {', '.join(sorted(known))}",
        )
    if value is None and key in _OPTIONAL:
        return
    kinds = (int, float) if key in _FRACTIONAL else (int,)
    if isinstance(value, bool) or not isinstance(value, kinds):
        wanted = "a number" if key in _FRACTIONAL else "a whole number"
        raise LaunchError(f"resources.{key}: {_short(value)} is not {wanted}", hint=_UNITS.get(key))
    if key == "mem_growth":
        allowed, message = 1 <= value <= _MOST_GROWTH, f"must be a number from 1 to {_MOST_GROWTH}"
    elif key in _FRACTIONAL:
        allowed, message = 0 < value <= _MOST[key], f"must be a number above 0, at most {_MOST[key]:,}"
    else:
        least = 0 if key in _MAY_BE_ZERO else 1
        allowed = least <= value <= _MOST[key]
        message = f"must be a whole number from {least} to {_MOST[key]:,}"
    if not allowed:
        raise LaunchError(f"resources.{key}: {_short(value)} is not allowed: it {message}")


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "…"
