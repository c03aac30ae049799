"""The queue gives out slices of GPUs, and waits for GPUs that other programs use."""

import json
import os
from pathlib import Path

import pytest

from launch.backends.local.backend import LocalBackend
from launch.specs.resources import Resources
from launch.store.attempts import attempt_path, read_attempt
from launch.store.state import State
from launch.store.store import Store
from launch.store.view import RunView
from tests.launch.backends.local.test_local import interval, most_at_once
from tests.launch.backends.local.test_slots import fake_nvidia_smi
from tests.launch.command_sweep import LOCAL, python, submitted


def test_slices_of_a_gpu_are_given_out_by_their_uuids(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uuids = ["MIG-0a0a0a0a-0001", "MIG-0a0a0a0a-0002"]
    fake_nvidia_smi(tmp_path / "bin", 1, slices={0: uuids})
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    journal = tmp_path / "journal"
    submission = submitted(store, [interval(0.1, journal)] * 4, resources=Resources(gpus_per_node=1))
    LocalBackend(LOCAL).run(store.sweep("work").state(), submission.generation, None)
    lines = [json.loads(line) for line in journal.read_text().splitlines()]
    assert len(lines) == 4 and {line[2] for line in lines} == set(uuids)
    assert all(most_at_once([line for line in lines if line[2] == uuid]) == 1 for uuid in uuids)
    records = [read_attempt(attempt_path(view.run_dir, 0)) for view in submission.views]
    assert {record.devices for record in records} == {(uuid,) for uuid in uuids}


def test_a_gpu_in_use_is_named_to_those_who_wait(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_nvidia_smi(tmp_path / "bin", 1)
    memory = tmp_path / "bin" / "memory"
    memory.write_text("0, GPU-00000000-aaaa, 70000, 81559\n")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    said: list[str | None] = []

    def on_change(views: list[RunView]) -> None:
        said.append(views[0].message)
        memory.write_text("0, GPU-00000000-aaaa, 10, 81559\n")

    submission = submitted(store, [python("pass")], resources=Resources(gpus_per_node=1))
    LocalBackend(LOCAL).run(store.sweep("work").state(), submission.generation, on_change)
    assert said[0] is not None and said[0].startswith("waits for 1 GPU; GPU 0: 70,000 of 81,559 MiB of its memory")
    assert store.sweep("work").views()[0].state is State.SUCCEEDED
