"""A program with four devices, which `test_sharding` starts by its path; it prints JSON."""

import json
import sys
import tempfile
from pathlib import Path

import jax
import numpy as np
from flax import nnx

from s5.config.choices import Head
from s5.config.compose import compose
from s5.config.families import S5Config
from s5.config.training import OptimConfig
from s5.data.batch import Batch
from s5.errors import Stopped
from s5.models.sequence_model import make_model
from s5.process.sharding import Devices
from s5.run_dir.result import read_metrics
from s5.training import checkpoints, loop
from s5.training.evaluate import evaluate, make_eval_step
from s5.training.optimizer import make_optimizer
from s5.training.step import MetricWindow, TrainState, make_train_step
from tests.s5.stop_requests import StopsAt

STEPS, BATCH, LENGTH, CLASSES = 4, 8, 12, 3
SMALL = S5Config(n_layers=2, d_model=8, d_state=8, n_blocks=1, bidirectional=True, dt_min=0.01, dt_max=0.3, dropout=0.1)


def batches(head: Head) -> list[Batch]:
    """Return padded batches; one row is all padding."""
    rng = np.random.default_rng(0)
    pair = (2,) if head is Head.retrieval else ()
    made = []
    for _ in range(STEPS):
        inputs = rng.standard_normal((BATCH, *pair, LENGTH, 2)).astype(np.float32)
        lengths = rng.integers(1, LENGTH + 1, (BATCH, *pair)).astype(np.int32)
        lengths[3] = 0
        labels = rng.integers(0, CLASSES, BATCH).astype(np.int32)
        if head is Head.regression:
            labels = rng.standard_normal((BATCH, LENGTH, CLASSES)).astype(np.float32)
        weight = np.ones(BATCH, np.float32)
        weight[-1] = 0
        made.append(Batch(inputs, labels, lengths, weight))
    return made


def trained(devices: Devices, head: Head, microbatches: int) -> tuple[dict[str, np.ndarray], dict[str, float], str]:
    """Return all arrays after the first step and after a few steps, the scores, and the compiled step."""
    model = make_model(SMALL, 2, CLASSES, nnx.Rngs(params=jax.random.key(1)), head=head)
    graphdef, params, stats = nnx.split(model, nnx.Param, ...)
    optimizer = make_optimizer(OptimConfig(warmup_epochs=0.0, clip_norm=1.0), params, 4, 2)
    step = make_train_step(
        graphdef, optimizer, lambda batch: batch.lengths, head=head, microbatches=microbatches, devices=devices
    )
    state = TrainState(np.int32(0), jax.random.key(2), params, stats, optimizer.init(params))
    state, window = devices.replicate(jax.tree.map(jax.numpy.asarray, (state, MetricWindow.empty(head))))
    placed = [jax.tree.map(jax.numpy.asarray, devices.shard_batch(batch)) for batch in batches(head)]
    divided = {str(shard.index) for shard in placed[0].inputs.addressable_shards}
    assert len(divided) == devices.count, "the batch is not divided"
    text = step.lower(state, window, placed[0]).compile().as_text()
    arrays = {}
    for number, batch in enumerate(placed):
        state, window = step(state, window, batch)
        if number in (0, STEPS - 1):
            arrays |= checkpoints.flatten((state, window), f"{number}")
    scorer = make_eval_step(graphdef, lambda batch: batch.lengths, head=head, devices=devices)
    scores = evaluate(scorer, state.params, state.stats, batches(head), head=head, devices=devices)
    return arrays, scores, text


def compare(head: Head, microbatches: int) -> dict[str, object]:
    """Return the difference between four devices and one device, and the transfers in the step with four."""
    one, one_scores, _ = trained(Devices(1), head, microbatches)
    four, four_scores, text = trained(Devices(4), head, microbatches)
    far = {
        name: float((np.abs(one[name].astype(np.float64) - four[name]) / (1 + np.abs(one[name]))).max(initial=0))
        for name in one
    }
    kinds = ("all-gather", "all-to-all", "collective-permute", "all-reduce")
    return {
        "arrays": max(far.values()),
        "worst": max(far, key=far.__getitem__),
        "scores": max(abs(one_scores[name] - four_scores[name]) for name in one_scores),
        "transfers": [kind for kind in kinds if f" {kind}(" in text or f" {kind}-start(" in text],
    }


def run(overrides: list[str], plan: list[tuple[int, int]], folder: Path) -> list[dict[str, float]]:
    """Return the metrics of a run; give for each attempt its number of devices and when it is stopped."""
    for number, (n_devices, look) in enumerate(plan):
        attempt = folder / "attempts" / str(number)
        attempt.mkdir(parents=True)
        try:
            loop.train(compose([*overrides, f"train.devices={n_devices}"]), folder, attempt, StopsAt(look))
        except Stopped:
            continue
    return read_metrics(folder)


def main() -> None:
    """Run the comparison; the arguments are overrides of a small run."""
    answer: dict[str, object] = {
        f"{head.name} {microbatches}": compare(head, microbatches)
        for head, microbatches in [(Head.classification, 2), (Head.regression, 1)]
    }
    with tempfile.TemporaryDirectory() as folder:
        answer["one"] = run(sys.argv[1:], [(1, 0)], Path(folder, "one"))
        answer["mixed"] = run(sys.argv[1:], [(4, 9), (1, 9), (4, 0)], Path(folder, "mixed"))
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
