"""The results of the check of an image, from the facts that it finds inside a container."""

from typing import Any

import pytest

from launch.checks.check import Level
from launch.checks.image import judge

GOOD: dict[str, Any] = {
    "python": "3.11.2",
    "packages": {"jax": "0.10.2", "nvidia-cudnn-cu12": "9.28.0.42"},
    "driver": "550.54.14",
    "devices": ["gpu: NVIDIA H100"],
    "platform": "gpu",
    "loaded": {"libcudnn.so": 92800, "libcudart.so": 12090},
    "loss": 2.3,
}


def level_of(name: str, facts: dict[str, Any], platform: str = "cuda", driver: str | None = "525") -> Level:
    return next(check.level for check in judge(facts, platform, driver) if check.name == name)


def test_an_image_that_works() -> None:
    checks = {check.name: check for check in judge(GOOD, "cuda", "525")}
    assert {check.level for check in checks.values()} == {Level.OK}
    assert checks["cuda"].message == "libcudnn.so 9.28.0, libcudart.so 12.9"


@pytest.mark.parametrize(
    ("name", "facts"),
    [
        ("platform", {"platform": "cpu", "devices": ["cpu: cpu"]}),  # the silent fall back to the CPU
        ("platform", {"platform": None, "devices": []}),
        ("driver", {"driver": "470.199.02"}),
        ("training", {"loss": float("nan")}),
        ("training", {"loss": None, "problem": "ImportError: libcudnn"}),
    ],
)
def test_what_does_not_work_is_a_failure(name: str, facts: dict[str, Any]) -> None:
    assert level_of(name, {**GOOD, **facts}) is Level.FAIL


def test_an_image_for_the_cpu_needs_no_driver() -> None:
    facts = {**GOOD, "driver": None, "platform": "cpu", "loaded": {}}
    assert {check.level for check in judge(facts, "cpu", None)} == {Level.OK}
