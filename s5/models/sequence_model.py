"""Deep sequence models. Source: Smith et al. 2023 (arXiv:2208.04933)."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, PyTree, Shaped

from s5.config.choices import Encoder, Head, Likelihood, Pooling, Precision, Times
from s5.config.compat import OURS, Compat
from s5.config.model import ModelConfig
from s5.models.stack import Stack
from s5.nn.cnn_encoder import N_FEATURES, PictureFeatures
from s5.nn.dense import Dense
from s5.nn.heads import HEADS
from s5.nn.initializers import make_traceable
from s5.nn.norm import make_norm
from s5.nn.steps import REGULAR, Steps, check_steps

DTYPES = {Precision.float32: jnp.float32, Precision.bfloat16: jnp.bfloat16}


class StreamState(NamedTuple):
    """The state of a model between two steps of a stream; a pytree.

    Attributes:
        layers: The states of all layers; the first axes of every array are (n_layers, batch).
        head: The head's state; the first axis of every array is the batch.
    """

    layers: PyTree
    head: PyTree


class SequenceModel(nnx.Module):
    """A model of an encoder, a stack of sequence layers and a head.

    In a retrieval model an example is a pair of documents: all inputs have an axis of size 2 after the batch axis. A
    Gaussian model returns 2 `d_output` numbers per step: first the means, then the variances.
    """

    def __init__(
        self, config: ModelConfig, d_input: int, d_output: int, rng: np.random.Generator, head: Head, compat: Compat
    ) -> None:
        self.pictures = PictureFeatures(d_input, rng) if config.encoder is Encoder.picture else None
        n_features = d_input if self.pictures is None else N_FEATURES
        self.encoder = Dense(n_features + (config.times is Times.append), config.d_model, rng)
        self.d_input, self.d_output = d_input, d_output
        self.layers = Stack(config, rng)
        self.norm = make_norm(config) if config.final_norm else None
        self.head = HEADS[head](config, d_output, rng)
        self.kind, self.compat, self.pooling = head, compat, config.pooling
        self.dropout, self.drop_path = config.dropout, config.drop_path
        self.dtype, self.times = DTYPES[config.precision], config.times

    def __call__(
        self,
        inputs: Shaped[Array | np.ndarray, "batch *documents L d_stored"],
        steps: Steps = REGULAR,
        *,
        train: bool = False,
        key: Any = None,
    ) -> Float[Array, "batch *axes d_answer"]:
        """Return the logits of each sequence or pair, or the output of each step.

        Args:
            inputs: Sequences, padded at their ends with finite values. A step has d_input features, or one token: an
                integer below d_input.
            steps: Mask, intervals and resets of the steps; `Steps.of(L, lengths)` for padded sequences.
            train: Whether to use dropout, to normalise by the batch's statistics, and to update the running statistics.
            key: Random key of the dropout; training with dropout needs it.

        Returns:
            float32 logits (batch, d_output). For a regression, values (batch, L, d_output); for a Gaussian regression,
            means and then variances (batch, L, 2 d_output).

        Raises:
            ValueError: If the dropout key is missing in training, if the inputs have no axis for two documents, if the
                steps do not fit the inputs, if the encoder cannot read tokens, or if it needs times and has none. Under
                `compat=upstream` also for `pooling=last` with padded sequences, which the S5 repository cannot do.
        """
        if train and (self.dropout or self.drop_path) and key is None:
            name = "dropout" if self.dropout else "drop_path"
            raise ValueError(f"training with {name}={self.dropout or self.drop_path} needs a key")
        padded_layers = self.compat.padding_enters_layers
        if padded_layers and steps.mask is not None and self.pooling is Pooling.last and not self.kind.per_step:
            raise ValueError("model.pooling=last: not possible for padded sequences with compat=upstream")
        rows, steps = self._rows(inputs), self._row_steps(steps, jnp.shape(inputs)[:-1])
        layer_steps = self._layer_steps(steps)
        if padded_layers:
            layer_steps = layer_steps._replace(mask=None)
        x = self.layers(self._encode(rows, steps), layer_steps, train=train, key=key if train else None)
        if self.norm is not None:
            x = self.norm(x, self.layers.steps_after(layer_steps, rows.shape[1]), train)
        return self.head(x, self.layers.steps_after(steps, rows.shape[1]))

    def initial_state(self, batch: int) -> StreamState:
        """Return the state before the first step of a stream.

        Args:
            batch: Number of examples.
        """
        rows = batch * (2 if self.kind is Head.retrieval else 1)
        return StreamState(self.layers.initial_state(rows), self.head.initial_state(rows))

    def step(
        self,
        state: StreamState,
        inputs: Shaped[Array | np.ndarray, "batch *documents d_stored"],
        steps: Steps = REGULAR,
    ) -> tuple[StreamState, Float[Array, "batch d_answer"]]:
        """Process one step of a stream; see `advance`.

        Args:
            state: The state before the step.
            inputs: The inputs of the step.
            steps: Interval and reset of the step; their shape is (batch, *documents).

        Returns:
            The state after the step; the logits of the sequence so far, or the step's output.
        """
        state, out = self.advance(state, jnp.expand_dims(jnp.asarray(inputs), -2), steps.as_chunk())
        return state, out[:, 0] if self.kind.per_step else out

    def advance(
        self,
        state: StreamState,
        inputs: Shaped[Array | np.ndarray, "batch *documents L d_stored"],
        steps: Steps = REGULAR,
    ) -> tuple[StreamState, Float[Array, "batch *axes d_answer"]]:
        """Process the next chunk of a stream, as in evaluation; the result equals that of a call on the whole sequence.

        Args:
            state: The state before the chunk.
            inputs: The next steps, all valid.
            steps: Intervals and resets of the steps, without a mask.

        Returns:
            The state after the chunk; the logits of the sequence so far, or the outputs of the chunk's steps.

        Raises:
            ValueError: If the model cannot process a stream: it is bidirectional, its norm is over time, or it pools
                between layers.
        """
        rows, steps = self._rows(inputs), self._row_steps(steps, jnp.shape(inputs)[:-1])
        layers, x = self.layers.advance(state.layers, self._encode(rows, steps), self._layer_steps(steps))
        if self.norm is not None:
            x = self.norm(x, steps, False)
        head, out = self.head.advance(state.head, x, steps)
        return StreamState(layers, head), out

    def _encode(self, rows: Shaped[Array, "rows L d_stored"], steps: Steps) -> Float[Array, "rows L H"]:
        """Return the features of each step; integers are tokens, one per step."""
        if jnp.issubdtype(rows.dtype, jnp.integer):
            if rows.shape[-1] != 1:
                raise ValueError(
                    f"integer inputs are tokens, one per step, not {rows.shape[-1]}; give features as floats"
                )
            if self.encoder.weight.shape[0] == 1:
                raise ValueError(
                    "integer inputs are tokens, but this model reads one feature per step; scale the values to floats "
                    "as the data set does, or use `load_run(path).predict`"
                )
            if self.pictures is not None or self.times is Times.append:
                key = "model.times=append" if self.pictures is None else "model.encoder=picture"
                raise ValueError(f"integer inputs are tokens, which {key} cannot read; give features as floats")
            return self.encoder.lookup(rows[..., 0], self.dtype)
        if rows.shape[-1] != self.d_input:
            raise ValueError(f"the inputs have {rows.shape[-1]} features per step, and this model takes {self.d_input}")
        features = rows.astype(self.dtype)
        if self.pictures is not None:
            features = self.pictures(features)
        if self.times is Times.append:
            gaps = steps.gaps(reverse=False)
            if gaps is None:
                raise ValueError("model.times=append: the times of the steps are missing; give Steps.of(L, times=...)")
            features = jnp.concatenate([features, gaps[..., None].astype(self.dtype)], axis=-1)
        return self.encoder(features)

    def _rows(
        self, inputs: Shaped[Array | np.ndarray, "batch *documents L d_stored"]
    ) -> Shaped[Array, "rows L d_stored"]:
        """Return the inputs with both documents of a pair as neighbouring rows."""
        inputs = jnp.asarray(inputs)
        if self.kind is not Head.retrieval:
            if inputs.ndim != 3:
                hint = "; inputs[None] adds the axis of the batch" if inputs.ndim == 2 else ""
                raise ValueError(f"a model takes inputs of shape (batch, L, features), not {inputs.shape}{hint}")
            return inputs
        if inputs.ndim != 4 or inputs.shape[1] != 2:
            raise ValueError(f"a retrieval model takes pairs: axis 1 of size 2, not an input of shape {inputs.shape}")
        return inputs.reshape(-1, *inputs.shape[2:])

    def _row_steps(self, steps: Steps, shape: tuple[Any, ...]) -> Steps:
        """Return the steps with one row per document, as `_rows` does; raise if they do not fit inputs of a shape."""
        check_steps(steps, shape)
        if self.kind is not Head.retrieval:
            return steps
        return Steps(*jax.tree.map(lambda array: jnp.reshape(array, (-1, shape[-1])), steps[:-1]), rate=steps.rate)

    def _layer_steps(self, steps: Steps) -> Steps:
        """Return the steps for the layers, which use the intervals only with `model.times=steps`."""
        return steps if self.times is Times.steps else steps._replace(intervals=None)


def make_model(
    config: ModelConfig,
    d_input: int,
    d_output: int,
    rngs: nnx.Rngs,
    *,
    head: Head = Head.classification,
    compat: Compat = OURS,
) -> SequenceModel:
    """Build a model with random initial parameters.

    Args:
        config: The model's configuration.
        d_input: Number of features of an input step, or of different tokens.
        d_output: Number of classes, or of features of an output step.
        rngs: Random streams; one key of `params` is drawn.
        head: The task of the data; `model.likelihood=gaussian` turns a regression into a Gaussian regression.
        compat: Whether padded steps enter the scans and the batch statistics.

    Returns:
        The model. It contains parameters (`nnx.Param`) and batch statistics (`nnx.BatchStat`), but no random state.

    Raises:
        ValueError: If the configuration does not fit `d_input` or `head`: it needs pictures, or a regression.
    """
    config.check_fits(d_input, head)
    if config.likelihood is Likelihood.gaussian:
        head = Head.gaussian
    return make_traceable(lambda rng: SequenceModel(config, d_input, d_output, rng, head, compat), rngs)
