"""The slots of this machine: which cores and GPUs a run gets, so that two sweeps never give one out twice.

A slot is a set of locks, one per core or share of a GPU, in a folder of the machine. The queue takes them; supervisor
and training inherit them, so a slot is taken as long as any process works in it, even if the one that took it is gone.
"""

from __future__ import annotations

import os
import re
import stat
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from launch.errors import LaunchError, StoreError
from launch.specs.resources import Resources
from launch.store.files import store_errors
from launch.store.locks import acquire

SLOTS_VARIABLE = "LAUNCH_SLOTS"

_GPU_LINE = re.compile(r"GPU (\d+): .*\(UUID: (GPU-[^)]+)\)")
_NVIDIA_SMI_TIMEOUT_S = 30


class Machine(NamedTuple):
    """What this machine has to give to this process."""

    cores: tuple[int, ...]
    gpus: tuple[int, ...]  # in the order of the PCI bus
    memory_gb: float | None = None  # None if it is not known


@dataclass(frozen=True, kw_only=True)
class Slot:
    """What one run was given."""

    cores: tuple[int, ...]  # its cores; empty for a run on GPUs, which are not tied to cores
    gpus: tuple[int, ...]
    locks: tuple[int, ...]  # the descriptors that hold it

    def close(self) -> None:
        """Let go of it. A process that has inherited it still holds it."""
        for fd in self.locks:
            os.close(fd)


def find_machine(*, gpus: bool) -> Machine:
    """Look at this machine; for its GPUs, which takes a moment, only if `gpus` is set."""
    return Machine(
        cores=tuple(sorted(os.sched_getaffinity(0))), gpus=_find_gpus() if gpus else (), memory_gb=_memory_gb()
    )


def _find_gpus() -> tuple[int, ...]:
    """Return the GPUs this process may use: those of `nvidia-smi`, as far as `CUDA_VISIBLE_DEVICES` leaves them."""
    try:
        answer = subprocess.run(
            ["nvidia-smi", "-L"], capture_output=True, text=True, timeout=_NVIDIA_SMI_TIMEOUT_S, check=False
        )
        uuids = {uuid: int(number) for number, uuid in _GPU_LINE.findall(answer.stdout)}
        found = sorted(uuids.values())
    except (OSError, subprocess.TimeoutExpired):
        uuids = {}
        found = sorted(int(name[6:]) for name in os.listdir("/dev") if re.fullmatch(r"nvidia\d+", name))
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is None:
        return tuple(found)
    words = [word.strip() for word in visible.split(",")]
    numbers = [int(word) if word.isdigit() else uuids.get(word, -1) for word in words]
    return tuple(number for number in numbers if number in found)


def _memory_gb() -> float | None:
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    except (OSError, ValueError):
        return None


def check_fits(resources: Resources, machine: Machine) -> None:
    """Refuse a run that asks for more than this machine has.

    Raises:
        LaunchError: Naming the key, what is asked for and what there is.
    """
    limits = (
        ("nodes", resources.nodes, 1, "machine"),
        ("tasks_per_node", resources.tasks_per_node, 1, "process for each run"),
        ("gpus_per_node", resources.gpus_per_node, len(machine.gpus), "GPUs"),
        ("cpus_per_task", 0 if resources.gpus_per_node else resources.cpus_per_task, len(machine.cores), "cores"),
        ("mem_gb", resources.mem_gb or 0, machine.memory_gb or float("inf"), "GiB of memory"),
    )
    for key, asked, there, what in limits:
        if asked > there:
            raise LaunchError(
                f"resources.{key}: {asked:g} asked for, and this machine has {there:.4g} {what}",
                hint=f"ask for less in the sweep's `resources`, or on the command line: resources.{key}={there:.4g}"
                if there
                else "this machine has no GPU that can be seen; run it on another, or with resources.gpus_per_node=0",
            )


class Slots:
    """Gives out the slots of this machine.

    Args:
        machine: What there is.
        slots_per_gpu: How many runs may share a GPU.
    """

    def __init__(self, machine: Machine, slots_per_gpu: int = 1) -> None:
        self._machine = machine
        self._slots_per_gpu = slots_per_gpu
        self._folder = _slots_folder()

    def leaves_room(self, taken: Iterable[Slot], resources: Resources) -> bool:
        """Return whether a run would fit besides these slots if no other process held any."""
        taken = list(taken)
        if resources.gpus_per_node:
            shares = len(self._machine.gpus) * self._slots_per_gpu
            return shares - sum(len(slot.gpus) for slot in taken) >= resources.gpus_per_node
        return len(self._machine.cores) - sum(len(slot.cores) for slot in taken) >= resources.cpus_per_task

    def take(self, resources: Resources) -> Slot | None:
        """Take a slot for a run; return None if none is free."""
        # All or nothing under one door: two queues that each held half of what they need would wait for ever.
        door = acquire(os.path.join(self._folder, "door"), wait=True)
        try:
            if not resources.gpus_per_node:
                return self._lock("cpu", self._machine.cores, 0, resources.cpus_per_task)
            # The first share of every GPU before the second of any.
            shares = range(self._slots_per_gpu)
            found = (self._lock("gpu", self._machine.gpus, share, resources.gpus_per_node) for share in shares)
            return next(filter(None, found), None)
        finally:
            if door is not None:
                os.close(door)

    def _lock(self, kind: str, numbers: Sequence[int], share: int, wanted: int) -> Slot | None:
        """Take `wanted` cores or GPUs; return None if fewer are free."""
        taken: dict[int, int] = {}
        for number in numbers:
            if len(taken) == wanted:
                break
            fd = acquire(os.path.join(self._folder, f"{kind}{number}.{share}"))
            if fd is not None:
                taken[number] = fd
        chosen = tuple(taken)
        slot = Slot(
            cores=chosen if kind == "cpu" else (), gpus=chosen if kind == "gpu" else (), locks=tuple(taken.values())
        )
        if len(taken) == wanted:
            return slot
        slot.close()
        return None


def _slots_folder() -> str:
    """Return the folder of this machine's locks, made if it is missing.

    It is not $XDG_RUNTIME_DIR: that differs between a login and a cron job, and is emptied at the last logout.
    """
    folder = os.environ.get(SLOTS_VARIABLE) or f"/tmp/launch-{os.getuid()}/slots"
    with store_errors(f"make {folder}"):
        os.makedirs(folder, mode=0o700, exist_ok=True)
        status = os.stat(folder)
    if status.st_uid != os.getuid() or not stat.S_ISDIR(status.st_mode):
        raise StoreError(f"{folder} belongs to another user", hint=f"name another folder with {SLOTS_VARIABLE}")
    return folder
