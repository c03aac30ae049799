"""Measures how long the launcher and other tools take with a real Slurm, on one cluster.

    python -m benchmarks.slurm [--json] [--repeats N] [--recovery-rounds N] [--hydra PYTHON]

submit_1000_s, submit_10000_s   seconds from the start to the end of the command that submits the runs. The partition is
                                closed, so no run starts. `launch` writes 1,000 run directories with resolved configs,
                                `submitit_map_array` 1,000 pickles of a call, `sbatch_array` nothing. `submitit_loop` is
                                the time of 100 calls, multiplied to 1,000. `hydra_submitit` is Hydra's launcher, timed
                                until sbatch has returned, since Hydra then waits for its jobs; for 10,000 it submits
                                one array, which this cluster refuses
submit_client_calls             number of calls of each of Slurm's programs during the submission
status_1000_s                   `launch status NAME` of 1,000 runs in the queue, without a cached queue;
                                `launch_cached`: the same with the cache; `submitit`: `job.state` of 1,000 jobs;
                                `squeue`: `squeue -r`
status_client_calls             number of calls of each of Slurm's programs during the status
overhead_per_run_s              extra seconds of a task that runs `date`, compared with a plain batch script: before the
                                payload (from the script's first line), and after it (until Slurm notes the job's end)
recovery                        what is left of four runs after kills: see `benchmarks.peers`; `python -m
                                benchmarks.recovery --on slurm` plays many more rounds of the launcher

PYTHON is an interpreter with hydra-submitit-launcher, which needs other versions of packages than the launcher. Each
result is the median over the repeats. Each command is a new process. Wrappers on the PATH count the calls.
"""

import json
import os
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from benchmarks.command import run
from benchmarks.launcher import write_sweep
from benchmarks.peers import HYDRA, NOT_INSTALLED, is_installed, recover
from tests.engines.daemon import wait_until
from tests.engines.packages import find
from tests.engines.slurm import Slurm
from tests.engines.slurm_settings import Settings

_LAUNCH = [sys.executable, "-c", "import sys; from launch.cli import main; sys.exit(main())"]
_CLIENTS = ("sbatch", "squeue", "scontrol", "scancel", "sinfo", "sacct", "sacctmgr")
_CLOSED = "closed"
_TASKS = 12  # number of tasks for the overhead
_LOOP, _LOOPED = 100, 1000

_SUBMITIT = """
import sys, time, submitit
executor = submitit.AutoExecutor(folder="submitit", cluster="slurm")
executor.update_parameters(slurm_partition={partition!r}, timeout_min=60, slurm_array_parallelism=1000)
"""
_MAP_ARRAY = (
    _SUBMITIT
    + "for start in range(0, {count}, 1000):\n"
    + "    executor.map_array(abs, range(start, min(start + 1000, {count})))\n"
)
_LOOP_OF_SUBMITS = _SUBMITIT + "for number in range({count}): executor.submit(abs, number)\n"
_STATES = (
    _SUBMITIT
    + "jobs = executor.map_array(abs, range({count}))\nstart = time.perf_counter()\n"
    + "assert len([job.state for job in jobs]) == {count}\nprint(time.perf_counter() - start)\n"
)

_STAMPS = """
import time, submitit
def stamp(number):
    with open(f"{{number}}.out", "w") as file:
        file.write(str(time.time()))
executor = submitit.AutoExecutor(folder="submitit", cluster="slurm")
executor.update_parameters(slurm_partition="main", slurm_array_parallelism=1, timeout_min=60, slurm_setup=[{begin!r}])
executor.map_array(stamp, range({count}))
"""
_HYDRA = """
import hydra
@hydra.main(version_base=None, config_path=".", config_name="config")
def main(config):
    abs(config.seed)
main()
"""


class Bench:
    """A cluster and a folder for measurements; it counts the calls of Slurm's programs.

    Args:
        root: The folder.
        slurm: The cluster.
        hydra: An interpreter in which Hydra's launcher may be installed.
    """

    def __init__(self, root: Path, slurm: Slurm, hydra: str) -> None:
        self.root = root
        self._hydra = hydra
        self._returned = root / "returned"
        self.slurm = slurm
        self._calls = root / "calls"
        wrappers = root / "bin"
        wrappers.mkdir()
        for name in _CLIENTS:
            lines = ["#!/bin/sh", f"echo {name} >> {self._calls}", f'{find(name)} "$@"', "code=$?"]
            if name == "sbatch":
                lines.append(f"date +%s.%N > {self._returned}.new && mv {self._returned}.new {self._returned}")
            (wrappers / name).write_text("\n".join([*lines, "exit $code\n"]))
            (wrappers / name).chmod(0o755)
        own = slurm.environment
        self.environment = {**os.environ, **own, "PATH": f"{wrappers}:{own['PATH']}"}

    def fresh(self) -> Path:
        """Create a new folder with the profiles, and return it."""
        where = Path(tempfile.mkdtemp(dir=self.root))
        (where / "slurm").mkdir()
        for name in (_CLOSED, "main"):
            (where / "slurm" / f"{name}.yaml").write_text(json.dumps({"backend": "slurm", "partition": name}))
        return where

    def wall(self, command: list[str], where: Path) -> tuple[float, dict[str, int], str]:
        """Run a command that must succeed; return its seconds, its calls of Slurm's programs, and its output."""
        self._calls.unlink(missing_ok=True)
        environment = {**self.environment, "LAUNCH_RUNS": str(where / "runs"), "LAUNCH_SLOTS": str(where / "slots")}
        start = time.perf_counter()
        done = subprocess.run(command, cwd=where, env=environment, capture_output=True, text=True, check=False)
        took = time.perf_counter() - start
        if done.returncode:
            raise SystemExit(f"{command} failed:\n{done.stderr}")
        calls = Counter(self._calls.read_text().split()) if self._calls.exists() else Counter()
        return took, dict(calls), done.stdout

    def submit(self, count: int) -> dict[str, Any]:
        """Return, for each tool, the seconds to submit `count` runs and the calls of Slurm's programs."""
        where = self.fresh()
        write_sweep(where, count)
        commands = {
            "launch": [*_LAUNCH, "sweep", "big.yaml", "--on", _CLOSED],
            "submitit_map_array": _python(_MAP_ARRAY, count),
            "sbatch_array": ["sh", "-c", _arrays(count)],
        }
        if count == _LOOPED:  # this alone takes half a minute
            commands["submitit_loop"] = _python(_LOOP_OF_SUBMITS, _LOOP)
        figures: dict[str, Any] = {}
        for name, command in commands.items():
            took, calls, _ = self.wall(command, where)
            times = count / _LOOP if name == "submitit_loop" else 1
            queued = len(self.slurm.jobs("%i"))
            if queued != count / times:
                raise SystemExit(f"{name}: {queued} tasks in the queue")
            figures[name] = (took * times, calls)
            self.slurm.cancel_all()
        if count == _LOOPED:
            figures[HYDRA] = self._submit_by_hydra(count, where), {}
        return figures

    def _submit_by_hydra(self, count: int, where: Path) -> float | str:
        """Return the seconds until sbatch has returned; the command itself would then wait for its jobs."""
        if not is_installed(HYDRA, self._hydra):
            return NOT_INSTALLED
        self._returned.unlink(missing_ok=True)
        (where / "app.py").write_text(_HYDRA)
        (config,) = list((where / "runs" / "big").glob("*-s0-*/config.yaml"))[:1]
        (where / "config.yaml").write_text(config.read_text())
        site = [f"hydra.launcher.{key}={value}" for key, value in {"partition": _CLOSED, "timeout_min": 60}.items()]
        words = ["--multirun", "hydra/launcher=submitit_slurm", *site, "hydra.launcher.array_parallelism=1000"]
        command = [self._hydra, "app.py", *words, f"seed=range({count})"]
        start = time.time()
        with (where / "hydra.log").open("w") as log:
            process = subprocess.Popen(
                command, cwd=where, env=self.environment, stdout=log, stderr=log, start_new_session=True
            )
        wait_until(lambda: self._returned.exists() or process.poll() is not None, 300, poll_s=0.02)
        queued = len(self.slurm.jobs("%i"))
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        if queued != count:
            raise SystemExit(f"{HYDRA}: {queued} tasks in the queue\n{(where / 'hydra.log').read_text()[-2000:]}")
        self.slurm.cancel_all()
        return float(self._returned.read_text()) - start

    def status(self, count: int = 1000) -> dict[str, Any]:
        """Return, for each tool, the seconds to show the states of `count` runs and the calls of Slurm's programs."""
        where = self.fresh()
        write_sweep(where, count)
        self.wall([*_LAUNCH, "sweep", "big.yaml", "--on", _CLOSED], where)
        for file in (where / "runs" / ".slurm").glob("queue-*.json"):
            file.unlink()
        took, calls, out = self.wall([*_LAUNCH, "status", "big"], where)
        if out.count("PENDING") != count:
            raise SystemExit(f"status showed {out.count('PENDING')} runs in the queue")
        again, more, _ = self.wall([*_LAUNCH, "status", "big"], where)
        plain, _, _ = self.wall(["squeue", "-r", "-h"], where)
        self.slurm.cancel_all()
        _, states, out = self.wall(_python(_STATES, count), where)
        self.slurm.cancel_all()
        return {
            "launch": (took, calls),
            "launch_cached": (again, more),
            "squeue": (plain, {"squeue": 1}),
            "submitit": (float(out), {name: n for name, n in states.items() if name != "sbatch"}),
        }

    def overhead(self) -> dict[str, float]:
        """Return the seconds that a task takes before and after its payload, minus those of a plain script."""
        where = self.fresh()
        payload = ["/bin/sh", "-c", "date +%s.%N"]
        begin = f"date +%s.%N > {where}/begin.$SLURM_ARRAY_TASK_ID"
        site = {"backend": "slurm", "partition": "main", "setup": [begin]}
        (where / "slurm" / "main.yaml").write_text(json.dumps(site))
        sweep = {"experiment": "digits/s5", "command": payload, "seeds": _TASKS, "max_parallel": 1}
        (where / "nothing.yaml").write_text(json.dumps(sweep))
        self.wall([*_LAUNCH, "sweep", "nothing.yaml", "--on", "main"], where)
        logs = "runs/nothing/*/attempts/0/log.txt"
        ours = self._edges(where, logs, _read_tasks(where / "runs" / "nothing"))
        where = self.fresh()
        lines = ["#!/bin/bash", f"date +%s.%N > {where}/begin.$SLURM_ARRAY_TASK_ID", f"{payload[0]} -c 'date +%s.%N'"]
        (where / "plain.sh").write_text("\n".join(lines))
        options = ["-p", "main", f"--array=0-{_TASKS - 1}%1", "-o", f"{where}/%a.out"]
        self.wall(["sbatch", *options, "plain.sh"], where)
        plain = self._edges(where, "*.out", {f"{n}.out": n for n in range(_TASKS)})
        where = self.fresh()
        begin = f"date +%s.%N > {where}/begin.$SLURM_ARRAY_TASK_ID"
        self.wall([sys.executable, "-c", _STAMPS.format(begin=begin, count=_TASKS)], where)
        theirs = self._edges(where, "*.out", {f"{n}.out": n for n in range(_TASKS)})
        return {
            "before_s": ours[0] - plain[0],
            "after_s": ours[1] - plain[1],
            "launch": sum(ours) - sum(plain),
            "submitit_map_array": sum(theirs) - sum(plain),
        }

    def _edges(self, where: Path, outputs: str, tasks: dict[str, int]) -> tuple[float, float]:
        """Return the median seconds before and after the payload, for an array whose tasks run one by one."""
        wait_until(lambda: not self.slurm.jobs(), 300, poll_s=0.1)
        log = (self.slurm.folder / "log" / "slurmctld.log").read_text()
        ends = re.findall(r"\[(\S+)\] _job_complete: JobId=\d+_(\d+)\(\d+\) done", log)
        last = {int(task): datetime.fromisoformat(stamp).timestamp() for stamp, task in ends}
        before, after = [], []
        for file in where.glob(outputs):
            task = tasks[file.name if file.name in tasks else file.parents[2].name]
            at = float(file.read_text())
            before.append(at - float((where / f"begin.{task}").read_text()))
            after.append(last[task] - at)
        if len(before) != _TASKS:
            raise SystemExit(f"{len(before)} payloads ran instead of {_TASKS}")
        return statistics.median(before), statistics.median(after)


def _read_tasks(sweep: Path) -> dict[str, int]:
    """Return the array index of each run."""
    (record,) = (json.loads(file.read_text()) for file in (sweep / ".slurm").glob("*.json"))
    return {run_id: index for index, (run_id, *_) in enumerate(record["tasks"])}


def _python(text: str, count: int) -> list[str]:
    return [sys.executable, "-c", text.format(partition=_CLOSED, count=count)]


def _arrays(count: int) -> str:
    sizes = [min(2000, count - start) for start in range(0, count, 2000)]
    return " && ".join(f"sbatch -p {_CLOSED} --array=0-{size - 1} -o /dev/null --wrap true" for size in sizes)


@contextmanager
def cluster() -> Iterator[Slurm]:
    """Start a cluster with room for 50,000 jobs and a partition in which nothing starts."""
    closed = f"PartitionName={_CLOSED} Nodes=ALL MaxTime=7-0 DefaultTime=60 State=DOWN"
    with tempfile.TemporaryDirectory(prefix="slurm-", dir="/tmp") as folder:
        slurm = Slurm(Path(folder), Settings(max_array_size=2001, max_job_count=50_000, extra=(closed,)))
        slurm.up()
        try:
            yield slurm
        finally:
            slurm.down()


def measure(repeats: int, recovery_rounds: int, hydra: str) -> dict[str, Any]:
    """Return all results."""
    with cluster() as slurm, tempfile.TemporaryDirectory(prefix="launch-benchmark-") as folder:
        bench = Bench(Path(folder), slurm, hydra)
        bench.submit(100)  # the first process compiles the bytecode
        thousand = [bench.submit(1000) for _ in range(repeats)]
        many = [bench.submit(10_000) for _ in range(max(1, repeats // 3))]
        asked = [bench.status() for _ in range(repeats)]
        overheads = [bench.overhead() for _ in range(max(1, repeats // 3))]
        recovered = recover(slurm, recovery_rounds, 0, hydra) if recovery_rounds else {}
        version = slurm.call("sbatch", "--version").strip()
    return {
        "submit_1000_s": _seconds(thousand),
        "submit_10000_s": _seconds(many) | {HYDRA: "refused: one array of 10,000"},
        "submit_client_calls": {"1000": thousand[0]["launch"][1], "10000": many[0]["launch"][1]},
        "status_1000_s": _seconds(asked),
        "status_client_calls": {name: calls for name, (_, calls) in asked[0].items()},
        "overhead_per_run_s": {
            key: round(statistics.median(each[key] for each in overheads), 4) for key in overheads[0]
        },
        "recovery": recovered,
        "slurm": version,
    }


def _seconds(rounds: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the median seconds of each tool, or the text that says why there is no number."""
    return {
        name: first
        if isinstance(first := rounds[0][name][0], str)
        else round(statistics.median(each[name][0] for each in rounds), 4)
        for name in rounds[0]
    }


if __name__ == "__main__":
    run("benchmarks.slurm", __doc__, measure, {"repeats": 3, "recovery_rounds": 5, "hydra": sys.executable})
