"""A stop request that all processes of a run see after the same step."""

from typing import final

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from s5.process.shutdown import StopRequest

AXIS = "data"  # the mesh's only axis: the one that a batch is divided along


@final
class SharedStopRequest(StopRequest):
    """A stop that all processes of a run hold: when one is asked to stop, all see it at the same look.

    All of them must look equally often. A look hands the answer of this process to the devices and returns what all
    answered at the look before, so that nobody waits: the devices still have the step after that one to do.

    Args:
        own: What tells this process to stop.
        mesh: The devices of all processes.
    """

    def __init__(self, own: StopRequest, mesh: Mesh) -> None:
        self._own = own
        self._sharding = NamedSharding(mesh, PartitionSpec(AXIS))
        self._any = jax.jit(jnp.max, out_shardings=NamedSharding(mesh, PartitionSpec()))
        self._local = sum(device.process_index == jax.process_index() for device in mesh.devices.flat)
        self._before: jax.Array | None = None
        self._stopping = False

    @property
    def stopping(self) -> bool:
        """Whether any process had been asked to stop when all looked last."""
        if not self._stopping:
            answer = np.full(self._local, self._own.stopping, np.int32)
            before, self._before = (
                self._before,
                self._any(jax.make_array_from_process_local_data(self._sharding, answer)),
            )
            self._stopping = before is not None and bool(np.asarray(before))
        return self._stopping

    @property
    def reason(self) -> str:
        """Who asked, in words; empty before anyone did."""
        return self._own.reason or "another process of the run was asked to stop"
