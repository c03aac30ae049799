"""A stop request that all processes of a run see after the same step."""

from typing import final

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from s5.process.shutdown import StopRequest

AXIS = "data"  # the only axis of the mesh; a batch is divided along it


@final
class SharedStopRequest(StopRequest):
    """A stop request that all processes of a run share: `stopping` becomes True for all of them at the same read.

    All processes must read `stopping` equally often. A read sends this process's own request to the devices, and
    returns the combined result of the previous read. So a read does not wait for the devices.

    Args:
        own: The stop request to this process.
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
        """Whether any process had a stop request at the previous read."""
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
        """The origin of the request, in words, such as a signal's name."""
        return self._own.reason or "another process of the run was asked to stop"
