"""The device a run computes on: the one that is asked for must be the one that is found."""

import os
from importlib.metadata import version
from pathlib import Path
from typing import Any

from s5.config.choices import Platform
from s5.errors import UserError, say
from s5.run_dir.result import PLATFORM_VARIABLE

_INSTRUCTION_SETS = ("avx512f", "avx2", "avx", "sve", "asimd")


def select_platform(platform: Platform) -> None:
    """Tell JAX which platform to start; call it before JAX is used.

    Args:
        platform: The config's; `any` leaves the choice to JAX.
    """
    if platform is not Platform.any:
        os.environ["JAX_PLATFORMS"] = platform.name
    elif "JAX_PLATFORMS" not in os.environ and not _has_accelerator():
        # Spares the search for accelerators and what it prints.
        os.environ["JAX_PLATFORMS"] = "cpu"


def _has_accelerator() -> bool:
    return any(
        Path(path).exists() for path in ("/dev/nvidiactl", "/dev/nvidia0", "/dev/kfd", "/dev/accel0", "/dev/vfio")
    )


def start(platform: Platform) -> None:
    """Start the device and switch on the compilation cache where it is an accelerator.

    Raises:
        UserError: Where JAX finds another device than the config's, or than the run was given.
    """
    import jax

    try:
        devices = jax.devices() if platform is Platform.any else jax.devices(platform.name)
    except (RuntimeError, AssertionError) as error:  # the latter where it has no plugin for what JAX_PLATFORMS names
        said = str(error).splitlines() or ["it has no plugin for it"]
        raise UserError(
            f"platform={platform.name}: JAX finds no such device ({said[0]})",
            hint="run it where there is one, install the jaxlib for it, or set platform=any",
        ) from error
    if devices[0].platform != jax.default_backend():
        raise UserError(
            f"platform={platform.name}: JAX computes on {jax.default_backend()}",
            hint=f"unset JAX_PLATFORMS, or set platform={jax.default_backend()}",
        )
    given = os.environ.get(PLATFORM_VARIABLE)
    if given and given != jax.default_backend():
        # JAX falls back to the CPU in silence, and a paid GPU would idle for days.
        raise UserError(
            f"the run was given a {given}, and JAX computes on {jax.default_backend()}",
            hint="its image or installation needs JAX for that device, and a driver that fits: `launch doctor` looks; "
            "or run with resources.gpus_per_node=0",
        )
    if jax.default_backend() != "cpu":
        _cache_compilations()


def _cache_compilations() -> None:
    """Keep compiled programs between runs. Not on CPUs: there it takes code from machines with other instructions."""
    import jax

    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    kind = jax.devices()[0].device_kind.replace(" ", "-").replace("/", "-")
    try:
        folder = Path(base) / "s5-launch" / "xla" / f"{kind}-jaxlib-{version('jaxlib')}"
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        say(f"s5: no compilation cache: {error}")
        return
    jax.config.update("jax_compilation_cache_dir", str(folder))


def describe(count: int) -> str:
    """Return the devices of a run in words.

    Args:
        count: How many there are, in all its processes.
    """
    import jax

    device = jax.devices()[0]
    if device.platform != "cpu":
        return f"{count} x {device.device_kind}"
    return (f"{count} x " if count > 1 else "") + f"cpu, {threads()} thread{'s' * (threads() != 1)}"


def threads() -> int:
    """Return how many threads XLA computes with on a CPU: its sums depend on it."""
    given = os.environ.get("NPROC", "")
    return int(given) if given.isdigit() and int(given) else len(os.sched_getaffinity(0))


def environment() -> dict[str, Any]:
    """Return what the numbers depend on beside the config: equal environments give equal bits, on CPUs."""
    import jax

    device = jax.devices()[0]
    facts: dict[str, Any] = {"jaxlib": version("jaxlib"), "jax": version("jax"), "device": device.device_kind}
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
