"""Exports models: the weights as safetensors, or the whole model as a program of `jax.export`."""

import json
import struct
from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import export as jax_export
from jaxtyping import Array
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from s5.catalog import dataset_info
from s5.config.choices import Head
from s5.config.identity import science_hash, to_dict
from s5.errors import UserError
from s5.models.sequence_model import SequenceModel
from s5.nn.steps import Steps
from s5.training import checkpoints
from s5.training.stored_run import StoredRun

_PREFIX = "model"


def save_weights(model: nnx.Module, file: str | Path, metadata: Mapping[str, str] | None = None) -> None:
    """Write the parameters and running statistics of a model as safetensors.

    Args:
        model: The model.
        file: The file to write.
        metadata: Texts to store in the file's header.
    """
    arrays = checkpoints.flatten(nnx.state(model), _PREFIX)
    # safetensors writes the memory of a view as it is, so a transposed or sliced array would be read back wrongly.
    contiguous = {name: np.ascontiguousarray(array).reshape(array.shape) for name, array in arrays.items()}
    save_file(contiguous, file, metadata={"version": version("s5-launch"), **(metadata or {})})


def save_run_weights(run: StoredRun, file: str | Path) -> None:
    """Write the best model of a run as safetensors, with its config, identity and names of classes in the header.

    Args:
        run: The run.
        file: The file.
    """
    config = to_dict(run.config)
    own = {"config": json.dumps(config), "science_hash": science_hash(config)}
    names = {"class_names": json.dumps(run.class_names)} if run.class_names else {}
    save_weights(run.model, file, own | names)


def load_weights(model: nnx.Module, file: str | Path) -> None:
    """Set the parameters and running statistics of a model from a file that `save_weights` wrote.

    Args:
        model: A model of the same configuration; it is changed in place.
        file: The file.

    Raises:
        UserError: If the file is not in safetensors format, or its arrays do not fit the model.
    """
    try:
        with safe_open(file, framework="np") as opened:
            arrays = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118  it is not a mapping
    except (SafetensorError, OSError) as error:
        raise UserError(f"{file}: not a file of weights ({error})") from error
    state = nnx.state(model)
    own = checkpoints.flatten(state, _PREFIX)
    wrong = [
        f"{name}: the file has {_described(arrays.get(name))}, the model {_described(own.get(name))}"
        for name in sorted(own.keys() | arrays.keys())
        if _described(arrays.get(name)) != _described(own.get(name))
    ]
    if wrong:
        raise UserError(
            f"{file}: the weights are of another model ({'; '.join(wrong[:3])}{'; …' if len(wrong) > 3 else ''})",
            hint="build the model from the configuration in the file's header",
        )
    nnx.update(model, checkpoints.unflatten(state, arrays, _PREFIX))


def _described(array: np.ndarray | None) -> str:
    return "no such array" if array is None else f"{array.dtype}{list(array.shape)}"


def save_program(
    model: SequenceModel, file: str | Path, *, length: int, d_stored: int, platforms: tuple[str, ...] = ("cpu",)
) -> None:
    """Write a model as a program that needs neither this package nor Flax: StableHLO, by `jax.export`.

    The program takes inputs (batch, length, d_stored), float32, or int32 tokens if d_stored is 0, with any batch, and
    returns what the model returns in evaluation.

    Args:
        model: The model.
        file: The file.
        length: L, the number of steps of every sequence. It is fixed, since an associative scan needs a number.
        d_stored: Features of a step; 0 for tokens.
        platforms: The platforms that can run the program: `cpu`, `cuda`, `tpu`, `rocm`.
    """
    graphdef, state = nnx.split(model)

    def answer(inputs: Array) -> Array:
        return nnx.merge(graphdef, state)(inputs, Steps(), train=False)

    (batch,) = jax_export.symbolic_shape("batch")
    kind = jnp.int32 if d_stored == 0 else jnp.float32
    shape = jax.ShapeDtypeStruct((batch, length, d_stored or 1), kind)
    program = jax_export.export(jax.jit(answer), platforms=platforms)(shape)
    Path(file).write_bytes(program.serialize())


def save_run_program(run: StoredRun, file: str | Path, *, platforms: tuple[str, ...] = ("cpu",)) -> None:
    """Write the best model of a run as a program; see `save_program`.

    Args:
        run: The run. Its data set decides the length of sequences, and whether they are tokens.
        file: The file.
        platforms: The platforms that can run the program; see `save_program`.

    Raises:
        UserError: If the model needs pairs of documents or the times of steps as inputs.
    """
    own = run.inputs or dataset_info(run.config.data.name)
    if run.task.head == Head.retrieval.name or own.times:
        raise UserError(
            f"{run.path}: only a model of single sequences with regular steps can be exported as a program",
            hint="export the weights instead",
        )
    d_stored = 0 if own.tokens else run.task.d_input
    save_program(run.model, file, length=own.length, d_stored=d_stored, platforms=platforms)


def load_program(file: str | Path) -> Callable[[Any], Array]:
    """Return the function in a file that `save_program` wrote.

    Later versions of JAX can load the program for at least half a year; `jax.export` documents its compatibility.

    Args:
        file: The file.

    Raises:
        UserError: If the file does not contain a program.
    """
    try:
        return jax_export.deserialize(bytearray(Path(file).read_bytes())).call
    except (ValueError, OSError, struct.error, IndexError, KeyError) as error:  # jax.export checks little
        raise UserError(f"{file}: not a program of jax.export") from error
