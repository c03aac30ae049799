"""The slots of this machine: the cores and GPUs of each run. Two sweeps never give the same core or GPU to two runs.

A slot is a set of file locks, one for each core or share of a GPU. The queue takes the locks; the supervisor and the
training process inherit them. So a slot stays taken while any of these processes runs, even if the queue has died.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import NamedTuple

from launch.backends.local.gpus import describe_use, find_gpus
from launch.errors import LaunchError, StoreError
from launch.specs.gpu import Gpu
from launch.specs.resources import Resources
from launch.store.files import store_errors, temporary_beside
from launch.store.locks import acquire, is_held

SLOTS_VARIABLE = "LAUNCH_SLOTS"

# The locks of all users of this machine; made by the first of them, and each may lock every file in it.
_SHARED = "/tmp/launch-slots"
_USE_S = 2.0  # how long an answer of nvidia-smi about the use of the GPUs is good


class Machine(NamedTuple):
    """The resources of this machine that this process may use."""

    cores: tuple[int, ...]
    gpus: tuple[Gpu, ...]  # in the order of the PCI bus
    memory_gb: float | None = None  # in GiB; None if it is not known

    def gpus_for(self, wanted: int) -> tuple[Gpu, ...]:
        """Return the GPUs that a run can be given; CUDA uses one slice of a GPU only, so several must be whole."""
        return self.gpus if wanted == 1 else tuple(gpu for gpu in self.gpus if isinstance(gpu, int))

    @property
    def most_gpus(self) -> int:
        """The most GPUs that one run can be given."""
        return max(len(self.gpus_for(2)), min(1, len(self.gpus)))


@dataclass(frozen=True, kw_only=True)
class Slot:
    """The cores or GPUs that one run was given."""

    cores: tuple[int, ...]  # its cores; empty for a run on GPUs, which are not tied to cores
    gpus: tuple[Gpu, ...]
    locks: tuple[int, ...]  # the descriptors that hold the locks

    def close(self) -> None:
        """Close the locks in this process. A process that has inherited them still holds them."""
        for fd in self.locks:
            os.close(fd)


def find_machine(*, gpus: bool) -> Machine:
    """Return the resources of this machine; its GPUs, which take a moment to find, only if `gpus` is set."""
    return Machine(
        cores=tuple(sorted(os.sched_getaffinity(0))), gpus=find_gpus() if gpus else (), memory_gb=_memory_gb()
    )


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
        ("gpus_per_node", resources.gpus_per_node, machine.most_gpus, _gpu_word(machine)),
        ("cpus_per_task", 0 if resources.gpus_per_node else resources.cpus_per_task, len(machine.cores), "cores"),
        ("mem_gb", resources.mem_gb or 0, machine.memory_gb or float("inf"), "GiB of memory"),
    )
    for key, asked, there, what in limits:
        if asked > there:
            raise LaunchError(
                f"resources.{key}: {asked:g} asked for, and this machine has {there:.4g} {what}",
                hint=f"ask for less in the sweep's `resources`, or on the command line: resources.{key}={there:.4g}"
                if there
                else _no_gpu_hint(),
            )


def _gpu_word(machine: Machine) -> str:
    slices = len(machine.gpus) - len(machine.gpus_for(2))
    return f"GPUs for one run (and one of {slices} MIG devices, as CUDA can use only one)" if slices > 1 else "GPUs"


def _no_gpu_hint() -> str:
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    why = (
        "no GPU is visible here" if visible is None else f"CUDA_VISIBLE_DEVICES={visible} names no GPU of this machine"
    )
    return f"{why}; use another machine, or run without a GPU: resources.gpus_per_node=0"


class Slots:
    """Gives out the slots of this machine.

    Args:
        machine: The resources of this machine.
        slots_per_gpu: How many runs may share a GPU.
    """

    def __init__(self, machine: Machine, slots_per_gpu: int = 1) -> None:
        self._machine = machine
        self._slots_per_gpu = slots_per_gpu
        self._folder = slots_folder()
        self._use: dict[int, str] = {}
        self._asked = -_USE_S

    def leaves_room(self, taken: Iterable[Slot], resources: Resources) -> bool:
        """Return whether a run would fit next to these slots if no other process held slots."""
        taken = list(taken)
        if resources.gpus_per_node:
            shares = len(self._machine.gpus_for(resources.gpus_per_node)) * self._slots_per_gpu
            return shares - sum(len(slot.gpus) for slot in taken) >= resources.gpus_per_node
        return len(self._machine.cores) - sum(len(slot.cores) for slot in taken) >= resources.cpus_per_task

    def take(self, resources: Resources) -> Slot | None:
        """Take a slot for a run; return None if no slot is free."""
        # One lock for all of this: two queues that each hold half of the locks that they need would wait for ever.
        door = self._acquire("door", wait=True)
        try:
            if not resources.gpus_per_node:
                return self._lock("cpu", self._machine.cores, 0, resources.cpus_per_task)
            # Use the first share of every GPU before the second share of any GPU.
            shares = range(self._slots_per_gpu)
            wanted = resources.gpus_per_node
            gpus = self._machine.gpus_for(wanted)
            found = (self._lock("gpu", self._free_of_others(gpus, share), share, wanted) for share in shares)
            return next(filter(None, found), None)
        finally:
            if door is not None:
                os.close(door)

    def used_by_others(self) -> dict[int, str]:
        """Return the use by other programs of each GPU that no run holds, by its number."""
        return {gpu: use for gpu, use in self._use.items() if gpu in self._machine.gpus and not self._is_held(gpu)}

    def _free_of_others(self, gpus: Sequence[Gpu], share: int) -> Iterator[Gpu]:
        """Yield the GPUs with a share that may be free; the use of a GPU by other programs counts as its last share."""
        for gpu in gpus:
            if share < self._slots_per_gpu - 1 or not isinstance(gpu, int) or not self._is_used(gpu):
                yield gpu

    def _is_used(self, gpu: int) -> bool:
        """Return whether a program that is not in a slot uses a GPU."""
        if self._is_held(gpu):
            return False  # by a run in another share: its own use cannot be told from that of others
        if time.monotonic() - self._asked >= _USE_S:
            self._use, self._asked = describe_use(), time.monotonic()
        return gpu in self._use

    def _is_held(self, gpu: int) -> bool:
        return any(is_held(os.path.join(self._folder, f"gpu{gpu}.{share}")) for share in range(self._slots_per_gpu))

    def _lock(self, kind: str, names: Iterable[Gpu], share: int, wanted: int) -> Slot | None:
        """Take `wanted` cores or GPUs; return None if fewer are free."""
        taken: dict[Gpu, int] = {}
        for name in names:
            if len(taken) == wanted:
                break
            fd = self._acquire(f"{kind}{str(name).replace('/', '_')}.{share}")
            if fd is not None:
                taken[name] = fd
        slot = Slot(
            cores=tuple(name for name in taken if isinstance(name, int)) if kind == "cpu" else (),
            gpus=tuple(taken) if kind == "gpu" else (),
            locks=tuple(taken.values()),
        )
        if len(taken) == wanted:
            return slot
        slot.close()
        return None

    def _acquire(self, name: str, *, wait: bool = False) -> int | None:
        """Take a lock; every user of this machine may take it later, not only the user whose file it is."""
        path = os.path.join(self._folder, name)
        if self._folder == _SHARED and not _make_shared_file(path):
            return None  # another user has closed it to others
        return acquire(path, wait=wait)


def slots_folder() -> str:
    """Return the folder of this machine's locks, made if it is missing.

    It is `$LAUNCH_SLOTS`, else a folder of all users, else one of this user: the folder of all users is not used if
    another user has made it in a form that lets them delete the locks of others.
    Not $XDG_RUNTIME_DIR: it differs between a login and a cron job, and it is emptied at the last logout.

    Raises:
        StoreError: If the folder of this user cannot be made or belongs to another user.
    """
    chosen = os.environ.get(SLOTS_VARIABLE)
    if not chosen and _is_shared_folder():
        return _SHARED
    folder = chosen or f"/tmp/launch-{os.getuid()}/slots"
    with store_errors(f"make {folder}"):
        os.makedirs(folder, mode=0o700, exist_ok=True)
        status = os.stat(folder)
    if status.st_uid != os.getuid() or not stat.S_ISDIR(status.st_mode):
        raise StoreError(f"{folder} belongs to another user", hint=f"name another folder with {SLOTS_VARIABLE}")
    return folder


def _is_shared_folder() -> bool:
    """Return whether the folder of all users exists, made if it is missing, and no user can delete files of others."""
    with suppress(OSError):
        if not os.path.lexists(_SHARED):
            new = temporary_beside(_SHARED)
            os.mkdir(new)
            os.chmod(new, 0o1777)  # whatever the umask is
            with suppress(OSError):  # another process was faster
                os.rename(new, _SHARED)
            with suppress(OSError):
                os.rmdir(new)
        status = os.lstat(_SHARED)
        return stat.S_ISDIR(status.st_mode) and stat.S_IMODE(status.st_mode) == 0o1777
    return False


def _make_shared_file(path: str) -> bool:
    """Make the file of a lock that every user can open, unless it exists; return whether this user can open it."""
    with suppress(OSError):
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
        try:
            os.fchmod(fd, 0o666)
        finally:
            os.close(fd)
    with suppress(OSError):
        return stat.S_ISREG(os.lstat(path).st_mode) and os.access(path, os.R_OK | os.W_OK)
    return False
