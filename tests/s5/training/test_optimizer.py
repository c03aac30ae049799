from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from s5.config.choices import Activation, Head, Norm, ParamGroups, Schedule
from s5.config.compat import OURS, UPSTREAM
from s5.config.families import S5Config
from s5.config.training import OptimConfig
from s5.models.sequence_model import make_model
from s5.nn.params import BiasParam, InputParam, NormParam, OutputParam, StateParam, StepParam, WeightParam
from s5.training.optimizer import RULES, Rule, clip, find_rule, make_optimizer
from s5.training.schedule import PlateauState, has_plateaued, learning_rate, make_schedule

LR, SSM_LR, DECAY = 0.02, 0.003, 0.1
KINDS = (StateParam, StepParam, InputParam, OutputParam, NormParam, WeightParam, BiasParam)
regular, no_decay, ssm, ssm_decay = Rule.regular, Rule.regular_no_decay, Rule.ssm, Rule.ssm_decay


def config(**changes: Any) -> OptimConfig:
    return OptimConfig(lr=LR, ssm_lr=SSM_LR, weight_decay=DECAY, **changes)


def params_of(**changes: Any) -> Any:
    small = S5Config(n_layers=1, d_model=4, d_state=4, n_blocks=1, activation=Activation.full_glu, **changes)
    return nnx.state(make_model(small, 2, 3, nnx.Rngs(0)), nnx.Param)


def variables(params: Any) -> dict[str, Any]:
    leaves, _ = jax.tree_util.tree_flatten_with_path(params, is_leaf=lambda node: isinstance(node, nnx.Variable))
    return {jax.tree_util.keystr(path, simple=True, separator="."): param for path, param in leaves}


@pytest.mark.parametrize("norm", [Norm.batch, Norm.layer, Norm.group])
@pytest.mark.parametrize("bidirectional", [False, True], ids=["forward", "both"])
def test_every_parameter_is_in_exactly_one_group(bidirectional: bool, norm) -> None:
    found = variables(params_of(norm=norm, bidirectional=bidirectional))
    assert {type(param) for param in found.values()} == set(KINDS)
    for groups in ParamGroups:
        assert set(RULES[groups]) == set(KINDS)
        assert all(isinstance(find_rule(param, config(groups=groups)), Rule) for param in found.values())


def test_parameters_have_the_kinds_of_their_roles() -> None:
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


@pytest.mark.parametrize("head", Head)
@pytest.mark.parametrize("activation", Activation)
def test_every_parameter_of_every_model_has_a_rule_at_any_depth(activation, head) -> None:
    small = S5Config(n_layers=3, d_model=4, d_state=4, n_blocks=1, activation=activation, conj_sym=False)
    params = nnx.state(make_model(small, 2, 3, nnx.Rngs(0), head=head), nnx.Param)
    assert all(param.shape[0] == 3 for path, param in variables(params).items() if path.startswith("layers"))
    for groups in ParamGroups:
        for compat in (OURS, UPSTREAM):
            make_optimizer(config(groups=groups), params, 10, 2, compat)


@pytest.mark.parametrize("groups", ParamGroups)
def test_upstream_leaves_normalisation_and_biases_to_decay(groups: Any) -> None:
    asked = config(groups=groups)
    for kind in KINDS:
        rule = find_rule(kind(jnp.zeros(1)), asked, compat=UPSTREAM)
        assert rule is (regular if kind in (NormParam, BiasParam) else find_rule(kind(jnp.zeros(1)), asked)), kind


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
def test_groups_train_by_their_table(groups: ParamGroups, dt_global: bool, rules) -> None:
    asked = config(groups=groups, dt_global=dt_global)
    assert tuple(find_rule(kind(jnp.zeros(1)), asked) for kind in KINDS) == rules


def test_the_legend_shows_the_tables() -> None:
    rows = {"Λ, log Δ": StateParam, "B̃": InputParam, "C̃, D": OutputParam, "normalisation": NormParam,
            "weights": WeightParam, "biases": BiasParam}  # fmt: skip
    words = {ssm: "`ssm_lr`", ssm_decay: "`ssm_lr`, decay", regular: "`lr`, decay", no_decay: "`lr`"}
    lines = (Path(__file__).parents[3] / "docs" / "notation.md").read_text().splitlines()
    for name, kind in rows.items():
        wanted = [words[RULES[groups][kind]] for groups in ParamGroups]
        assert f"| {name} | {' | '.join(wanted)} |" in lines


def test_a_parameter_of_no_group_is_refused_by_its_path() -> None:
    params = nnx.state(nnx.Linear(2, 2, rngs=nnx.Rngs(0)), nnx.Param)
    with pytest.raises(
        TypeError, match=r"parameter bias is a Param, which is not an optimizer group; groups: StateParam"
    ):
        make_optimizer(config(), params, 10, 2)


@pytest.mark.parametrize("groups", ParamGroups)
def test_update_is_adamw_with_each_groups_rate_and_decay(groups: Any) -> None:
    asked, params = config(groups=groups, warmup_epochs=0.2), params_of()
    optimizer, rng = make_optimizer(asked, params, 10, 2), np.random.default_rng(0)
    state, update = optimizer.init(params), jax.jit(optimizer.update)
    wanted = {path: np.asarray(param[...], np.float64) for path, param in variables(params).items()}
    moments = {path: (0.0, 0.0) for path in wanted}
    for step in range(3):
        grads = jax.tree.map(lambda p: jnp.asarray(rng.standard_normal(p.shape), jnp.float32), params)
        updates, state = update(grads, state, params)
        for path, param in variables(params).items():
            rule, g = find_rule(param, asked), np.asarray(variables(grads)[path][...], np.float64)
            m, v = moments[path] = 0.9 * moments[path][0] + 0.1 * g, 0.999 * moments[path][1] + 0.001 * g**2
            adam = m / (1 - 0.9 ** (step + 1)) / (np.sqrt(v / (1 - 0.999 ** (step + 1))) + 1e-8)
            peak = LR if rule.rate == "lr" else SSM_LR
            rate = peak * min(step / 2, 1)  # two steps of warm-up
            wanted[path] -= rate * (adam + DECAY * rule.decays * wanted[path])
        params = optax.apply_updates(params, updates)
    for path, param in variables(params).items():
        np.testing.assert_allclose(param[...], wanted[path], rtol=1e-4, atol=1e-6, err_msg=path)


def test_normalisation_and_biases_never_decay() -> None:
    params = params_of()
    for groups in ParamGroups:
        optimizer = make_optimizer(config(groups=groups, warmup_epochs=0.0), params, 10, 2)
        still = jax.tree.map(jnp.zeros_like, params)
        updates, _ = jax.jit(optimizer.update)(still, optimizer.init(params), params)
        for path, update in variables(updates).items():
            if path.endswith("bias") or ".norm." in path:
                assert not update[...].any(), path


def rate(step, warmup: int = 4, total: int = 20, schedule: Schedule = Schedule.cosine) -> float:
    return float(learning_rate(step, 1.0, 0.1, warmup, total, schedule))


def test_schedule_has_its_endpoints() -> None:
    assert rate(0) == 0
    assert rate(1) == 0.25
    assert rate(4) == 1
    assert rate(12) == pytest.approx(0.55)  # half way down
    assert rate(20) == pytest.approx(0.1)
    assert rate(19) > rate(20)  # it plateau to the very last step
    assert rate(0, warmup=0) == 1
    assert rate(25) == pytest.approx(0.1)
    assert rate(2, schedule=Schedule.constant) == 0.5
    assert rate(19, schedule=Schedule.constant) == 1


def test_schedule_never_jumps() -> None:
    rates = np.array([rate(step, warmup=10, total=100) for step in range(101)])
    assert np.abs(np.diff(rates)).max() < 0.1 + 1e-6
    assert (np.diff(rates[10:]) < 0).all()


def test_schedule_counts_epochs() -> None:
    schedule = make_schedule(config(warmup_epochs=0.5, lr_min=1e-4), LR, steps_per_epoch=8, epochs=3)
    assert float(schedule(4)) == pytest.approx(LR)
    assert float(schedule(2)) == pytest.approx(LR / 2)
    assert float(schedule(24)) == pytest.approx(1e-4)
    tenth = make_schedule(config(warmup_epochs=0.1), LR, steps_per_epoch=30, epochs=3)
    assert float(tenth(3)) == pytest.approx(LR)  # not at step 4, which 0.1 * 30 > 3 would say
    begun = make_schedule(config(warmup_epochs=0.11), LR, steps_per_epoch=30, epochs=3)
    assert float(begun(3)) == pytest.approx(LR * 3 / 4)  # a step that is begun counts


def rates_of_upstream(asked, peak, steps_per_epoch: int, scores) -> list[Any]:
    """Return the rate of every update as in the S5 repository, which sets it after the previous update."""
    rates, now, warmup = [], peak, int(asked.warmup_epochs)
    best, waited, epochs = -1.0, 0, len(scores)
    for epoch, new in enumerate(scores):
        for step in range(epoch * steps_per_epoch, (epoch + 1) * steps_per_epoch):
            rates.append(now)
            if epoch < warmup:
                now = peak * (step + 1) / (warmup * steps_per_epoch)
            elif asked.schedule is Schedule.cosine:
                end = (epochs - warmup) * steps_per_epoch
                now = asked.lr_min + (peak - asked.lr_min) * (1 + np.cos(np.pi * min(step, end) / end)) / 2
            else:
                now = peak
        if asked.schedule is Schedule.plateau:
            best, waited = (new, 0) if new > best else (best, waited + 1)
            if waited > asked.lr_patience_epochs:
                peak, waited = max(peak * asked.lr_reduce_factor, asked.lr_min), 0
    return rates


SCORES = [0.1, 0.3, 0.2, 0.2, 0.3, 0.2, 0.4, 0.1, 0.1, 0.1, 0.1, 0.1]


def rates_of_ours(asked, steps_per_epoch: int, scores, compat) -> list[Any]:
    """Return the rate of every update in a loop that evaluates after each epoch, as `s5.training.loop` does."""
    schedule = make_schedule(asked, LR, steps_per_epoch, len(scores), compat)
    plateau, best_step, best, rates = PlateauState.initial(), 0, -1.0, []
    for step in range(len(scores) * steps_per_epoch):
        rates.append(float(schedule(step, plateau)))
        done = step + 1
        if done % steps_per_epoch == 0:
            new = scores[step // steps_per_epoch]
            best_step, best = (done, new) if new > best else (best_step, best)
            if has_plateaued(asked, done - max(best_step, int(plateau.step)), steps_per_epoch, compat):
                plateau = plateau.reduce(done)
    return rates


@pytest.mark.parametrize("warmup_epochs", [0.0, 2.0])
@pytest.mark.parametrize("schedule", Schedule)
def test_upstream_rates_are_those_of_its_loop(schedule, warmup_epochs: float) -> None:
    asked = config(schedule=schedule, warmup_epochs=warmup_epochs, lr_min=0.002, lr_patience_epochs=1)
    ours = rates_of_ours(asked, 3, SCORES, UPSTREAM)
    np.testing.assert_allclose(ours, rates_of_upstream(asked, LR, 3, SCORES), rtol=1e-5)
    assert ours[0] == pytest.approx(LR)  # the first update is not a warm-up
    if schedule is Schedule.cosine:
        assert (ours[-1] == pytest.approx(0.002)) == (warmup_epochs > 0)  # the last epochs, as many, are at the floor
        assert ours != rates_of_ours(asked, 3, SCORES, OURS)


def test_rates_fall_at_a_plateau_and_stop_at_the_floor() -> None:
    asked = config(
        schedule=Schedule.plateau, warmup_epochs=0.0, lr_min=0.002, lr_patience_epochs=2, lr_reduce_factor=0.3
    )
    ours = np.array(rates_of_ours(asked, 2, SCORES, OURS))[::2]  # of the first update of each epoch
    # The best scores are those of epochs 2 and 7; two epochs later, and then every two, the rates fall.
    wanted = [LR] * 4 + [0.3 * LR] * 2 + [0.002] * 6
    np.testing.assert_allclose(ours, np.float32(wanted), rtol=1e-5)


def test_a_plateau_warms_up_to_where_the_rates_have_fallen() -> None:
    asked = config(schedule=Schedule.plateau, warmup_epochs=2.0, lr_min=0.0)
    fallen = PlateauState(jnp.int32(1), jnp.int32(1))
    assert float(make_schedule(asked, LR, 4, 9)(4, fallen)) == pytest.approx(LR / 4)
    assert float(make_schedule(asked, LR, 4, 9)(8, fallen)) == pytest.approx(LR / 2)


def test_a_gradient_is_clipped_by_its_global_norm() -> None:
    gradient = {"a": jnp.array([3.0, 0.0]), "b": jnp.array([[4.0]])}
    short = clip(gradient, 1.0)
    np.testing.assert_allclose(short["a"], [0.6, 0.0], rtol=1e-6)
    np.testing.assert_allclose(short["b"], [[0.8]], rtol=1e-6)
    assert all((clip(gradient, 5.0)[name] == gradient[name]).all() for name in gradient)
    assert np.isnan(clip({"a": jnp.array([jnp.nan, 1.0])}, 1.0)["a"]).all()
    huge = clip({"a": jnp.array([3e30, 4e30])}, 1.0)["a"]  # whose squares are no float32
    np.testing.assert_allclose(huge, [0.6, 0.8], rtol=1e-5)
    assert not np.any(clip({"a": jnp.zeros(2)}, 1.0)["a"])


def test_clipping_comes_before_adam() -> None:
    params = params_of()
    grads = jax.tree.map(lambda p: jnp.full(p.shape, 7.0), params)
    moments = {}
    for norm in (None, 0.5):
        optimizer = make_optimizer(config(clip_norm=norm), params, 10, 2)
        _, state = optimizer.update(grads, optimizer.init(params), params)
        moments[norm] = optax.tree.norm(state.adam.mu)
    assert float(moments[0.5]) == pytest.approx(0.05, rel=1e-5)
    assert float(moments[None]) > 1
