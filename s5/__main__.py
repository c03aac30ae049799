"""python -m s5: train, go on with, and evaluate one run, without the launcher.

usage:
  python -m s5 experiment=NAME [key=value ...] [--run-dir DIR]
      Train one run. Typed again, it goes on where it stopped; when it is done, it prints its result.
      The run lies in DIR, by default in $LAUNCH_RUNS (or ./runs) /_single/<recipe>-s<seed>-<hash>.
  python -m s5 train RUN_DIR
      Train the run whose config.yaml lies in RUN_DIR. A supervisor names the attempt in LAUNCH_ATTEMPT_DIR.
  python -m s5 evaluate RUN_DIR [--split SPLIT] [--data NAME] [--step-rescale X] [--json]
      Score a run's best model; SPLIT is train, val or test (default).
  python -m s5 --help

Examples:
  python -m s5 experiment=digits/s5 seed=1 model.n_layers=3
  python -m s5 evaluate runs/_single/digits-s5-s1-0123abcd --split val

exit codes: 0 done, 2 a mistake in what was asked, 3 the loss became NaN, 4 out of memory,
  75 stopped on request with a checkpoint (type it again to go on), 1 anything else
"""

import argparse
import errno
import json
import math
import os
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from s5.catalog import DataError, check_available, check_version, dataset_info
from s5.config.identity import science_hash, to_dict
from s5.config.run import Config
from s5.errors import NonFiniteLoss, PeerLost, Stopped, UserError, did_you_mean, say
from s5.process import device
from s5.process.distributed import ProcessGroup, exit_now, is_peer_failure, read_process_group
from s5.process.huge_pages import restart_with_huge_pages
from s5.process.shutdown import LocalStopRequest
from s5.run_dir.result import (
    ATTEMPT_DIR_VARIABLE,
    CONFIG,
    RESULT,
    Exit,
    ResultError,
    publish,
    read_result,
    write_atomic,
)

_EXTRA = ("jax", "jaxlib", "flax", "optax", "orbax", "grain", "numpy", "jaxtyping")
_DISK_TROUBLE = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM}


def main(argv: Sequence[str] | None = None) -> int:
    """Do what the command line says.

    Args:
        argv: The arguments; None for the process's own.

    Returns:
        The exit code.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    if not words or words[0] in ("-h", "--help", "help"):
        sys.stdout.write((__doc__ or "") + "\n")
        return Exit.OK if words else Exit.USER_ERROR
    try:
        _VERBS[words[0]](words[1:]) if words[0] in _VERBS else _single_verb(words)
    except Exception as error:
        code = _explain(error)
        if code is None:
            raise
        return code
    return Exit.OK


def _explain(error: Exception) -> Exit | None:
    """Say what an exception means to a person and return its exit code; None for a bug, whose traceback is wanted."""
    match error:
        case Stopped():
            return Exit.STOPPED
        case NonFiniteLoss():
            say(f"s5: {error}\nhint: lower optim.lr and optim.ssm_lr, or warm up for longer")
            return Exit.NAN
        case PeerLost():
            say(f"s5: {error}\nhint: start all its processes again: the run goes on from its last checkpoint")
            return Exit.CRASH
        case UserError() | DataError():
            say(f"s5: {error.message}" + (f"\nhint: {error.hint}" if error.hint else ""))
            return Exit.USER_ERROR
        case ResultError():
            say(f"s5: {error}\nhint: move that file away; the run then goes on from its last checkpoint")
            return Exit.USER_ERROR
        case ModuleNotFoundError() if (error.name or "").split(".")[0] in _EXTRA:
            say(f"s5: {error.name} is not installed\nhint: pip install 's5-launch[cpu]'")
            return Exit.USER_ERROR
        case OSError() if error.errno in _DISK_TROUBLE:
            say(f"s5: {error.filename or 'the run directory'}: {error.strerror}\nhint: make room or give the rights")
            return Exit.USER_ERROR
    text = str(error)
    if "No space left on device" in text:
        say("s5: no space left on the device that holds the run directory\nhint: make room; then type it again")
        return Exit.USER_ERROR
    if isinstance(error, MemoryError) or "RESOURCE_EXHAUSTED" in text:
        say(f"s5: out of memory: {text.splitlines()[0] if text else 'the host refused an allocation'}")
        say("hint: lower train.batch_size or train.eval_batch_size, or take a larger device")
        return Exit.OUT_OF_MEMORY
    return None


def _train_verb(words: Sequence[str]) -> None:
    """`train RUN_DIR`."""
    stop = LocalStopRequest.from_environment()
    parser = argparse.ArgumentParser(prog="python -m s5 train")
    parser.add_argument("run_dir", type=Path)
    run_dir = parser.parse_args(words).run_dir.absolute()
    from s5.config.compose import check_identity, read_config

    config = read_config(run_dir)
    check_identity(run_dir, config)
    attempt = os.environ.get(ATTEMPT_DIR_VARIABLE)
    if attempt:
        _train(config, run_dir, Path(attempt), stop, read_process_group(os.environ))
    else:
        _train_claimed(config, run_dir, stop)


def _single_verb(words: Sequence[str]) -> None:
    """`experiment=NAME key=value ...`."""
    stop = LocalStopRequest.from_environment()
    parser = argparse.ArgumentParser(prog="python -m s5", usage="python -m s5 experiment=NAME [key=value ...]")
    parser.add_argument("overrides", nargs="*")
    parser.add_argument("--run-dir", type=Path)
    asked = parser.parse_args(words)
    _refuse_word(words[0])
    from s5.config.compose import compose

    config = compose(asked.overrides)
    run_dir = (asked.run_dir or _default_run_dir(config)).absolute()
    if not (run_dir / RESULT).exists():
        check_version(dataset_info(config.data.name), config.data.version)
        check_available(config.data.name, config.data.root, config.data.cache)
    if read_process_group(os.environ).is_main:
        _prepare(run_dir, config)
    _train_claimed(config, run_dir, stop)


def _refuse_word(word: str) -> None:
    """Raise where the first word is neither an override nor an option."""
    if "=" not in word and not word.startswith(("-", "~")):
        raise UserError(
            f"{word}: neither a command nor key=value{did_you_mean(word, _VERBS)}",
            hint=f"the commands are {', '.join(_VERBS)}; to train, begin with experiment=NAME",
        )


def _default_run_dir(config: Config) -> Path:
    recipe = (config.recipe or config.data.name).replace("/", "-")
    name = f"{recipe}-s{config.seed}-{science_hash(to_dict(config))[:8]}"
    return Path(os.environ.get("LAUNCH_RUNS") or "runs") / "_single" / name


def _prepare(run_dir: Path, config: Config) -> None:
    """Make the run directory, or find it made for the same science."""
    from s5.config.compose import config_text, read_config

    if not (run_dir / CONFIG).exists():
        try:
            run_dir.mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError) as error:
            raise UserError(
                f"{run_dir}: a file stands where a folder must be",
                hint="move it away, or move the runs with LAUNCH_RUNS or --run-dir",
            ) from error
        write_atomic(run_dir / CONFIG, config_text(config))
    elif science_hash(to_dict(read_config(run_dir))) != science_hash(to_dict(config)):
        raise UserError(f"{run_dir} holds a run with another config", hint="choose another --run-dir, or leave it out")


def _train_claimed(config: Config, run_dir: Path, stop: LocalStopRequest) -> None:
    """Claim an attempt, train, publish; print the result of a run that is done."""
    from s5.run_dir.attempts import claim_attempt

    processes = read_process_group(os.environ)
    if not processes.is_main:
        if read_result(run_dir) is None:
            _train(config, run_dir, run_dir, stop, processes)
        return
    if read_result(run_dir) is None:
        with claim_attempt(run_dir) as attempt_dir:
            say(f"s5: {attempt_dir}")
            _train(config, run_dir, attempt_dir, stop, processes)
            publish(attempt_dir)
    else:
        say(f"s5: {run_dir}: done before")
    _print((read_result(run_dir) or {})["metrics"], as_json=False)


def _train(config: Config, run_dir: Path, attempt_dir: Path, stop: LocalStopRequest, processes: ProcessGroup) -> None:
    """Train. Where a process of several fails on its own, it ends here: no orderly end waits for the others."""
    device.select_platform(config.platform)
    from s5.training.loop import train

    try:
        train(config, run_dir, attempt_dir, stop, processes)
    except (Stopped, NonFiniteLoss):
        raise
    except Exception as error:
        if processes.is_single:
            raise
        if is_peer_failure(error):
            error = PeerLost(f"another process of the run is gone ({str(error).splitlines()[0]})")
        code = _explain(error)
        if code is None:
            traceback.print_exc()
        exit_now(Exit.CRASH if code is None else code)


def _evaluate_verb(words: Sequence[str]) -> None:
    """`evaluate RUN_DIR`."""
    parser = argparse.ArgumentParser(prog="python -m s5 evaluate")
    parser.add_argument("run_dir", type=Path)
    parser.add_argument("--split", default="test")
    parser.add_argument("--data", metavar="NAME", help="another data set than the run's")
    parser.add_argument("--step-rescale", type=float, default=1.0, metavar="X", help="its interval over the run's")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args(words)
    if not 0 < asked.step_rescale < math.inf:
        parser.error(f"--step-rescale {asked.step_rescale}: a factor above 0 is needed")
    from s5.config.compose import read_config

    config = read_config(asked.run_dir)
    device.select_platform(config.platform)
    device.start(config.platform)
    from s5.training.evaluate import evaluate_run

    scores = evaluate_run(asked.run_dir, asked.split, data=asked.data, step_rescale=asked.step_rescale)
    _print(scores, as_json=asked.json)


def _print(metrics: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        sys.stdout.write(json.dumps(metrics, sort_keys=True) + "\n")
        return
    for name, value in sorted(metrics.items()):
        sys.stdout.write(f"{name:16} {value:.6g}\n" if value is not None else f"{name:16} —\n")


_VERBS = {"train": _train_verb, "evaluate": _evaluate_verb}


if __name__ == "__main__":
    restart_with_huge_pages()
    sys.exit(main())
