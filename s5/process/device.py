"""The device of a run. If it is not of the kind that the config requires, the run fails at the start."""

import os
from importlib.metadata import version
from pathlib import Path
from typing import Any

from s5.config.choices import Platform
from s5.errors import UserError, say
from s5.process.flags import read_flags
from s5.run_dir.result import PLATFORM_VARIABLE

_INSTRUCTION_SETS = ("avx512f", "avx2", "avx", "sve", "asimd")


def select_platform(platform: Platform) -> None:
    """Set JAX's platform through the environment; call this before any module imports JAX.

    Args:
        platform: `config.platform`; `any` leaves the choice to JAX.
    """
    if platform is not Platform.any:
        os.environ["JAX_PLATFORMS"] = platform.name
    elif "JAX_PLATFORMS" not in os.environ and not _has_accelerator():
        # Otherwise JAX would search for accelerators and print a warning.
        os.environ["JAX_PLATFORMS"] = "cpu"


def _has_accelerator() -> bool:
    return any(
        Path(path).exists() for path in ("/dev/nvidiactl", "/dev/nvidia0", "/dev/kfd", "/dev/accel0", "/dev/vfio")
    )


def start(platform: Platform) -> None:
    """Start the device; enable the compilation cache if it is an accelerator.

    Raises:
        UserError: If JAX finds another kind of device than the config requires or than the run was allocated.
    """
    import jax

    try:
        devices = jax.devices() if platform is Platform.any else jax.devices(platform.name)
    except (RuntimeError, AssertionError) as error:  # AssertionError: no plug-in for JAX_PLATFORMS
        raise _no_device(platform, str(error)) from error
    _say_fallback(jax.default_backend())
    if devices[0].platform != jax.default_backend():
        raise UserError(
            f"platform={platform.name}: JAX uses {jax.default_backend()}",
            hint=f"start a new process with platform={platform.name}, or set platform=any",
        )
    given = os.environ.get(PLATFORM_VARIABLE)
    if given and given != jax.default_backend():
        # JAX falls back to the CPU silently, and the allocated GPU would be idle for days.
        raise UserError(
            f"the run was allocated a {given}, but JAX uses {jax.default_backend()}",
            hint="the image or the installation needs JAX for that device and a matching driver, which `launch doctor` "
            "checks; or run with resources.gpus_per_node=0",
        )
    if jax.default_backend() != "cpu":
        _cache_compilations()


def _no_device(platform: Platform, said: str) -> UserError:
    """Return the error about a device that JAX does not find; `any` can only fail by `JAX_PLATFORMS`."""
    why = next(iter(said.splitlines()), "no plug-in is installed")
    named = os.environ.get("JAX_PLATFORMS")
    if platform is Platform.any and named:
        return UserError(
            f"JAX_PLATFORMS={named}: JAX finds no such device ({why})",
            hint="unset JAX_PLATFORMS, or use a machine with such a device and the jaxlib for it",
        )
    return UserError(
        f"platform={platform.name}: JAX finds no such device ({why})",
        hint="use a machine with such a device, install the jaxlib for it, or set platform=any",
    )


def _say_fallback(backend: str) -> None:
    """Say that JAX uses another device than the first one in `JAX_PLATFORMS`, such as the CPU for `cuda,cpu`."""
    first = os.environ.get("JAX_PLATFORMS", "").partition(",")[0].strip()
    if first and first != backend and backend != {"cuda": "gpu", "rocm": "gpu"}.get(first, first):
        say(f"s5: JAX_PLATFORMS={os.environ['JAX_PLATFORMS']}, but JAX uses {backend}")


def _cache_compilations() -> None:
    """Turn on JAX's cache of compiled programs. Not for CPUs: it would mix code for different instruction sets."""
    import jax

    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    kind = jax.devices()[0].device_kind.replace(" ", "-").replace("/", "-")
    try:
        folder = Path(base) / "s5-launch" / "xla" / f"{kind}-jaxlib-{version('jaxlib')}"
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        say(f"s5: the compilation cache is off: {error}")
        return
    jax.config.update("jax_compilation_cache_dir", str(folder))


def describe(count: int) -> str:
    """Return the devices of a run as text, such as `2 x NVIDIA H100`.

    Args:
        count: Number of devices of all processes of the run.
    """
    import jax

    device = jax.devices()[0]
    if device.platform != "cpu":
        return f"{count} x {device.device_kind}"
    return (f"{count} x " if count > 1 else "") + f"cpu, {threads()} thread{'s' * (threads() != 1)}"


def threads() -> int:
    """Return the number of threads that XLA uses on a CPU; it decides the order of sums, and so the last bits."""
    given = os.environ.get("NPROC", "")
    return int(given) if given.isdigit() and int(given) else len(os.sched_getaffinity(0))


def environment() -> dict[str, Any]:
    """Return the facts besides the config that results depend on. On CPUs, equal facts give bit-identical results."""
    import jax

    device = jax.devices()[0]
    facts: dict[str, Any] = {"jaxlib": version("jaxlib"), "jax": version("jax"), "device": device.device_kind}
    facts["flags"] = read_flags()
    if device.platform == "cpu":
        facts |= {"threads": threads(), "instruction_set": _instruction_set()}
    return facts


def _instruction_set() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return "unknown"
    lines = (line.split(":", 1)[1] for line in text.splitlines() if line.startswith(("flags", "Features")))
    words = set(next(lines, "").split())
    return next((name for name in _INSTRUCTION_SETS if name in words), "unknown")
