"""Trains one run: claims an attempt, trains, publishes the result. JAX is imported only when the training starts."""

import os
import traceback
from pathlib import Path
from typing import Any

from s5.config.identity import to_dict
from s5.config.plugins import check_content
from s5.config.run import Config
from s5.errors import NonFiniteLoss, PeerLost, Stopped, say
from s5.process import device
from s5.process.distributed import ProcessGroup, exit_now, is_peer_failure, read_process_group
from s5.process.shutdown import StopRequest
from s5.run_dir.attempts import claim_attempt
from s5.run_dir.result import Exit, publish, read_result
from s5.training.exit_code import explain
from s5.training.metrics_writer import MetricsListener


def train_run(
    config: Config, run_dir: Path, stop: StopRequest, on_metrics: MetricsListener | None = None
) -> dict[str, Any] | None:
    """Train a run in its next attempt and publish the result; do nothing if the run has a result.

    Args:
        config: The run's config.
        run_dir: The run directory, with its `config.yaml`.
        stop: Tells when to stop.
        on_metrics: Called for every line of metrics.

    Returns:
        The final metrics; None in a process other than the run's first.

    Raises:
        UserError: If another process is training the run, or the config, the data or the device cannot be used.
        Stopped: On request; a checkpoint is written.
        NonFiniteLoss: If the loss is not finite.
    """
    processes = read_process_group(os.environ)
    result = read_result(run_dir)
    if not processes.is_main:
        if result is None:
            train_attempt(config, run_dir, run_dir, stop, processes)
        return None
    if result is not None:
        say(f"s5: {run_dir}: already done")
        return result["metrics"]
    with claim_attempt(run_dir) as attempt_dir:
        say(f"s5: {attempt_dir}")
        train_attempt(config, run_dir, attempt_dir, stop, processes, on_metrics)
        publish(attempt_dir)
    return (read_result(run_dir) or {})["metrics"]


def train_attempt(
    config: Config,
    run_dir: Path,
    attempt_dir: Path,
    stop: StopRequest,
    processes: ProcessGroup,
    on_metrics: MetricsListener | None = None,
) -> None:
    """Train in a claimed attempt.

    If the run has several processes and this one fails, it ends at once: a normal exit would wait for the others.

    Args:
        config: The run's config.
        run_dir: The run directory.
        attempt_dir: The attempt's folder; unused in a process other than the run's first.
        stop: Tells when to stop.
        processes: The processes of the run.
        on_metrics: Called for every line of metrics.
    """
    check_content(to_dict(config))
    device.select_platform(config.platform)
    from s5.training.loop import train

    try:
        train(config, run_dir, attempt_dir, stop, processes, on_metrics)
    except (Stopped, NonFiniteLoss):
        raise
    except Exception as error:
        if processes.is_single:
            raise
        if is_peer_failure(error):
            error = PeerLost(f"another process of the run has ended ({str(error).splitlines()[0]})")
        code = explain(error)
        if code is None:
            traceback.print_exc()
        exit_now(Exit.CRASH if code is None else code)
