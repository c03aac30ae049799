"""A layer of PyTorch in a process of its own, so that `benchmarks.models` can call it like a program of JAX."""

import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

LAYERS = Path(__file__).with_name("torch_layers.py")


class TorchProcess:
    """One layer with its arguments; a call does one forward and backward pass and waits for its end."""

    def __init__(self, python: str, family: str, arrays: Mapping[str, Any]) -> None:
        """Start the process.

        Args:
            python: A Python interpreter that has PyTorch and NumPy.
            family: The name of the layer in `benchmarks.torch_layers`.
            arrays: Parameters by name, and `u` and `y_bar`, both (batch, L, H).

        Raises:
            RuntimeError: If the process cannot start the layer; its own message stands above.
        """
        self._folder = tempfile.TemporaryDirectory(prefix="torch-layer-")
        file = Path(self._folder.name) / "arrays.npz"
        np.savez(file, **{name: np.asarray(array) for name, array in arrays.items()})
        # -I: the folder of the layers is not on the path, where the module `queue` is not the standard one.
        self._process = subprocess.Popen(
            [python, "-I", str(LAYERS), family, str(file)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.version = self._answer("ready")

    def __call__(self) -> None:
        """Do one forward and backward pass."""
        self._ask("go")

    def outputs(self) -> dict[str, np.ndarray]:
        """Return the outputs `y` and the gradients: `bar_u`, and `bar_NAME` of each parameter that has one."""
        file = Path(self._folder.name) / "outputs.npz"
        self._ask(f"outputs {file}")
        with np.load(file) as found:
            return {name: found[name] for name in found.files}

    def __enter__(self) -> "TorchProcess":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the process."""
        self._process.communicate()  # closes its standard input, which ends it
        self._folder.cleanup()

    def _ask(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()
        self._answer("done")

    def _answer(self, expected: str) -> str:
        assert self._process.stdout is not None
        word, _, rest = self._process.stdout.readline().strip().partition(" ")
        if word != expected:
            raise RuntimeError(f"the layer of PyTorch ended with status {self._process.wait()}")
        return rest
