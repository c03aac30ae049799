import os
import stat
import subprocess
import sys
import tempfile
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


def fake_nvidia_smi(folder: Path, gpus: int, *, slices: dict[int, list[str]] | None = None) -> None:
    """Put an `nvidia-smi` into a folder that lists GPUs and their slices; two files next to it say what uses them."""
    folder.mkdir(exist_ok=True)
    lines: list[str] = []
    for n in range(gpus):
        lines.append(f"GPU {n}: NVIDIA H100 80GB HBM3 (UUID: GPU-{n:08x}-aaaa)")
        for number, uuid in enumerate((slices or {}).get(n, [])):
            lines.append(f"  MIG 2g.20gb     Device  {number}: (UUID: {uuid})")
    for name in ("memory", "processes"):
        (folder / name).touch()
    script = folder / "nvidia-smi"
    listed = "\n".join(lines)
    script.write_text(
        f"#!/bin/sh\ncase $1 in\n--query-gpu*) cat {folder}/memory;;\n--query-compute*) cat {folder}/processes;;\n"
        f"*) cat <<'END'\n{listed}\nEND\n;; esac\n"
    )
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


MIG = [f"MIG-377e0049-554c-540b-93c6-{n:012}" for n in range(3)]


@pytest.fixture
def smi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    return tmp_path / "bin"


@pytest.mark.parametrize(
    ("visible", "gpus"),
    [
        (None, (0, *MIG, 2)),
        (f"{MIG[2]},{MIG[0]}", (MIG[2], MIG[0])),
        ("1", tuple(MIG)),
        ("GPU-00000001", tuple(MIG)),
        ("GPU-00000002,0,2", (2, 0)),
        ("GPU-0000000", ()),  # begins three UUIDs
        (MIG[1][:-1], ()),
        ("MIG-nothing", ()),
    ],
)
def test_slices_and_prefixes_of_uuids(
    smi: Path, monkeypatch: pytest.MonkeyPatch, visible: str | None, gpus: tuple[int | str, ...]
) -> None:
    fake_nvidia_smi(smi, 3, slices={1: MIG})
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert find_machine(gpus=True).gpus == gpus


def test_a_run_of_several_gpus_gets_whole_ones() -> None:
    machine = Machine(cores=(0,), gpus=(MIG[0], MIG[1], 2, 3))
    slots = Slots(machine)
    both = slots.take(Resources(gpus_per_node=2))
    one = slots.take(Resources(gpus_per_node=1))
    assert both is not None and both.gpus == (2, 3)
    assert one is not None and one.gpus == (MIG[0],) and slots.take(Resources(gpus_per_node=2)) is None
    check_fits(Resources(gpus_per_node=2), machine)
    with pytest.raises(
        LaunchError, match=r"2 asked for, and this machine has 1 GPUs for one run \(and one of 2 MIG devices"
    ):
        check_fits(Resources(gpus_per_node=2), Machine(cores=(0,), gpus=(MIG[0], MIG[1])))
    for slot in (both, one):
        slot.close()


def test_a_gpu_that_other_programs_use_is_passed_over(smi: Path) -> None:
    fake_nvidia_smi(smi, 2)
    with subprocess.Popen([sys.executable, "-S", "-c", "input()"], stdin=subprocess.PIPE) as other:
        (smi / "processes").write_text(f"GPU-00000000-aaaa, {other.pid}, /usr/bin/python3\n")
        (smi / "memory").write_text("0, GPU-00000000-aaaa, 9000, 81559\n1, GPU-00000001-aaaa, 5, 81559\n")
        slots, one = Slots(TWO_GPUS), Resources(gpus_per_node=1)
        first = slots.take(one)
        assert first is not None and first.gpus == (1,)
        assert slots.take(one) is None and slots.leaves_room([first], one)
        assert slots.used_by_others()[0].startswith(f"process {other.pid} (python3 of ")
        shared = Slots(TWO_GPUS, slots_per_gpu=2).take(one)
        assert shared is not None and shared.gpus == (0,)  # the other program is the second that shares it
        assert slots.used_by_others() == {}
        shared.close()
        other.communicate()
    (smi / "memory").write_text("0, GPU-00000000-aaaa, 300, 81559\n1, GPU-00000001-aaaa, 70000, 81559\n")
    again = Slots(TWO_GPUS).take(one)
    assert again is not None and again.gpus == (0,)  # a process that has ended does not count
    again.close()
    first.close()
    (smi / "memory").write_text("0, GPU-00000000-aaaa, 40000, 81559\n")
    slots = Slots(Machine(cores=(0,), gpus=(0,)))
    assert slots.take(one) is None
    assert slots.used_by_others() == {0: "40,000 of 81,559 MiB of its memory are in use"}


@pytest.fixture
def shared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("LAUNCH_SLOTS")
    monkeypatch.setattr(slots, "_SHARED", str(tmp_path / "launch-slots"))
    return tmp_path / "launch-slots"


def test_all_users_share_the_slots_of_a_machine(shared: Path) -> None:
    before = os.umask(0o077)
    try:
        slot = Slots(SIX_CORES).take(Resources(cpus_per_task=6))
    finally:
        os.umask(before)
    assert slot is not None
    assert stat.S_IMODE(shared.stat().st_mode) == 0o1777
    assert {stat.S_IMODE(path.stat().st_mode) for path in shared.iterdir()} == {0o666}
    assert Slots(SIX_CORES).take(Resources()) is None
    slot.close()
    assert [path.name for path in shared.parent.iterdir() if path.name.startswith(".")] == []


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")
def test_another_user_waits_for_the_same_slot(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LAUNCH_SLOTS")
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        os.chmod(folder, 0o755)
        place = f"{folder}/launch-slots"
        monkeypatch.setattr(slots, "_SHARED", place)
        slot = Slots(SIX_CORES).take(Resources(cpus_per_task=5))
        code = f"""
import os
from launch.backends.local import slots
from launch.specs.resources import Resources
slots._SHARED = {place!r}
os.setgroups([]); os.setgid(65534); os.setuid(65534)
taken = slots.Slots(slots.Machine(cores=tuple(range(6)), gpus=())).take(Resources())
print(taken and taken.cores)
print(slots.Slots(slots.Machine(cores=tuple(range(6)), gpus=())).take(Resources()))
"""
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
        assert done.stdout == "(5,)\nNone\n", done.stderr
        assert slot is not None
        slot.close()
        rest = Slots(SIX_CORES).take(Resources(cpus_per_task=6))  # also the file that the other user has made
        assert rest is not None
        rest.close()


@pytest.mark.parametrize("form", ["link", "no sticky bit", "file"])
def test_an_unsafe_folder_of_all_users_is_not_used(shared: Path, tmp_path: Path, form: str) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere").chmod(0o1777)
    if form == "link":
        shared.symlink_to(tmp_path / "elsewhere")
    elif form == "file":
        shared.touch()
    else:
        shared.mkdir()
        shared.chmod(0o777)
    assert slots.slots_folder() == f"/tmp/launch-{os.getuid()}/slots"


def test_a_lock_that_another_user_has_closed_counts_as_taken(shared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    two = Machine(cores=(0, 1), gpus=())
    slot = Slots(two).take(Resources(cpus_per_task=2))
    assert slot is not None
    slot.close()
    monkeypatch.setattr(os, "access", lambda path, mode: not path.endswith("cpu0.0"))
    slot = Slots(two).take(Resources())
    assert slot is not None and slot.cores == (1,)
    slot.close()


def test_cores_are_those_this_process_may_use() -> None:
    assert set(find_machine(gpus=False).cores) == os.sched_getaffinity(0)


def test_folder_of_the_slots_belongs_to_its_user(own_machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAUNCH_SLOTS", str(own_machine / "new"))
    Slots(SIX_CORES)
    assert stat.S_IMODE((own_machine / "new").stat().st_mode) == 0o700
    monkeypatch.setattr(os, "getuid", lambda: 12345)
    with pytest.raises(StoreError, match="belongs to another user"):
        Slots(SIX_CORES)
