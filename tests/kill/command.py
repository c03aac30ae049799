"""The command of the harness submits a sweep: `python command.py ROOT RUNS STEPS STEP_S RETRIES PROFILE FIRST`.

If FIRST is not 0, all other runs come after the first FIRST runs.
"""

import sys
from dataclasses import replace
from pathlib import Path


def sweep_of(root: Path) -> str:
    """Return the name of a harness's sweep. It is unique, since a killed slurmctld may restore jobs of other sweeps."""
    return f"kill-{root.name}"


def main() -> int:
    """Submit the sweep and execute it, or leave it to the scheduler.

    Returns:
        0 if every run has succeeded, or if the scheduler has all of them.
    """
    sys.path[0] = str(Path(__file__).parents[2])
    from launch.actions.drive import run_queue
    from launch.backends.base import SchedulerBackend
    from launch.backends.choose import find_backend
    from launch.errors import LaunchError
    from launch.profiles.profile import load_profile
    from launch.store.state import State
    from launch.store.store import Store
    from launch.sweepfile.dependencies import RunDependencies
    from launch.sweepfile.sweep import Sweep
    from tests.launch.command_sweep import code_under, command_runs, submit_runs

    root, runs, steps, step_s = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4]
    payload = str(Path(__file__).with_name("payload.py"))
    try:
        profile = load_profile(sys.argv[6], [root / "profiles"])
    except LaunchError as error:
        sys.stderr.write(f"{error.message}\n")
        return error.exit_code
    python = sys.executable if profile.runtime == "bare" else "python3"  # an image has its own
    composed = command_runs([(python, "-S", payload, str(root / "journal.jsonl"), steps, step_s)] * runs)
    if first := int(sys.argv[7]):
        turns = [
            RunDependencies(provides=("first",)) if number < first else RunDependencies(requires=("first",))
            for number in range(runs)
        ]
        composed = [
            replace(run, spec=replace(run.spec, dependencies=t)) for run, t in zip(composed, turns, strict=True)
        ]
    sweep = Sweep(
        name=sweep_of(root), file=None, runs=tuple(run.spec for run in composed), retry={"killed": int(sys.argv[5])}
    )
    store, source = Store(root / "runs"), code_under(root)
    try:
        submission = submit_runs(sweep, composed, store, profile, source=source)
        views = run_queue(submission)
        if isinstance(find_backend(profile), SchedulerBackend):
            return 0
    except LaunchError as error:
        sys.stderr.write(f"{error.message}\n")
        return error.exit_code
    sys.stderr.writelines(f"{view.run_id} {view.state} {view.message or ''}\n" for view in views)
    return 0 if all(view.state is State.SUCCEEDED for view in views) else 1


if __name__ == "__main__":
    sys.exit(main())
