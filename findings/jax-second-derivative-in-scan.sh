#!/usr/bin/env bash
# JAX returns wrong second derivatives, without an error, of a function with jax.custom_vjp inside of lax.scan.
#
# Packages: jax 0.10.2 and jaxlib 0.10.2 on a CPU (jax 0.12.0.1 on Python 3.13 gives the same numbers).
#
# Valid input. `f` is a linear recurrence, computed by lax.scan. Its forward rule calls f itself, as the first example of
# JAX's page on custom derivative rules does, so f should have derivatives of every order. A lax.scan over layers calls f
# and a nonlinear function; the gradient of (the sum of the gradient) is taken in reverse mode, without jit.
#
# Expected: the numbers of the same program without custom_vjp, or with a Python loop over the layers.
# Seen: the first derivative is right. The second is wrong by 0.18 where the numbers are of order 1. It is right with a
# Python loop over the layers, with an unrolled loop inside of f, or if the arguments that the forward rule saves pass
# through jax.ad_checkpoint.checkpoint_name.
#
# This script exits with 1 if that changes. It needs Python 3.11 or later and a package index.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check jax==0.10.2 jaxlib==0.10.2
cat > "$folder/second.py" <<'PYTHON'
import jax
import jax.numpy as jnp
from jax import lax
from jax.ad_checkpoint import checkpoint_name


def recurrence(a, u):
    """x_k = a x_{k-1} + u_k along the first axis."""

    def step(x, u):
        x = a * x + u
        return x, x

    return lax.scan(step, jnp.zeros_like(u[0]), u)[1]


def with_rule(save):
    """Return the recurrence with a derivative of its own, whose forward rule saves `save(a)`."""

    @jax.custom_vjp
    def f(a, u):
        return recurrence(a, u)

    def forward(a, u):
        x = f(a, u)
        return x, (save(a), x)

    def backward(saved, x_bar):
        a, x = saved
        u_bar = f(a, x_bar[::-1])[::-1]
        before = jnp.concatenate([jnp.zeros_like(x[:1]), x[:-1]])
        return (u_bar * before).sum(0), u_bar

    f.defvjp(forward, backward)
    return f


def scanned(f, a):
    return lax.scan(lambda x, a: (jnp.tanh(f(a, x)), None), INPUTS, a)[0].sum()


def looped(f, a):
    x = INPUTS
    for layer in a:
        x = jnp.tanh(f(layer, x))
    return x.sum()


def first(loss, f):
    return jax.grad(lambda a: loss(f, a))(A)


def second(loss, f):
    return jax.grad(lambda a: jax.grad(lambda a: loss(f, a))(a).sum())(A)


def error(found, wanted):
    return float(jnp.abs(found - wanted).max())


A = jnp.asarray([[0.3, 0.4], [0.7, 0.1]])
INPUTS = jnp.asarray([[0.2, 0.5], [0.4, -0.3], [0.1, 0.9]])
saved, named = with_rule(lambda a: a), with_rule(lambda a: checkpoint_name(a, "argument"))
wanted = second(scanned, recurrence)
errors = {
    "first derivative, lax.scan over layers": error(first(scanned, saved), first(scanned, recurrence)),
    "second derivative, Python loop over layers": error(second(looped, saved), wanted),
    "second derivative, lax.scan, checkpoint_name": error(second(scanned, named), wanted),
    "second derivative, lax.scan over layers": error(second(scanned, saved), wanted),
}
print("jax", jax.__version__, "second derivatives", wanted.tolist())
for name, value in errors.items():
    print(f"{name}: error {value:.2g}")
*right, wrong = errors.values()
raise SystemExit(0 if max(right) < 1e-5 and wrong > 0.1 else "the behaviour has changed")
PYTHON
"$folder/venv/bin/python" "$folder/second.py"
