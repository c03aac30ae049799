"""Reads the arrays of a file of weights, by their dotted names: safetensors, NumPy's .npz, Flax's msgpack, PyTorch."""

from collections.abc import Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from safetensors import SafetensorError, safe_open

from s5.errors import UserError

Arrays = dict[str, np.ndarray]

_TORCH = (".pt", ".pth", ".ckpt", ".bin")
_TO_SAFETENSORS = (
    "where torch is installed: state = torch.load(FILE, map_location='cpu', weights_only=False); "
    "state = state.get('state_dict', state); from safetensors.torch import save_file; "
    "save_file({k: v.contiguous() for k, v in state.items() if hasattr(v, 'contiguous')}, 'weights.safetensors')"
)


def read_arrays(file: str | Path) -> Arrays:
    """Return the arrays of a file of weights.

    The end of the file's name decides its format: `.safetensors`, `.npz`, PyTorch's `.pt`, `.pth`, `.ckpt` and `.bin`;
    every other file is Flax's msgpack. Nothing in a file is executed.

    Args:
        file: The file.

    Returns:
        The arrays. The parts of a name are joined by dots: `params.decoder.kernel`.

    Raises:
        UserError: If the file does not exist or is not in its format, or if it is PyTorch's and PyTorch is missing.
    """
    path = Path(file)
    if not path.is_file():
        raise UserError(f"{path}: no such file of weights")
    if path.suffix in _TORCH:
        return dict(_flat(_load_torch(path)))
    try:
        match path.suffix:
            case ".safetensors":
                with safe_open(path, framework="np") as opened:
                    tree = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118  not a mapping
            case ".npz":
                with np.load(path, allow_pickle=False) as opened:
                    tree = dict(opened)
            case _:
                serialization = import_module("flax.serialization")  # takes a while
                tree = serialization.msgpack_restore(path.read_bytes())
    # msgpack raises many kinds of errors for bytes of another format.
    except (SafetensorError, BadZipFile, EOFError, OSError, ValueError, TypeError, KeyError, OverflowError) as error:
        raise UserError(f"{path}: not a file of weights in the format that its name says ({error})") from error
    except Exception as error:
        if not type(error).__module__.startswith("msgpack"):
            raise
        raise UserError(f"{path}: not a file of weights that flax.serialization wrote ({error})") from error
    return dict(_flat(tree))


def _flat(tree: Any, prefix: str = "") -> Iterator[tuple[str, np.ndarray]]:
    """Yield the arrays of nested dictionaries; other values, such as the name of an optimizer, are left out."""
    if isinstance(tree, Mapping):
        for name, value in tree.items():
            yield from _flat(value, f"{prefix}.{name}" if prefix else str(name).replace("/", "."))
    elif isinstance(tree, np.ndarray | np.generic | int | float):
        yield prefix, np.asarray(tree)


def _load_torch(path: Path) -> Any:
    """Return the tensors of PyTorch's file, as NumPy arrays in dictionaries."""
    try:
        torch = import_module("torch")
    except ImportError as error:
        raise UserError(
            f"{path}: reading PyTorch's files needs torch, which is missing", hint=_TO_SAFETENSORS
        ) from error
    try:
        return _as_numpy(torch.load(path, map_location="cpu", weights_only=True))
    except Exception as error:  # torch and pickle raise many kinds of errors
        raise UserError(f"{path}: torch.load(weights_only=True) refuses it ({error})", hint=_TO_SAFETENSORS) from error


def _as_numpy(tree: Any) -> Any:
    if isinstance(tree, Mapping):
        return {name: _as_numpy(value) for name, value in tree.items()}
    return tree.detach().numpy() if hasattr(tree, "detach") else tree
