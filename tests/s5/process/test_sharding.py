"""Several devices in one process: a step on all of them equals a step on one device, up to rounding."""

import json
import os
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

from s5.errors import UserError
from s5.process.distributed import ProcessGroup
from s5.process.sharding import Devices
from tests.quickly import QUICKLY
from tests.s5.stop_requests import StopsAt

pytestmark = pytest.mark.slow

# Sums over devices are added in another order than on one: float32 rounding, which Adam's division can enlarge.
TOLERANCE = 2e-5


@pytest.fixture(scope="module")
def answer(tiny: list[str]) -> dict:
    program = Path(__file__).with_name("several_devices.py")
    four = "--xla_force_host_platform_device_count=4"
    flags = {"XLA_FLAGS": f"{four} {QUICKLY}", "JAX_PLATFORMS": "cpu", "NPROC": "1"}
    overrides = [*tiny, "train.checkpoint_every_steps=50"]
    done = subprocess.run(
        [sys.executable, program, *overrides], capture_output=True, text=True, env={**os.environ, **flags}, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "devices was 4 and is 1" in done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("case", ["classification 2", "regression 1"])
def test_four_devices_compute_what_one_does(answer: dict, case: str) -> None:
    # Loss, gradients (as Adam's moments after the first step), batch statistics, parameters after a few steps.
    assert answer[case]["arrays"] < TOLERANCE, answer[case]["worst"]
    assert answer[case]["scores"] < TOLERANCE


@pytest.mark.parametrize("case", ["classification 2", "regression 1"])
def test_devices_exchange_sums_alone(answer: dict, case: str) -> None:
    # An all-gather would be one of activations or inputs: the scan or a product had lost the division of the batch.
    assert answer[case]["transfers"] == ["all-reduce"]


def test_a_run_goes_on_with_another_number_of_devices(answer: dict) -> None:
    one, mixed = answer["one"], answer["mixed"]
    assert [line["step"] for line in mixed] == [line["step"] for line in one]
    for name in ("train/loss", "val/loss"):
        wanted = [line[name] for line in one if name in line]
        assert wanted
        np.testing.assert_allclose([line[name] for line in mixed if name in line], wanted, rtol=1e-4)


def test_more_devices_than_there_are_is_refused() -> None:
    there = jax.local_device_count()
    with pytest.raises(UserError, match=rf"train\.devices=99: this process has {there} device") as caught:
        Devices(99)
    assert caught.value.hint == f"choose 1 to {there}, or omit train.devices to use all"


def of(count: int, processes: ProcessGroup | None = None) -> Devices:
    devices = Devices(1)
    devices.count, devices.processes = count, processes or ProcessGroup()
    return devices


def test_a_batch_that_cannot_be_divided_is_refused() -> None:
    of(4).check_batch(8, 2)
    with pytest.raises(UserError, match=r"train\.batch_size=6 cannot be divided over 4 devices\b") as caught:
        of(4).check_batch(6, 1)
    assert caught.value.hint == "make train.batch_size a multiple of 4, or set train.devices"
    with pytest.raises(UserError, match=r"over 4 devices and train\.microbatches=2\b"):
        of(4).check_batch(12, 2)


def test_an_evaluation_fills_its_batches() -> None:
    assert [of(4).round_up(n) for n in (1, 4, 5)] == [4, 4, 8]


def test_processes_read_every_row_once() -> None:
    rows = [of(4, ProcessGroup(rank=rank, size=2, coordinator="x:1")).local_rows(8) for rank in range(2)]
    assert [list(range(8))[part] for part in rows] == [[0, 1, 2, 3], [4, 5, 6, 7]]


def test_one_process_needs_no_shared_stop_request() -> None:
    stop = StopsAt()
    assert of(4).shared_stop(stop) is stop
