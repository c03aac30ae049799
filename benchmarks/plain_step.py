"""The plain training step of an S5 model, written like the published implementations; ours is compared with it.

It has `vmap` over the batch, complex64 products, `associative_scan`, a Python loop over the layers, JAX's own
derivatives, batch norm by `pmean` over the batch axis, and one optax chain per group. Only the initial values come from
`s5`, so that both steps compute the same function.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax import lax

from s5.config.choices import Activation
from s5.config.families import S5Config

SSM = ("Lambda_re", "Lambda_im", "log_step", "B", "norm")


def plain_params(params: dict[str, Any], n_layers: int) -> dict[str, Any]:
    """Return the parameters of our model in the published layout.

    Args:
        params: Our parameters as `nnx.to_pure_dict` returns them; in the layers they have a first axis of n_layers.
        n_layers: Number of layers.
    """
    layers = [_plain_layer(jax.tree.map(lambda x, i=i: x[i], params["layers"]["layer"])) for i in range(n_layers)]
    return {"encoder": params["encoder"], "layers": layers, "decoder": params["head"]["decoder"]}


def _plain_layer(layer: dict[str, Any]) -> dict[str, Any]:
    ssm = layer["ssm"]
    return {
        "Lambda_re": ssm["Lambda_re"],
        "Lambda_im": ssm["Lambda_im"],
        "B": jnp.stack([ssm["B_re"], ssm["B_im"]], -1),
        "C": jnp.stack([ssm["C_re"], ssm["C_im"]], -1),
        "D": ssm["D"],
        "log_step": ssm["log_step"][:, None],
        "gate": layer["gate"]["gate"],
        "norm": layer["norm"],
    }


def _dense(p: dict[str, Any], x: jax.Array) -> jax.Array:
    return x @ p["weight"] + p["bias"]


def _combine(first: tuple[jax.Array, jax.Array], second: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
    (A_1, b_1), (A_2, b_2) = first, second
    return A_2 * A_1, A_2 * b_1 + b_2


def _ssm(p: dict[str, Any], u: jax.Array) -> jax.Array:
    """Apply a bidirectional S5 layer with conjugate symmetry to one sequence, (L, H)."""
    Lambda = p["Lambda_re"] + 1j * p["Lambda_im"]
    step = jnp.exp(p["log_step"][:, 0])
    B_tilde, C_tilde = p["B"][..., 0] + 1j * p["B"][..., 1], p["C"][..., 0] + 1j * p["C"][..., 1]
    Lambda_bar = jnp.exp(Lambda * step)
    B_bar = ((Lambda_bar - 1) / Lambda)[:, None] * B_tilde
    elements = (Lambda_bar * jnp.ones((u.shape[0], 1)), jax.vmap(lambda u: B_bar @ u)(u))
    _, forward = lax.associative_scan(_combine, elements)
    _, backward = lax.associative_scan(_combine, elements, reverse=True)
    x = jnp.concatenate([forward, backward], -1)
    return jax.vmap(lambda x: 2 * (C_tilde @ x).real)(x) + jax.vmap(lambda u: p["D"] * u)(u)


def _batch_norm(p: dict[str, Any], stats: dict[str, Any], x: jax.Array, momentum: float) -> tuple[jax.Array, Any]:
    mean, square = lax.pmean((x.mean(0), (x * x).mean(0)), "batch")
    var = jnp.maximum(square - mean * mean, 0)
    now = {"mean": mean, "var": var}
    stats = jax.tree.map(lambda old, new: momentum * old + (1 - momentum) * new, stats, now)
    return (x - mean) * (lax.rsqrt(var + 1e-5) * p["scale"]) + p["bias"], stats


def _model(params: dict[str, Any], stats: Any, inputs: Any, length: Any, config: S5Config) -> tuple[jax.Array, Any]:
    """Return the logits of one sequence, (L, d_input), and the statistics."""
    x, new_stats = _dense(params["encoder"], inputs), []
    for p, s in zip(params["layers"], stats, strict=True):
        u, s = _batch_norm(p["norm"], s, x, config.bn_momentum)
        y = _ssm(p, u)
        g = jax.nn.gelu(y)
        value = y if config.activation is Activation.half_glu2 else g
        x = x + value * jax.nn.sigmoid(_dense(p["gate"], g))
        new_stats.append(s)
    valid = jnp.arange(len(x)) < (len(x) if length is None else length)
    pooled = x.mean(0) if length is None else jnp.where(valid[:, None], x, 0).sum(0) / length
    return jax.nn.log_softmax(_dense(params["decoder"], pooled)), new_stats


def make_plain_step(
    config: S5Config, params: dict[str, Any], padded: bool
) -> tuple[Callable[..., Any], tuple[Any, Any, Any]]:
    """Return the published training step, not yet compiled, and its first state.

    Args:
        config: The model; bidirectional, with batch norm, `half_glu1` or `half_glu2`.
        params: From `plain_params`.
        padded: Whether sequences are padded. If so, only the pooling is masked.

    Returns:
        A jitted function (state, inputs, labels, lengths) -> (state, loss), and the state (params, stats, optimizer).
    """
    label_params = partial(
        jax.tree_util.tree_map_with_path,
        lambda path, _: "ssm" if any(getattr(key, "key", None) in SSM for key in path) else "regular",
    )
    optimizer = optax.multi_transform(
        {
            "ssm": optax.inject_hyperparams(optax.adam)(learning_rate=1e-3),
            "regular": optax.inject_hyperparams(optax.adamw)(learning_rate=3e-3, weight_decay=0.04),
        },
        label_params,
    )
    H = config.d_model
    stats = [{"mean": jnp.zeros(H), "var": jnp.ones(H)} for _ in range(config.n_layers)]
    batched = jax.vmap(
        partial(_model, config=config),
        in_axes=(None, None, 0, 0 if padded else None),
        out_axes=(0, None),
        axis_name="batch",
    )

    def loss(params: Any, stats: Any, inputs: Any, labels: Any, lengths: Any) -> Any:
        log_probabilities, stats = batched(params, stats, inputs, lengths)
        return -jnp.take_along_axis(log_probabilities, labels[:, None], 1).mean(), stats

    @jax.jit
    def step(state: Any, inputs: Any, labels: Any, lengths: Any) -> Any:
        params, stats, opt_state = state
        (value, stats), grads = jax.value_and_grad(loss, has_aux=True)(params, stats, inputs, labels, lengths)
        updates, opt_state = optimizer.update(grads, opt_state, params)
        return (optax.apply_updates(params, updates), stats, opt_state), value

    return step, (params, stats, optimizer.init(params))
