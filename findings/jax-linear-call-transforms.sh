#!/usr/bin/env bash
# jax.custom_derivatives.linear_call cannot be batched, and has no derivative by its residuals.
#
# Packages: jax 0.10.2 and jaxlib 0.10.2 on a CPU (jax 0.12.0.1 on Python 3.13 does the same).
#
# linear_call is JAX's public way to give a linear function a transpose of its own. It looks like the tool for a layer whose
# derivative is written by hand and that should still have forward mode, which jax.custom_vjp takes away. Its documentation
# names no limits.
#
# Valid input: division, linear in x and not in r, the example of its documentation.
#
# Expected: vmap over x, and the derivative by r, as for x / r.
# Seen: transposition, lax.scan and gradients by x work. jax.vmap raises NotImplementedError, so jax.hessian, jax.jacfwd and
# jax.jacrev by x fail too. A derivative by r raises an AssertionError without any text.
#
# This script exits with 1 if that changes. It needs Python 3.11 or later and a package index.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check jax==0.10.2 jaxlib==0.10.2
cat > "$folder/transforms.py" <<'PYTHON'
import jax
import jax.numpy as jnp
from jax import lax
from jax.custom_derivatives import linear_call


def divide(x, r):
    return linear_call(lambda r, x: x / r, lambda r, y: y / r, r, x)


def outcome(function, *arguments):
    """Return `right`, or the error's type and text, for a function of (divide, *arguments)."""
    wanted = function(lambda x, r: x / r, *arguments)
    try:
        found = function(divide, *arguments)
    except Exception as error:
        return f"{type(error).__name__}: {str(error) or '(no text)'}"
    return "right" if jnp.allclose(found, wanted) else "wrong"


X, R = jnp.asarray([1.0, 2.0, 3.0]), 2.0
outcomes = {
    "gradient by x": outcome(lambda f: jax.grad(lambda x: jnp.sin(f(x, R)).sum())(X)),
    "gradient by x through lax.scan": outcome(
        lambda f: jax.grad(lambda x: lax.scan(lambda x, _: (f(x, R), None), x, None, length=2)[0].sum())(X)
    ),
    "vmap over x": outcome(lambda f: jax.vmap(f, (0, None))(X, R)),
    "jacrev by x": outcome(lambda f: jax.jacrev(lambda x: f(x, R))(X)),
    "derivative by r": outcome(lambda f: jax.grad(lambda r: f(X, r).sum())(R)),
}
print("jax", jax.__version__)
for name, found in outcomes.items():
    print(f"{name}: {found}")
no_batching = "NotImplementedError: Batching rule for 'linear_call' not implemented"
seen = ["right", "right", no_batching, no_batching, "AssertionError: (no text)"]
raise SystemExit(0 if list(outcomes.values()) == seen else "the behaviour has changed")
PYTHON
"$folder/venv/bin/python" "$folder/transforms.py"
