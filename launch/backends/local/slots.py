"""The slots of this machine: the cores and GPUs of each run. Two sweeps never give the same core or GPU to two runs.

A slot is a set of file locks, one for each core or share of a GPU. The queue takes the locks; the supervisor and the
training process inherit them. So a slot stays taken while any of these processes runs, even if the queue has died.
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
    """The resources of this machine that this process may use."""

    cores: tuple[int, ...]
    gpus: tuple[int, ...]  # in the order of the PCI bus
    memory_gb: float | None = None  # in GiB; None if it is not known


@dataclass(frozen=True, kw_only=True)
class Slot:
    """The cores or GPUs that one run was given."""

    cores: tuple[int, ...]  # its cores; empty for a run on GPUs, which are not tied to cores
    gpus: tuple[int, ...]
    locks: tuple[int, ...]  # the descriptors that hold the locks

    def close(self) -> None:
        """Close the locks in this process. A process that has inherited them still holds them."""
        for fd in self.locks:
            os.close(fd)


def find_machine(*, gpus: bool) -> Machine:
    """Return the resources of this machine; its GPUs, which take a moment to find, only if `gpus` is set."""
    return Machine(
        cores=tuple(sorted(os.sched_getaffinity(0))), gpus=_find_gpus() if gpus else (), memory_gb=_memory_gb()
    )


def _find_gpus() -> tuple[int, ...]:
    """Return the GPUs that this process may use: those that `nvidia-smi` lists and `CUDA_VISIBLE_DEVICES` allows."""
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
    """Raise if a run asks for more than this machine has.

    Raises:
        LaunchError: The message names the key, the value that is asked for and the value that is available.
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
                else "no GPU is visible here; use another machine, or run without a GPU: resources.gpus_per_node=0",
            )


class Slots:
    """Gives out the slots of this machine.

    Args:
        machine: The resources of this machine.
        slots_per_gpu: How many runs may share a GPU.
    """

    def __init__(self, machine: Machine, slots_per_gpu: int = 1) -> None:
        self._machine = machine
        self._slots_per_gpu = slots_per_gpu
        self._folder = _slots_folder()

    def leaves_room(self, taken: Iterable[Slot], resources: Resources) -> bool:
        """Return whether a run would fit next to these slots if no other process held slots."""
        taken = list(taken)
        if resources.gpus_per_node:
            shares = len(self._machine.gpus) * self._slots_per_gpu
            return shares - sum(len(slot.gpus) for slot in taken) >= resources.gpus_per_node
        return len(self._machine.cores) - sum(len(slot.cores) for slot in taken) >= resources.cpus_per_task

    def take(self, resources: Resources) -> Slot | None:
        """Take a slot for a run; return None if no slot is free."""
        # One lock for all of this: two queues that each hold half of the locks that they need would wait for ever.
        door = acquire(os.path.join(self._folder, "door"), wait=True)
        try:
            if not resources.gpus_per_node:
                return self._lock("cpu", self._machine.cores, 0, resources.cpus_per_task)
            # Use the first share of every GPU before the second share of any GPU.
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

    Not $XDG_RUNTIME_DIR: it differs between a login and a cron job, and it is emptied at the last logout.
    """
    folder = os.environ.get(SLOTS_VARIABLE) or f"/tmp/launch-{os.getuid()}/slots"
    with store_errors(f"make {folder}"):
        os.makedirs(folder, mode=0o700, exist_ok=True)
        status = os.stat(folder)
    if status.st_uid != os.getuid() or not stat.S_ISDIR(status.st_mode):
        raise StoreError(f"{folder} belongs to another user", hint=f"name another folder with {SLOTS_VARIABLE}")
    return folder
