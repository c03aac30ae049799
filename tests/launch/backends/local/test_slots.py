import os
import stat
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from launch.backends.local import slots
from launch.backends.local.slots import Machine, Slots, check_fits, find_machine
from launch.errors import LaunchError, StoreError
from launch.specs.resources import Resources
from launch.store.locks import acquire

SIX_CORES = Machine(cores=(0, 1, 2, 3, 4, 5), gpus=(), memory_gb=8.0)
TWO_GPUS = Machine(cores=(0, 1), gpus=(0, 1))


def fake_nvidia_smi(folder: Path, gpus: int) -> None:
    """Put an `nvidia-smi` into a folder that lists `count` GPUs."""
    folder.mkdir(exist_ok=True)
    lines = "\n".join(f"GPU {n}: NVIDIA H100 80GB HBM3 (UUID: GPU-{n:08x}-aaaa)" for n in range(gpus))
    script = folder / "nvidia-smi"
    script.write_text(f"#!/bin/sh\ncat <<'END'\n{lines}\nEND\n")
    script.chmod(0o755)


def test_runs_get_disjoint_cores() -> None:
    slots, other = Slots(SIX_CORES), Slots(SIX_CORES)
    taken = [slots.take(Resources(cpus_per_task=2)), other.take(Resources(cpus_per_task=2))]
    taken.append(slots.take(Resources(cpus_per_task=2)))
    cores = [core for slot in taken if slot is not None for core in slot.cores]
    assert sorted(cores) == [0, 1, 2, 3, 4, 5]
    assert other.take(Resources()) is None
    for slot in taken:
        assert slot is not None
        slot.close()


def test_what_does_not_fit_takes_nothing() -> None:
    slots = Slots(SIX_CORES)
    first = slots.take(Resources(cpus_per_task=4))
    assert slots.take(Resources(cpus_per_task=3)) is None
    rest = slots.take(Resources(cpus_per_task=2))
    assert first is not None and rest is not None
    assert rest.cores == (4, 5)
    first.close()
    again = slots.take(Resources(cpus_per_task=3))
    assert again is not None and again.cores == (0, 1, 2)
    again.close()
    rest.close()


def test_two_queues_never_hold_half_of_what_each_of_them_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    two = Machine(cores=(0, 1), gpus=())
    second_held, first_refused = threading.Event(), threading.Event()

    def in_step(path: str, *, wait: bool = False) -> int | None:
        """Let one queue have the first core and the other the second, wherever nothing keeps them apart."""
        fd = acquire(path, wait=wait)
        if path.endswith("cpu0.0") and fd is not None:
            second_held.wait(0.5)
        elif path.endswith("cpu1.0") and fd is not None:
            second_held.set()
            first_refused.wait(0.5)
        elif path.endswith("cpu1.0"):
            first_refused.set()
        return fd

    monkeypatch.setattr(slots, "acquire", in_step)
    with ThreadPoolExecutor(2) as pool:
        taken = list(pool.map(lambda _: Slots(two).take(Resources(cpus_per_task=2)), range(2)))
    (slot,) = [slot for slot in taken if slot is not None]
    assert slot.cores == (0, 1)
    slot.close()


def test_slot_stays_taken_by_whoever_inherited_it() -> None:
    slots = Slots(Machine(cores=(0,), gpus=()))
    slot = slots.take(Resources())
    assert slot is not None
    heir = subprocess.Popen([sys.executable, "-S", "-c", "input()"], stdin=subprocess.PIPE, pass_fds=slot.locks)
    slot.close()
    assert slots.take(Resources()) is None
    heir.kill()
    heir.communicate()
    again = slots.take(Resources())
    assert again is not None
    again.close()


def test_gpus_are_filled_evenly_and_shared_as_often_as_allowed() -> None:
    slots = Slots(TWO_GPUS, slots_per_gpu=2)
    taken = [slots.take(Resources(gpus_per_node=1)) for _ in range(5)]
    assert [slot and slot.gpus for slot in taken] == [(0,), (1,), (0,), (1,), None]
    assert all(slot.cores == () for slot in taken if slot)
    for slot in taken[:4]:
        assert slot is not None
        slot.close()
    both = slots.take(Resources(gpus_per_node=2))
    assert both is not None and both.gpus == (0, 1)
    both.close()


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        (Resources(cpus_per_task=7), "resources.cpus_per_task: 7 asked for, and this machine has 6 cores"),
        (Resources(gpus_per_node=1), "resources.gpus_per_node: 1 asked for, and this machine has 0 GPUs"),
        (Resources(nodes=2), "resources.nodes: 2 asked for, and this machine has 1 machine"),
        (Resources(tasks_per_node=2), "resources.tasks_per_node: 2 asked for"),
        (Resources(mem_gb=9.5), "resources.mem_gb: 9.5 asked for, and this machine has 8 GiB of memory"),
    ],
)
def test_too_large_a_wish_is_refused_with_what_there_is(asked: Resources, words: str) -> None:
    with pytest.raises(LaunchError) as caught:
        check_fits(asked, SIX_CORES)
    assert caught.value.message.startswith(words)
    assert caught.value.hint


def test_wish_that_fits_is_not_refused() -> None:
    check_fits(Resources(cpus_per_task=6, mem_gb=8), SIX_CORES)
    check_fits(Resources(gpus_per_node=2, cpus_per_task=64), TWO_GPUS)


def test_gpus_are_those_of_nvidia_smi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_nvidia_smi(tmp_path / "bin", 4)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    assert find_machine(gpus=False).gpus == ()
    assert find_machine(gpus=True).gpus == (0, 1, 2, 3)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,1")
    assert find_machine(gpus=True).gpus == (3, 1)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-00000002-aaaa, 9")
    assert find_machine(gpus=True).gpus == (2,)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert find_machine(gpus=True).gpus == ()


def test_cores_are_those_this_process_may_use() -> None:
    assert set(find_machine(gpus=False).cores) == os.sched_getaffinity(0)


def test_folder_of_the_slots_belongs_to_its_user(own_machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAUNCH_SLOTS", str(own_machine / "new"))
    Slots(SIX_CORES)
    assert stat.S_IMODE((own_machine / "new").stat().st_mode) == 0o700
    monkeypatch.setattr(os, "getuid", lambda: 12345)
    with pytest.raises(StoreError, match="belongs to another user"):
        Slots(SIX_CORES)
