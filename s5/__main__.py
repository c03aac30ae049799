"""python -m s5: train, resume and evaluate one run, without the launcher.

usage:
  python -m s5 experiment=NAME|pipeline=NAME [key=value ...] [--run-dir DIR]
      Train one run and print its result. Repeat the command to resume a run that stopped.
      A recipe (experiment) has data, model and optimizer; a pipeline has only data, and how a model reads them.
      DIR is the run directory, by default $LAUNCH_RUNS (or ./runs) /_single/<recipe>-s<seed>-<hash>.
  python -m s5 train RUN_DIR
      Train the run with the config.yaml in RUN_DIR. A supervisor names the attempt in LAUNCH_ATTEMPT_DIR.
  python -m s5 extend RUN_DIR train.epochs=N [key=value ...] [--run-dir DIR]
      Continue a finished run for more epochs, as another run, from its last checkpoint. RUN_DIR stays as it is.
  python -m s5 evaluate RUN_DIR [data.root=FOLDER] [--split SPLIT] [--data NAME] [--step-rescale X] [--json]
      Score a run's best model; SPLIT is train, val or test (default). FOLDER has the run's data now, if they moved.
  python -m s5 export RUN_DIR [--weights FILE.safetensors] [--program FILE] [--platforms cpu,cuda]
      Write a run's best model: its weights, or the whole model as a program for jax.export.
  python -m s5 models [FAMILY ...] [--plugins PLUGIN] [--json]
      List the model families; with FAMILY, its paper, its limits, its recipes, and every key with default and values.
  python -m s5 --help

Examples:
  python -m s5 experiment=digits/s5 seed=1 model.n_layers=3
  python -m s5 pipeline=mnist model=s4 model.n_layers=3 model.d_model=128
  python -m s5 evaluate runs/_single/digits-s5-s1-0123abcd --split val
  python -m s5 export runs/_single/digits-s5-s1-0123abcd --weights digits.safetensors

exit codes: 0 done, 2 an error in the command, config or data, 3 the loss became NaN, 4 out of memory,
  75 stopped on request with a checkpoint (repeat the command to resume), 1 anything else
"""

import argparse
import json
import math
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from s5.catalog import check_available, check_version, dataset_info
from s5.errors import UserError, did_you_mean
from s5.process import device
from s5.process.distributed import read_process_group
from s5.process.flags import drop_settings
from s5.process.huge_pages import restart_with_huge_pages
from s5.process.shutdown import LocalStopRequest
from s5.run_dir.result import ATTEMPT_DIR_VARIABLE, RESULT, Exit
from s5.training.exit_code import explain
from s5.training.run import train_attempt, train_run


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command line.

    Args:
        argv: The arguments; None for those of the process.

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
        code = explain(error)
        if code is None:
            raise
        return code
    return Exit.OK


def _train_verb(words: Sequence[str]) -> None:
    """Run the command `train RUN_DIR`."""
    stop = LocalStopRequest.from_environment()
    parser = argparse.ArgumentParser(prog="python -m s5 train")
    parser.add_argument("run_dir", type=Path)
    run_dir = parser.parse_args(words).run_dir.absolute()
    from s5.config.config_file import check_identity, read_config

    config = read_config(run_dir)
    check_identity(run_dir, config)
    attempt = os.environ.get(ATTEMPT_DIR_VARIABLE)
    if attempt:
        train_attempt(config, run_dir, Path(attempt), stop, read_process_group(os.environ))
    else:
        _print(train_run(config, run_dir, stop))


def _single_verb(words: Sequence[str]) -> None:
    """Run the command without a verb: `experiment=NAME key=value ...`."""
    stop = LocalStopRequest.from_environment()
    if several := {"-m", "--multirun"} & set(words):
        raise UserError(
            f"{several.pop()}: this command trains one run",
            hint="`launch sweep FILE` trains many: `grid: {optim.lr: [0.001, 0.002]}` and `seeds: 3` in FILE",
        )
    if any(word.partition("=")[0] in ("--cfg", "-c") for word in words):
        raise UserError(
            "--cfg: this command trains a run; it does not print configurations",
            hint="`launch show EXPERIMENT key=value …` prints the whole configuration",
        )
    parser = argparse.ArgumentParser(prog="python -m s5", usage="python -m s5 experiment=NAME [key=value ...]")
    parser.add_argument("overrides", nargs="*")
    parser.add_argument("--run-dir", type=Path)
    asked = parser.parse_args(words)
    _check_word(words[0])
    from s5.config.compose import compose
    from s5.training.single_run import default_run_dir, prepare_run_dir

    config = compose(asked.overrides)
    run_dir = (asked.run_dir or default_run_dir(config)).absolute()
    if not (run_dir / RESULT).exists():
        check_version(dataset_info(config.data.name), config.data.version)
        check_available(config.data.name, config.data.root, config.data.cache)
    if read_process_group(os.environ).is_main:
        prepare_run_dir(run_dir, config)
    _print(train_run(config, run_dir, stop))


def _extend_verb(words: Sequence[str]) -> None:
    """Run the command `extend RUN_DIR train.epochs=N`."""
    stop = LocalStopRequest.from_environment()
    parser = argparse.ArgumentParser(prog="python -m s5 extend")
    parser.add_argument("source", metavar="RUN_DIR", type=Path, help="the finished run")
    parser.add_argument("overrides", nargs="+", metavar="key=value", help="train.epochs=N, and others")
    parser.add_argument("--run-dir", type=Path, metavar="DIR", help="the directory of the longer run")
    asked = parser.parse_args(words)
    from s5.config.extension import extend_config
    from s5.training.single_run import default_run_dir, prepare_run_dir

    config = extend_config(asked.source, asked.overrides)
    run_dir = (asked.run_dir or default_run_dir(config)).absolute()
    if read_process_group(os.environ).is_main:
        prepare_run_dir(run_dir, config)
    _print(train_run(config, run_dir, stop))


def _check_word(word: str) -> None:
    """Raise if the first word is neither an override nor an option."""
    if "=" not in word and not word.startswith(("-", "~")):
        raise UserError(
            f"{word}: neither a command nor key=value{did_you_mean(word, _VERBS)}",
            hint=f"the commands are {', '.join(_VERBS)}; to train, start with experiment=NAME",
        )


def _evaluate_verb(words: Sequence[str]) -> None:
    """Run the command `evaluate RUN_DIR`."""
    parser = argparse.ArgumentParser(prog="python -m s5 evaluate")
    parser.add_argument("run_dir", type=Path)
    parser.add_argument("root", metavar="data.root=FOLDER", nargs="?", help="the folder of the data, if they moved")
    parser.add_argument("--split", default="test")
    parser.add_argument("--data", metavar="NAME", help="a data set other than the run's")
    parser.add_argument(
        "--step-rescale",
        type=float,
        default=1.0,
        metavar="X",
        help="the sampling interval of NAME divided by that of the run's data",
    )
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args(words)
    if not 0 < asked.step_rescale < math.inf:
        parser.error(f"--step-rescale {asked.step_rescale}: must be a finite factor above 0")
    key, _, root = (asked.root or "data.root=").partition("=")
    if key != "data.root" or (asked.root and not root):
        parser.error(
            f"{asked.root}: only data.root=FOLDER can be named here, as the run is evaluated as it was trained"
        )
    from s5.config.config_file import read_config

    config = read_config(asked.run_dir)
    device.select_platform(config.platform)
    device.start(config.platform)
    from s5.training.stored_run import evaluate_run

    folder = root.strip("'\"") or None
    scores = evaluate_run(
        asked.run_dir, asked.split, data=asked.data, step_rescale=asked.step_rescale, data_root=folder
    )
    _print(scores, as_json=asked.json)


def _export_verb(words: Sequence[str]) -> None:
    """Run the command `export RUN_DIR`."""
    parser = argparse.ArgumentParser(prog="python -m s5 export")
    parser.add_argument("run_dir", type=Path)
    parser.add_argument("--weights", metavar="FILE", type=Path, help="write the weights as safetensors")
    parser.add_argument("--program", metavar="FILE", type=Path, help="write the model as a program of jax.export")
    parser.add_argument(
        "--platforms", default="cpu", help="platforms that can run the program, with commas: cpu, cuda, tpu, rocm"
    )
    asked = parser.parse_args(words)
    if asked.weights is None and asked.program is None:
        parser.error("name a file: --weights FILE, --program FILE or both")
    from s5.config.config_file import read_config

    device.select_platform(read_config(asked.run_dir).platform)
    from s5.training.export import save_run_program, save_run_weights
    from s5.training.stored_run import load_run

    run = load_run(asked.run_dir)
    if asked.weights is not None:
        save_run_weights(run, asked.weights)
    if asked.program is not None:
        save_run_program(run, asked.program, platforms=tuple(asked.platforms.split(",")))


def _models_verb(words: Sequence[str]) -> None:
    """Run the command `models`."""
    parser = argparse.ArgumentParser(prog="python -m s5 models")
    parser.add_argument("families", metavar="FAMILY", nargs="*", help="a model family; default: a list of all")
    parser.add_argument("--plugins", metavar="PLUGIN", action="append", default=[], help="a folder or entry point")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args(words)
    from s5.config.family_info import family_infos, family_lines, overview_rows
    from s5.config.plugins import load_plugins, plugin_folder

    load_plugins([str(plugin_folder(place)) for place in asked.plugins])
    infos = family_infos(asked.families)
    if asked.json:
        text = json.dumps([info.as_json() for info in infos], indent=2, ensure_ascii=False)
    elif asked.families:
        text = "\n\n".join("\n".join(family_lines(info)) for info in infos)
    else:
        rows = overview_rows(infos)
        wide = [max(map(len, column)) for column in zip(*rows, strict=True)]
        cells = ([cell.ljust(n) for cell, n in zip(row, wide, strict=True)] for row in rows)
        text = "\n".join("  ".join(row).rstrip() for row in cells)
    sys.stdout.write(text + "\n")


def _print(metrics: dict[str, Any] | None, *, as_json: bool = False) -> None:
    """Print metrics, one per line or as JSON; without JSON print nothing for None."""
    if as_json:
        sys.stdout.write(json.dumps(metrics, sort_keys=True) + "\n")
        return
    for name, value in sorted((metrics or {}).items()):
        sys.stdout.write(f"{name:16} {value:.6g}\n" if value is not None else f"{name:16} —\n")


_VERBS = {
    "train": _train_verb,
    "extend": _extend_verb,
    "evaluate": _evaluate_verb,
    "export": _export_verb,
    "models": _models_verb,
}


if __name__ == "__main__":
    restart_with_huge_pages()
    drop_settings(os.environ)
    sys.exit(main())
