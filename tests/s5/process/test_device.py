"""The device that a run computes on is always the configured one."""

import jax
import pytest

from s5.config.choices import Platform
from s5.errors import UserError
from s5.process import device
from s5.run_dir.result import PLATFORM_VARIABLE


def test_a_run_that_was_given_a_gpu_does_not_fall_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PLATFORM_VARIABLE, "gpu")
    for platform in (Platform.any, Platform.cpu):
        with pytest.raises(UserError, match="allocated a gpu, but JAX uses cpu"):
            device.start(platform)
    monkeypatch.setenv(PLATFORM_VARIABLE, "cpu")
    device.start(Platform.any)


def test_a_platform_of_another_machine_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def devices(*_: object) -> list[object]:
        raise AssertionError  # as JAX does for a platform without a plug-in

    monkeypatch.setattr(jax, "devices", devices)
    monkeypatch.setenv("JAX_PLATFORMS", "cuda")
    with pytest.raises(UserError, match=r"^JAX_PLATFORMS=cuda: JAX finds no such device") as caught:
        device.start(Platform.any)
    assert (caught.value.hint or "").startswith("unset JAX_PLATFORMS")
    with pytest.raises(UserError, match=r"^platform=tpu: JAX finds no such device"):
        device.start(Platform.tpu)
    monkeypatch.delenv("JAX_PLATFORMS")
    with pytest.raises(UserError, match=r"^platform=any: "):
        device.start(Platform.any)


@pytest.mark.parametrize(
    ("platforms", "is_told"), [("cuda,cpu", True), ("cpu", False), ("cpu,cuda", False), ("", False)]
)
def test_a_fall_back_to_the_cpu_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], platforms: str, is_told: bool
) -> None:
    monkeypatch.setenv("JAX_PLATFORMS", platforms)
    device.start(Platform.any)
    assert (f"JAX_PLATFORMS={platforms}, but JAX uses cpu" in capsys.readouterr().err) is is_told
