"""The device that a run computes on is always the configured one."""

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
