"""The numerical settings of JAX that training and evaluation use, whatever the environment or the notebook has set."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

# Settings for which JAX has no context manager, with its defaults.
_OTHERS = {
    "jax_random_seed_offset": 0,
    "jax_threefry_gpu_kernel_lowering": False,
    "jax_high_dynamic_range_gumbel": False,
    "jax_allow_f16_reductions": True,
    "jax_disable_most_optimizations": False,
    "jax_optimization_level": "UNKNOWN",
    "jax_exec_time_optimization_effort": 0.0,
}


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
            jax.disable_jit(False),
            jax.legacy_prng_key("allow"),
            jax.debug_key_reuse(False),
            jax.softmax_custom_jvp(False),
            jax.transfer_guard("allow"),
        ):
            settings.enter_context(setting)
        settings.enter_context(_defaults())
        yield


@contextmanager
def _defaults() -> Iterator[None]:
    """Give the settings without context managers their defaults; they are global, so other threads see them too."""
    import jax

    before = {name: jax.config.values[name] for name in _OTHERS if name in jax.config.values}
    changed = [name for name, value in before.items() if value != _OTHERS[name]]
    for name in changed:
        jax.config.update(name, _OTHERS[name])
    try:
        yield
    finally:
        for name in changed:
            jax.config.update(name, before[name])
