"""The GPUs of this machine as `nvidia-smi` lists them: whole GPUs by their numbers, slices (MIG devices) by UUID."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass

from launch.specs.gpu import Gpu

_TIMEOUT_S = 30
_LINE = re.compile(r"^GPU (\d+): .*\(UUID: (GPU-[^)]+)\)", re.MULTILINE)
_SLICE = re.compile(r"\(UUID: (MIG-[^)]+)\)")
# A GPU that has a display needs some memory for it.
_MEMORY_IN_USE = 0.1


@dataclass(frozen=True, kw_only=True)
class _Card:
    number: int
    uuid: str
    slices: tuple[str, ...]

    @property
    def gpus(self) -> tuple[Gpu, ...]:
        return self.slices or (self.number,)


def find_gpus() -> tuple[Gpu, ...]:
    """Return the GPUs that this process may use: those that `nvidia-smi` lists and `CUDA_VISIBLE_DEVICES` allows.

    A GPU that is divided into slices counts as its slices.
    """
    cards = _cards()
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is None:
        return tuple(gpu for card in cards for gpu in card.gpus)
    chosen = (gpu for word in visible.split(",") for gpu in _named(word.strip(), cards))
    return tuple(dict.fromkeys(chosen))


def _named(word: str, cards: Sequence[_Card]) -> tuple[Gpu, ...]:
    """Return the GPUs that a word of `CUDA_VISIBLE_DEVICES` names: a number, a UUID, or the beginning of one UUID."""
    if word.isdigit():
        return next((card.gpus for card in cards if card.number == int(word)), ())
    found = [card.gpus for card in cards if card.uuid.startswith(word)]
    found += [(one,) for card in cards for one in card.slices if one.startswith(word)]
    exact = [gpus for gpus in found if gpus == (word,)]
    return (exact or found)[0] if word and len(exact or found) == 1 else ()


def _cards() -> list[_Card]:
    try:
        text = _ask("-L")
    except (OSError, subprocess.TimeoutExpired):
        numbers = sorted(int(name[6:]) for name in os.listdir("/dev") if re.fullmatch(r"nvidia\d+", name))
        return [_Card(number=number, uuid="", slices=()) for number in numbers]
    found = list(_LINE.finditer(text))
    ends = [match.start() for match in found[1:]] + [len(text)]
    cards = [
        _Card(number=int(match[1]), uuid=match[2], slices=tuple(_SLICE.findall(text, match.end(), end)))
        for match, end in zip(found, ends, strict=True)
    ]
    return sorted(cards, key=lambda card: card.number)


def describe_use() -> dict[int, str]:
    """Return the current use of each GPU by its number: a process, or memory. GPUs without use are left out.

    A process that has just ended does not count, nor does a display.
    """
    try:
        memory = _ask("--query-gpu=index,uuid,memory.used,memory.total", "--format=csv,noheader,nounits")
        processes = _ask("--query-compute-apps=gpu_uuid,pid,process_name", "--format=csv,noheader,nounits")
    except (OSError, subprocess.TimeoutExpired):
        return {}
    numbers: dict[str, int] = {}
    use: dict[int, str] = {}
    for index, uuid, used, total in _rows(memory, 4):
        if index.isdigit():
            numbers[uuid] = int(index)
            if used.isdigit() and total.isdigit() and int(used) > _MEMORY_IN_USE * int(total):
                use[int(index)] = f"{int(used):,} of {int(total):,} MiB of its memory are in use"
    for uuid, pid, name in _rows(processes, 3):
        if uuid in numbers and pid.isdigit() and os.path.exists(f"/proc/{pid}"):
            use[numbers[uuid]] = f"process {pid} ({os.path.basename(name)}{_owner(pid)}) uses it"
    return use


def _owner(pid: str) -> str:
    import pwd

    try:
        return f" of {pwd.getpwuid(os.stat(f'/proc/{pid}').st_uid).pw_name}"
    except (OSError, KeyError):
        return ""


def _rows(text: str, columns: int) -> list[list[str]]:
    rows = [[word.strip() for word in line.split(",", columns - 1)] for line in text.splitlines()]
    return [row for row in rows if len(row) == columns]


def _ask(*words: str) -> str:
    command = ["nvidia-smi", *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False).stdout
