"""Several processes that train one run, on this machine: they start, stop, fail and resume together."""

import signal
import socket
import subprocess
from pathlib import Path

import numpy as np
import pytest

from s5.errors import PeerLost, UserError
from s5.process.distributed import ProcessGroup, is_peer_failure, read_process_group
from s5.run_dir.result import Exit, attempt_dirs, read_lines, read_metrics, read_result
from tests.s5.conftest import Program

pytestmark = pytest.mark.slow

STEP = {"SLURM_STEP_NODELIST": "node[003-005,9],x", "SLURM_STEP_NUM_TASKS": "4", "SLURM_PROCID": "2"}
JAX = {"JAX_NUM_PROCESSES": "2", "JAX_PROCESS_ID": "1", "JAX_COORDINATOR_ADDRESS": "host:1"}

# Two processes add up the sums of a batch in another order than one does.
TOLERANCE = 1e-3


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, ProcessGroup()),
        (
            {"SLURM_JOB_ID": "7", "SLURM_NTASKS": "4", "SLURM_PROCID": "0"},
            ProcessGroup(),
        ),  # a batch script, outside srun
        ({**STEP, "SLURM_STEP_NUM_TASKS": "1"}, ProcessGroup()),
        ({**STEP, "JAX_NUM_PROCESSES": "1"}, ProcessGroup()),
        (JAX, ProcessGroup(rank=1, size=2, coordinator="host:1")),
        ({**STEP, **JAX}, ProcessGroup(rank=1, size=2, coordinator="host:1")),
        (
            {**STEP, "SLURM_JOB_ID": "4097", "SLURM_STEP_ID": "2"},
            ProcessGroup(rank=2, size=4, coordinator="node003:61443"),
        ),
        ({**STEP, "JAX_COORDINATOR_PORT": "99"}, ProcessGroup(rank=2, size=4, coordinator="node003:99")),
        ({**STEP, "SLURM_STEP_NODELIST": "a,b"}, ProcessGroup(rank=2, size=4, coordinator="a:61440")),
    ],
    ids=["nothing", "batch script", "one task", "said to be one", "jax", "both", "step", "port", "list"],
)
def test_the_environment_says_who_this_is(environment: dict[str, str], expected: ProcessGroup) -> None:
    assert read_process_group(environment) == expected


@pytest.mark.parametrize(
    ("visible", "of_node", "share"),
    [("0,1,2,3", "4", (2, 3)), ("0,1", "4", None), ("", "", None), ("0", "1", None)],
    ids=["all seen by both", "bound", "no GPU", "fewer than tasks"],
)
def test_tasks_of_a_node_share_the_gpus_that_all_see(visible: str, of_node: str, share: tuple | None) -> None:
    gpus = {"SLURM_STEP_TASKS_PER_NODE": "2(x2)", "SLURM_LOCALID": "1", "CUDA_VISIBLE_DEVICES": visible}
    assert read_process_group({**STEP, **gpus, "SLURM_GPUS_ON_NODE": of_node}).local_devices == share


@pytest.mark.parametrize("lacks", ["JAX_PROCESS_ID", "JAX_COORDINATOR_ADDRESS"])
def test_half_an_environment_is_refused(lacks: str) -> None:
    with pytest.raises(UserError, match=rf"{lacks}=None") as caught:
        read_process_group({name: value for name, value in JAX.items() if name != lacks})
    assert "JAX_PROCESS_ID to 0 to 1" in (caught.value.hint or "")


def test_a_number_that_is_none_is_refused() -> None:
    with pytest.raises(UserError, match="JAX_NUM_PROCESSES=two"):
        read_process_group({"JAX_NUM_PROCESSES": "two"})


def test_the_loss_of_a_peer_is_told_from_a_bug() -> None:
    assert is_peer_failure(ValueError("UNKNOWN: Gloo all-reduce failed: Connection reset by peer"))
    assert is_peer_failure(PeerLost("x"))
    assert not is_peer_failure(ValueError("shapes differ"))


def start_pair(program, words: list) -> list[subprocess.Popen[str]]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    return [
        program.start(
            *words,
            JAX_NUM_PROCESSES="2",
            JAX_PROCESS_ID=str(rank),
            JAX_COORDINATOR_ADDRESS=address,
            JAX_PLATFORMS="cpu",
        )
        for rank in range(2)
    ]


def ends(pair: list[subprocess.Popen[str]]) -> tuple[list[int], list[str], list[str]]:
    """Return the exit codes of both processes, and what they wrote to stdout and to stderr."""
    said = [process.communicate() for process in pair]
    return [process.returncode for process in pair], [out for out, _ in said], [err for _, err in said]


def test_two_processes_train_one_run(program: Program, tiny: list[str], tmp_path: Path) -> None:
    # Few steps in an epoch: what two processes tell one another in each costs them more than what they compute.
    sizes = ["train.batch_size=256", "train.eval_batch_size=256", "train.checkpoint_every_steps=10"]
    overrides = [*tiny, *sizes, "train.epochs=12", "train.log_every_steps=2", "train.microbatches=2"]
    words = [*overrides, "--run-dir", tmp_path / "pair"]
    assert program.run(*overrides, "--run-dir", tmp_path / "whole")[0] == Exit.OK

    # One of them is asked to stop: both stop at the same step, with one checkpoint.
    pair = start_pair(program, words)
    program.until(pair[0], 2)
    pair[1].send_signal(signal.SIGTERM)
    codes, _, errors = ends(pair)
    assert codes == [Exit.STOPPED, Exit.STOPPED], errors
    assert "another process of the run was asked to stop" in errors[0]
    assert "epoch" not in errors[1]  # process 0 alone speaks

    # One of them dies: the other ends and says so.
    pair = start_pair(program, words)
    program.until(pair[0], 5)
    pair[1].kill()
    codes, _, errors = ends(pair)
    assert codes == [Exit.CRASH, -signal.SIGKILL]
    assert "s5: another process of the run has ended" in errors[0]

    pair = start_pair(program, words)
    codes, outs, errors = ends(pair)
    assert codes == [Exit.OK, Exit.OK], errors
    assert "resuming after step" in errors[0]
    assert outs[1] == ""
    assert [line.split()[0] for line in outs[0].splitlines()] == [
        "test/accuracy", "test/loss", "val/accuracy", "val/loss",
    ]  # fmt: skip
    whole, run_dir = tmp_path / "whole", tmp_path / "pair"
    assert len(attempt_dirs(run_dir)) == 3  # one per pair
    one, two = read_metrics(whole), read_metrics(run_dir)
    assert [line["step"] for line in two] == [line["step"] for line in one]
    for name in ("train/loss", "val/loss"):
        wanted = [line[name] for line in one if name in line]
        np.testing.assert_allclose([line[name] for line in two if name in line], wanted, rtol=TOLERANCE)
    results = [read_result(folder) for folder in (whole, run_dir)]
    assert results[0] is not None
    assert results[1] is not None
    assert results[1]["environment"]["devices"] == 2
    assert abs(results[0]["metrics"]["test/loss"] - results[1]["metrics"]["test/loss"]) < TOLERANCE
    assert read_lines(run_dir / "attempts" / "2" / "metrics.jsonl")[0]["resumed_from"]["attempt"] == 1


def test_typed_again_a_finished_pair_is_done(
    program: Program, finished_run: tuple[Path, str, str], tiny: list[str]
) -> None:
    run_dir, out, _ = finished_run
    codes, outs, errors = ends(start_pair(program, [*tiny, "--run-dir", run_dir]))
    assert codes == [Exit.OK, Exit.OK], errors
    assert outs == [out, ""]
