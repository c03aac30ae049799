"""The program that `launch image check` executes in a container: it prints the image's properties as JSON."""

import ctypes
import json
import re
import sys
import traceback
from importlib import metadata
from pathlib import Path
from typing import Any

TINY = ("model.n_layers=1", "model.d_model=8", "model.d_state=8", "model.n_blocks=1", "train.batch_size=8")


def find() -> dict[str, Any]:
    """Return the versions, the devices, the driver, and the loss of one training step or the error."""
    facts: dict[str, Any] = {"python": sys.version.split()[0], "packages": _packages(), "driver": _driver()}
    try:
        import jax

        facts["devices"] = [f"{device.platform}: {device.device_kind}" for device in jax.devices()]
        facts["platform"] = jax.default_backend()
        facts["loaded"] = _loaded()
        facts["loss"] = _train_one_step()
    except Exception as error:  # an error in the image is a result of the check, not a crash of the check
        facts["problem"] = traceback.format_exception_only(error)[-1].strip()
    return facts


def _packages() -> dict[str, str]:
    wanted = re.compile(r"jax|jaxlib|flax|jax-cuda\d+-.*|nvidia-(?:cudnn|nccl|cublas|cuda-runtime)(?:-cu\d+)?")
    found = {str(each.metadata["Name"]): each.version for each in metadata.distributions()}
    return {name: found[name] for name in sorted(found) if wanted.fullmatch(name)}


def _driver() -> str | None:
    """Return the version of the NVIDIA driver, from the kernel; None without a driver."""
    try:
        text = Path("/proc/driver/nvidia/version").read_text()
    except OSError:
        return None
    found = re.search(r"\b\d+\.\d+(?:\.\d+)?\b", text)
    return found[0] if found else None


def _loaded() -> dict[str, int]:
    """Return the versions of the CUDA libraries that this process has loaded, numbered as in their headers."""
    asked = {"libcudnn.so": "cudnnGetVersion", "libcudart.so": "cudaRuntimeGetVersion"}
    found: dict[str, int] = {}
    for line in Path("/proc/self/maps").read_text().splitlines():
        name = Path(line.split()[-1]).name
        for library, function in asked.items():
            if name.startswith(library) and library not in found:
                call = getattr(ctypes.CDLL(name), function)
                if function == "cudnnGetVersion":
                    call.restype = ctypes.c_size_t
                    found[library] = call()
                else:
                    value = ctypes.c_int()
                    call(ctypes.byref(value))
                    found[library] = value.value
    return found


def _train_one_step() -> float:
    """Train a tiny model for one step on the digits, and return the loss."""
    from s5.config.compose import compose
    from s5.data import load
    from s5.process.sharding import Devices
    from s5.training.trainer import Trainer

    config = compose(["experiment=digits/s5", *TINY])
    trainer = Trainer(config, load(config.data), Devices(1))
    trainer.initialize(None)
    batches = trainer.batches()
    try:
        trainer.step(next(batches))
    finally:
        batches.close()
    return float(trainer.take_window().sums.means()["loss"])


if __name__ == "__main__":
    sys.stdout.write(json.dumps(find()) + "\n")
