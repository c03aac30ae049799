"""What the environment and a notebook set in JAX changes no number of a run."""

import json
import os
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from s5.process.numerics import fixed_numerics
from s5.run_dir.result import METRICS
from tests.s5.conftest import TINY, Program

SETTINGS = {
    "JAX_ENABLE_X64": "1",
    "JAX_DEFAULT_PRNG_IMPL": "rbg",
    "JAX_THREEFRY_PARTITIONABLE": "0",
    "JAX_DEFAULT_MATMUL_PRECISION": "bfloat16",
    "JAX_NUMPY_DTYPE_PROMOTION": "strict",
    "JAX_NUMPY_RANK_PROMOTION": "raise",
    "JAX_RANDOM_SEED_OFFSET": "7",
    "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",
    "JAX_TRANSFER_GUARD": "disallow",
    "JAX_LEGACY_PRNG_KEY": "error",
    "JAX_DEBUG_KEY_REUSE": "1",
}
# No process with these can import JAX, or use it: only the command removes them.
REMOVED = {"JAX_DEFAULT_DEVICE": "nonsense", "JAX_COMPILATION_CACHE_DIR": "/dev/null/cache", "JAX_NO_EXECUTION": "1"}


@pytest.mark.slow
def test_a_run_has_the_same_numbers_under_all_settings(program: Program, tmp_path: Path) -> None:
    for name, settings in (("plain", {}), ("set", SETTINGS | REMOVED)):
        code, _, err = program.run(*TINY, "--run-dir", tmp_path / name, **settings)
        assert code == 0, err
    assert "not used: JAX_COMPILATION_CACHE_DIR, JAX_DEBUG_KEY_REUSE, JAX_DEFAULT_DEVICE" in err
    plain, under = ((tmp_path / name / "attempts/0" / METRICS).read_bytes() for name in ("plain", "set"))
    assert plain == under
    code = f"""
import json, numpy as np, s5
run = s5.load_run({str(tmp_path / "plain")!r})
digits = np.random.default_rng(0).integers(0, 17, (5, 64, 1)).astype(np.uint8)
print(json.dumps([s5.evaluate(run), run.predict(digits).tolist()]))
"""
    said = [
        subprocess.run(
            [sys.executable, "-c", code],
            env=os.environ | more,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for more in ({}, SETTINGS)
    ]
    assert json.loads(said[0]) == json.loads(said[1])


def test_the_settings_of_the_caller_are_there_again() -> None:
    with jax.enable_x64(True):
        with fixed_numerics():
            assert jnp.asarray(np.ones(2)).dtype == jnp.float32
        assert jnp.asarray(np.ones(2)).dtype == jnp.float64
