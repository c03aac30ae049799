from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from s5.choices import Activation, Norm, ParamGroups, Schedule
from s5.config import ModelConfig, OptimConfig
from s5.models import make_model
from s5.optim import RULES, Rule, make_optimizer, rule_of
from s5.params import BiasParam, InputParam, NormParam, OutputParam, StateParam, StepParam, WeightParam
from s5.schedule import learning_rate, make_schedule

LR, SSM_LR, DECAY = 0.02, 0.003, 0.1
KINDS = (StateParam, StepParam, InputParam, OutputParam, NormParam, WeightParam, BiasParam)
regular, no_decay, ssm, ssm_decay = Rule.regular, Rule.regular_no_decay, Rule.ssm, Rule.ssm_decay


def config(**changes):
    return OptimConfig(lr=LR, ssm_lr=SSM_LR, weight_decay=DECAY, **changes)


def params_of(**changes):
    small = ModelConfig(n_layers=1, d_model=4, d_state=4, n_blocks=1, activation=Activation.full_glu, **changes)
    return nnx.state(make_model(small, 2, 3, nnx.Rngs(0)), nnx.Param)


def variables(params):
    leaves, _ = jax.tree_util.tree_flatten_with_path(params, is_leaf=lambda node: isinstance(node, nnx.Variable))
    return {jax.tree_util.keystr(path, simple=True, separator="."): param for path, param in leaves}


@pytest.mark.parametrize("norm", Norm)
@pytest.mark.parametrize("bidirectional", [False, True], ids=["forward", "both"])
def test_every_parameter_is_in_exactly_one_group(bidirectional, norm):
    found = variables(params_of(norm=norm, bidirectional=bidirectional))
    assert {type(param) for param in found.values()} == set(KINDS)
    for groups in ParamGroups:
        assert set(RULES[groups]) == set(KINDS)
        assert all(isinstance(rule_of(param, config(groups=groups)), Rule) for param in found.values())


def test_parameters_have_the_kinds_of_their_roles():
    kinds = {path.removeprefix("layers.layer."): type(param) for path, param in variables(params_of()).items()}
    assert kinds == {
        "ssm.Lambda_re": StateParam, "ssm.Lambda_im": StateParam, "ssm.log_step": StepParam,
        "ssm.B_re": InputParam, "ssm.B_im": InputParam,
        "ssm.C_re": OutputParam, "ssm.C_im": OutputParam, "ssm.D": OutputParam,
        "norm.scale": NormParam, "norm.bias": NormParam,
        "gate.gate.weight": WeightParam, "gate.gate.bias": BiasParam,
        "gate.value.weight": WeightParam, "gate.value.bias": BiasParam,
        "encoder.weight": WeightParam, "encoder.bias": BiasParam,
        "head.decoder.weight": WeightParam, "head.decoder.bias": BiasParam,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("groups", "dt_global", "rules"),
    [
        #                                   Lambda  step  B  C and D  norm  weight  bias
        (ParamGroups.standard, False, (ssm, ssm, ssm, regular, ssm, regular, no_decay)),
        (ParamGroups.BandCdecay, False, (ssm, ssm, ssm_decay, regular, ssm, regular, no_decay)),
        (ParamGroups.BfastandCdecay, False, (ssm, ssm, regular, regular, ssm, regular, no_decay)),
        (ParamGroups.noBCdecay, False, (ssm, ssm, ssm, ssm, ssm, regular, no_decay)),
        (ParamGroups.standard, True, (ssm, regular, ssm, regular, ssm, regular, no_decay)),
        (ParamGroups.noBCdecay, True, (ssm, regular, ssm, ssm, ssm, regular, no_decay)),
    ],
    ids=lambda value: getattr(value, "name", None),
)
def test_groups_train_by_their_table(groups, dt_global, rules):
    asked = config(groups=groups, dt_global=dt_global)
    assert tuple(rule_of(kind(jnp.zeros(1)), asked) for kind in KINDS) == rules


def test_the_legend_shows_the_tables():
    rows = {"Λ, log Δ": StateParam, "B̃": InputParam, "C̃, D": OutputParam, "normalisation": NormParam,
            "weights": WeightParam, "biases": BiasParam}  # fmt: skip
    words = {ssm: "`ssm_lr`", ssm_decay: "`ssm_lr`, decay", regular: "`lr`, decay", no_decay: "`lr`"}
    lines = (Path(__file__).parents[2] / "docs" / "notation.md").read_text().splitlines()
    for name, kind in rows.items():
        wanted = [words[RULES[groups][kind]] for groups in ParamGroups]
        assert f"| {name} | {' | '.join(wanted)} |" in lines


def test_a_parameter_of_no_group_is_refused_by_its_path():
    params = nnx.state(nnx.Linear(2, 2, rngs=nnx.Rngs(0)), nnx.Param)
    with pytest.raises(TypeError, match=r"parameter bias is a Param, which is no optimizer group; groups: StateParam"):
        make_optimizer(config(), params, 10, 2)


@pytest.mark.parametrize("groups", ParamGroups)
def test_update_is_adamw_with_each_groups_rate_and_decay(groups):
    asked, params = config(groups=groups, warmup_epochs=0.2), params_of()
    optimizer, rng = make_optimizer(asked, params, 10, 2), np.random.default_rng(0)
    state, update = optimizer.init(params), jax.jit(optimizer.update)
    wanted = {path: np.asarray(param[...], np.float64) for path, param in variables(params).items()}
    moments = {path: (0.0, 0.0) for path in wanted}
    for step in range(3):
        grads = jax.tree.map(lambda p: jnp.asarray(rng.standard_normal(p.shape), jnp.float32), params)
        updates, state = update(grads, state, params)
        for path, param in variables(params).items():
            rule, g = rule_of(param, asked), np.asarray(variables(grads)[path][...], np.float64)
            m, v = moments[path] = 0.9 * moments[path][0] + 0.1 * g, 0.999 * moments[path][1] + 0.001 * g**2
            adam = m / (1 - 0.9 ** (step + 1)) / (np.sqrt(v / (1 - 0.999 ** (step + 1))) + 1e-8)
            peak = LR if rule.rate == "lr" else SSM_LR
            rate = peak * min(step / 2, 1)  # two steps of warm-up
            wanted[path] -= rate * (adam + DECAY * rule.decays * wanted[path])
        params = optax.apply_updates(params, updates)
    for path, param in variables(params).items():
        np.testing.assert_allclose(param[...], wanted[path], rtol=1e-4, atol=1e-6, err_msg=path)


def test_normalisation_and_biases_never_decay():
    params = params_of()
    for groups in ParamGroups:
        optimizer = make_optimizer(config(groups=groups, warmup_epochs=0.0), params, 10, 2)
        still = jax.tree.map(jnp.zeros_like, params)
        updates, _ = jax.jit(optimizer.update)(still, optimizer.init(params), params)
        for path, update in variables(updates).items():
            if path.endswith("bias") or ".norm." in path:
                assert not update[...].any(), path


def rate(step, warmup=4, total=20, schedule=Schedule.cosine):
    return float(learning_rate(step, 1.0, 0.1, warmup, total, schedule))


def test_schedule_has_its_endpoints():
    assert rate(0) == 0
    assert rate(1) == 0.25
    assert rate(4) == 1
    assert rate(12) == pytest.approx(0.55)  # half way down
    assert rate(20) == pytest.approx(0.1)
    assert rate(19) > rate(20)  # it falls to the very last step
    assert rate(0, warmup=0) == 1
    assert rate(25) == pytest.approx(0.1)
    assert rate(2, schedule=Schedule.constant) == 0.5
    assert rate(19, schedule=Schedule.constant) == 1


def test_schedule_never_jumps():
    rates = np.array([rate(step, warmup=10, total=100) for step in range(101)])
    assert np.abs(np.diff(rates)).max() < 0.1 + 1e-6
    assert (np.diff(rates[10:]) < 0).all()


def test_schedule_counts_epochs():
    schedule = make_schedule(config(warmup_epochs=0.5, lr_min=1e-4), LR, steps_per_epoch=8, epochs=3)
    assert float(schedule(4)) == pytest.approx(LR)
    assert float(schedule(2)) == pytest.approx(LR / 2)
    assert float(schedule(24)) == pytest.approx(1e-4)
