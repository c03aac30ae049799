"""The numerical settings of JAX that training and evaluation use, whatever the environment or the notebook has set."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager


@contextmanager
def fixed_numerics() -> Iterator[None]:
    """Run with JAX's defaults for types, random numbers and precision.

    Variables such as `JAX_ENABLE_X64`, `JAX_DEFAULT_PRNG_IMPL` and `JAX_DEFAULT_MATMUL_PRECISION`, or `jax.config` in
    a notebook, would change the numbers of a run without being part of its config. They keep their values outside.
    """
    import jax

    with ExitStack() as settings:
        for setting in (
            jax.enable_x64(False),
            jax.default_prng_impl("threefry2x32"),
            jax.threefry_partitionable(True),
            jax.default_matmul_precision(None),
            jax.numpy_dtype_promotion("standard"),
            jax.numpy_rank_promotion("allow"),
        ):
            settings.enter_context(setting)
        yield
