"""Data parallelism: a batch is divided over the devices of all processes, and everything else is replicated.

A step is one program for all devices. The batch is its only divided input. The compiler sums gradients and batch
statistics over the devices, so a step equals the step of one device up to rounding.
"""

import pickle
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from s5.errors import UserError
from s5.process.distributed import ProcessGroup
from s5.process.shared_stop import AXIS, SharedStopRequest
from s5.process.shutdown import StopRequest


class Devices:
    """The devices of a run.

    Args:
        wanted: Number of this process's devices to use; None for all.
        processes: The processes of the run; None for a single process.

    Attributes:
        count: Number of devices of all processes.
        processes: The processes of the run.

    Raises:
        UserError: If this process has fewer devices than wanted, or the processes have different numbers of devices.
    """

    def __init__(self, wanted: int | None = None, processes: ProcessGroup | None = None) -> None:
        self.processes = processes or ProcessGroup()
        local = jax.local_device_count()
        if wanted is not None and wanted > local:
            raise UserError(
                f"train.devices={wanted}: this process has {local} device{'s' * (local != 1)}",
                hint=f"choose 1 to {local}, or omit train.devices to use all",
            )
        by_process = [jax.local_devices(process_index=rank)[:wanted] for rank in range(self.processes.size)]
        if len({len(devices) for devices in by_process}) > 1:
            counts = ", ".join(str(len(devices)) for devices in by_process)
            raise UserError(
                f"the processes of this run have {counts} devices",
                hint="set train.devices to the smallest of these numbers",
            )
        flat = [device for devices in by_process for device in devices]
        self.count = len(flat)
        # No mesh for one device, so that its compiled program and its results are bit-identical to plain JAX.
        self._mesh = Mesh(np.array(flat), (AXIS,)) if self.count > 1 else None

    def check_batch(self, batch_size: int, microbatches: int) -> None:
        """Raise if a training batch cannot be divided over the devices.

        Raises:
            UserError: If the examples of a batch, or of a microbatch, are not divisible by the number of devices.
        """
        parts = self.count * microbatches
        if batch_size % parts:
            over = f"{self.count} devices" + (f" and train.microbatches={microbatches}" if microbatches > 1 else "")
            raise UserError(
                f"train.batch_size={batch_size} cannot be divided over {over}",
                hint=f"make train.batch_size a multiple of {parts}, or set train.devices",
            )

    def round_up(self, batch_size: int) -> int:
        """Return a batch size rounded up to a multiple of the number of devices; an evaluation pads the last rows."""
        return -(-batch_size // self.count) * self.count

    def local_rows(self, batch_size: int) -> slice:
        """Return the range of rows of a batch that this process reads."""
        share = batch_size // self.processes.size
        return slice(self.processes.rank * share, (self.processes.rank + 1) * share)

    def jit(self, function: Callable[..., Any], **options: Any) -> Any:
        """Compile a step for these devices; its outputs are replicated."""
        if self._mesh is not None:
            options["out_shardings"] = NamedSharding(self._mesh, PartitionSpec())
        return jax.jit(function, **options)

    def shard_batch(self, batch: Any) -> Any:
        """Return a batch divided over the devices; each process passes its own rows."""
        if self._mesh is None:
            return batch
        sharding = NamedSharding(self._mesh, PartitionSpec(AXIS))
        if self.processes.is_single:
            return jax.device_put(batch, sharding)
        return jax.tree.map(lambda rows: jax.make_array_from_process_local_data(sharding, rows), batch)

    def batch_shapes(self, batch: Any, batch_size: int) -> Any:
        """Return the shapes of a divided batch of another size, to compile a step for it."""
        sharding = None if self._mesh is None else NamedSharding(self._mesh, PartitionSpec(AXIS))
        return jax.tree.map(
            lambda rows: jax.ShapeDtypeStruct((batch_size, *rows.shape[1:]), rows.dtype, sharding=sharding), batch
        )

    def replicate(self, tree: Any) -> Any:
        """Return a tree of arrays copied to each device. All processes must pass the same values."""
        if self._mesh is None:
            return tree
        everywhere = NamedSharding(self._mesh, PartitionSpec())
        return jax.device_put(tree, everywhere) if self.processes.is_single else jax.tree.map(_on(everywhere), tree)

    def constrain_microbatches(self, parts: Any) -> Any:
        """Tell the compiler, inside a step, that the second axis of these arrays is divided over the devices."""
        if self._mesh is None:
            return parts
        return jax.lax.with_sharding_constraint(parts, NamedSharding(self._mesh, PartitionSpec(None, AXIS)))

    def broadcast_from_main(self, value: Any) -> Any:
        """Return the value that process 0 passes: plain values and arrays on the host, bit-identical."""
        if self.processes.is_single:
            return value
        payload = np.frombuffer(pickle.dumps(value) if self.processes.is_main else b"", np.uint8)
        length = int(multihost_utils.broadcast_one_to_all(np.uint32(len(payload))))
        words = np.zeros(-(-length // 4) * 4, np.uint8)
        words[: len(payload)] = payload
        received = np.asarray(multihost_utils.broadcast_one_to_all(words.view(np.uint32)))
        return pickle.loads(received.view(np.uint8)[:length].tobytes())

    def shared_stop(self, stop: StopRequest) -> StopRequest:
        """Return a stop request that all processes of the run see after the same step."""
        return stop if self.processes.is_single or self._mesh is None else SharedStopRequest(stop, self._mesh)


def _on(sharding: NamedSharding) -> Callable[[jax.Array], jax.Array]:
    """Return a function that copies an array to the devices of all processes; a random key is copied as its data."""

    def put(leaf: jax.Array) -> jax.Array:
        if not jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            return jax.make_array_from_process_local_data(sharding, np.asarray(leaf))
        data = jax.make_array_from_process_local_data(sharding, np.asarray(jax.random.key_data(leaf)))
        return jax.random.wrap_key_data(data, impl=jax.random.key_impl(leaf))

    return put
