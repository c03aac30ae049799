"""Check that an image works on this machine, by a test program in a container of the image."""

from __future__ import annotations

import json
import math
import os
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast

from launch.checks.check import Check, fail, ok, warn
from launch.containers.images.catalog import LABEL
from launch.containers.images.engine_images import EngineImage
from launch.errors import LaunchError

_SCRIPT = Path(__file__).resolve().parents[2] / "docker" / "check.py"
_RUN_S = 600.0
_GPUS = {"docker": ("--gpus", "all"), "podman": ("--device", "nvidia.com/gpu=all")}
_DEVICE = Path("/dev/nvidiactl")


def check_image(held: EngineImage) -> Iterator[Check]:
    """Execute an image and check its platform, package versions, driver and one step of training."""
    gpus = held.platform == "cuda" and _DEVICE.exists()
    if held.platform == "cuda" and not gpus:
        advice = "check it on the machine that will execute it; here all checks below are valid, except the platform"
        yield warn("gpu", "this machine has no NVIDIA GPU", advice)
    yield from judge(_look_inside(held, gpus=gpus), held.platform, held.labels.get(f"{LABEL}min-driver"))


def judge(facts: Mapping[str, Any], platform: str | None, min_driver: str | None) -> Iterator[Check]:
    """Yield the check results for the facts that docker/check.py found in the container.

    Args:
        facts: The output of docker/check.py.
        platform: The platform in the image's label, `cpu` or `cuda`; None without such a label.
        min_driver: The oldest driver in the image's label; None for any.
    """
    versions = ", ".join(f"{name} {version}" for name, version in facts["packages"].items())
    yield ok("packages", f"Python {facts['python']}, {versions}")
    driver: str | None = facts.get("driver")
    if min_driver is not None:
        if driver is None:
            yield warn("driver", f"none is seen inside; {min_driver} or newer is needed", None)
        elif int(driver.partition(".")[0]) < int(min_driver):
            advice = f"update the driver to {min_driver} or newer, or use an image for an older CUDA"
            yield fail("driver", f"{driver} is older than {min_driver}, which this image needs", advice)
        else:
            yield ok("driver", f"{driver}; {min_driver} or newer is needed")
    found, devices = facts.get("platform"), ", ".join(facts.get("devices", ())) or "JAX starts no device"
    # JAX reports the platform `gpu` if an image for CUDA uses a GPU.
    if found is not None and (platform is None or found == {"cuda": "gpu"}.get(platform, platform)):
        yield ok("platform", devices)
    else:
        advice = f"this image computes on {platform}: does the container see the GPU, and is the driver new enough?"
        yield fail("platform", devices, advice)
    if loaded := facts.get("loaded"):
        yield ok("cuda", ", ".join(f"{library} {_version(library, number)}" for library, number in loaded.items()))
    loss = facts.get("loss")
    if loss is not None and math.isfinite(loss):
        yield ok("training", f"one step of a tiny model, loss {loss:.3f}")
    else:
        message = facts.get("problem") or f"the loss of the first step is {loss}"
        yield fail("training", message, "`launch image build IMAGE` makes the image again")


def _version(library: str, number: int) -> str:
    """Return a library's version in the usual form: 12090 is 12.9, and cuDNN's 92800 is 9.28.0."""
    if library.startswith("libcudnn"):
        return f"{number // 10000}.{number // 100 % 100}.{number % 100}"
    return f"{number // 1000}.{number % 1000 // 10}"


def _look_inside(held: EngineImage, *, gpus: bool) -> dict[str, Any]:
    words = [
        *(held.engine, "run", "--rm", "--interactive", "--network=none", "--read-only", "--tmpfs=/tmp"),
        *(f"--user={os.getuid() or 1000}:{os.getgid() or 1000}", *(_GPUS[held.engine] if gpus else ())),
        *("--entrypoint=python", held.id, "-"),
    ]
    try:
        done = subprocess.run(
            words, input=_SCRIPT.read_text(), capture_output=True, text=True, check=False, timeout=_RUN_S
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise LaunchError(f"{held.engine} cannot execute the image: {error}") from error
    try:
        return cast("dict[str, Any]", json.loads(done.stdout.splitlines()[-1]))
    except (IndexError, ValueError) as error:
        said = done.stderr.strip().splitlines()
        raise LaunchError(
            f"nothing can be executed in the image: {said[-1] if said else f'exit code {done.returncode}'}",
            hint=f"`{held.engine} run --rm -it --entrypoint sh {held.id[:19]}` opens a shell in it",
        ) from error
