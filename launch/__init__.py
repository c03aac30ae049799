"""The launcher: turns a sweep file into runs and executes them. Never imports JAX.

The names that `launch` exports are its Python interface; `docs/python.md` shows it. A name is loaded when it is first
used, so that `import launch` is fast, also in the supervisors of runs.
"""

from __future__ import annotations

TYPE_CHECKING = False  # type checkers take it for True; importing it from typing would take time
if TYPE_CHECKING:
    from launch.api import (
        LaunchError,
        Plan,
        Profile,
        ResultRow,
        Results,
        RunView,
        State,
        Sweep,
        SweepHandle,
        cancel,
        list_profiles,
        list_sweeps,
        load_profile,
        load_results,
        load_sweep,
        open_sweep,
        plan,
        read_log,
        retry,
        single_run,
        status,
        submit,
        wait,
    )

__all__ = [
    "LaunchError",
    "Plan",
    "Profile",
    "ResultRow",
    "Results",
    "RunView",
    "State",
    "Sweep",
    "SweepHandle",
    "cancel",
    "list_profiles",
    "list_sweeps",
    "load_profile",
    "load_results",
    "load_sweep",
    "open_sweep",
    "plan",
    "read_log",
    "retry",
    "single_run",
    "status",
    "submit",
    "wait",
]


def __getattr__(name: str) -> object:
    if name in __all__:
        from importlib import import_module

        return getattr(import_module("launch.api"), name)
    raise AttributeError(f"module 'launch' has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*globals(), *__all__]
