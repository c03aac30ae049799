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
from s5.nn.initializers import generator_of
from s5.nn.steps import REGULAR, Steps, check_steps

DTYPES = {Precision.float32: jnp.float32, Precision.bfloat16: jnp.bfloat16}


class StreamState(NamedTuple):
    """What a model carries from step to step of a stream; a pytree.

    Attributes:
        layers: The states of all layers; every array begins with (n_layers, batch).
        head: The head's state; every array begins with (batch,).
    """

    layers: PyTree
    head: PyTree


class SequenceModel(nnx.Module):
    """Encoder, sequence layers, head.

    A retrieval model takes two documents per example, as an axis of size 2 after the batch's, in all its inputs. A
    Gaussian one returns two numbers for each of `d_output`: its mean, then, after all means, its variance.
    """

    def __init__(
        self, config: ModelConfig, d_input: int, d_output: int, rng: np.random.Generator, head: Head, compat: Compat
    ) -> None:
        self.pictures = PictureFeatures(d_input, rng) if config.encoder is Encoder.picture else None
        n_features = d_input if self.pictures is None else N_FEATURES
        self.encoder = Dense(n_features + (config.times is Times.append), config.d_model, rng)
        self.layers = Stack(config, rng)
        self.head = HEADS[head](config, d_output, rng)
        self.kind, self.compat, self.pooling = head, compat, config.pooling
        self.dropout, self.dtype, self.times = config.dropout, DTYPES[config.precision], config.times

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
            inputs: Sequences, padded at their ends with anything finite: d_input features per step, or one token, a
                whole number below d_input.
            steps: What is known about the steps: `Steps.of(L, lengths)` for padded sequences.
            train: Whether this is training: the batch's statistics normalise and update the running ones, and dropout
                is drawn.
            key: Random key of the dropout; training with dropout needs it.

        Returns:
            (batch, d_output) logits, or (batch, L, d_output) for regression, (batch, L, 2 d_output) for a Gaussian one;
            float32.

        Raises:
            ValueError: If training with dropout has no key, if the inputs lack the documents' axis or the steps do not
                describe them, if the encoder cannot read tokens or needs times that are missing; under `compat`, for
                the last step of padded sequences, which the S5 repository cannot take.
        """
        if train and self.dropout and key is None:
            raise ValueError(f"training with dropout={self.dropout} needs a key")
        padded_layers = self.compat.padding_enters_layers
        if padded_layers and steps.mask is not None and self.pooling is Pooling.last and not self.kind.per_step:
            raise ValueError("compat=upstream has no model.pooling=last for padded sequences")
        rows, steps = self._rows(inputs), self._row_steps(steps, inputs.shape[:-1])
        of_layers = self._steps_of_layers(steps)
        if padded_layers:
            of_layers = of_layers._replace(mask=None)
        x = self.layers(self._encode(rows, steps), of_layers, train=train, key=key if train else None)
        return self.head(x, steps)

    def initial_state(self, batch: int) -> StreamState:
        """Return the state before the first step of a stream.

        Args:
            batch: Examples.
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
            steps: What is known about the step; its arrays are (batch, *documents).

        Returns:
            The state after the step; the logits of the sequence so far, or the step's output.
        """
        state, out = self.advance(state, jnp.expand_dims(jnp.asarray(inputs), -2), steps.with_axis_of_length())
        return state, out[:, 0] if self.kind.per_step else out

    def advance(
        self,
        state: StreamState,
        inputs: Shaped[Array | np.ndarray, "batch *documents L d_stored"],
        steps: Steps = REGULAR,
    ) -> tuple[StreamState, Float[Array, "batch *axes d_answer"]]:
        """Process the next chunk of a stream, as in evaluation: equal to a call on the whole sequence.

        Args:
            state: The state before the chunk.
            inputs: The next steps, all valid.
            steps: What is known about the steps, without a mask.

        Returns:
            The state after the chunk; the logits of the sequence so far, or the outputs of the chunk's steps.

        Raises:
            ValueError: If the model is bidirectional, so that it cannot stream.
        """
        rows, steps = self._rows(inputs), self._row_steps(steps, inputs.shape[:-1])
        layers, x = self.layers.advance(state.layers, self._encode(rows, steps), self._steps_of_layers(steps))
        head, out = self.head.advance(state.head, x, steps)
        return StreamState(layers, head), out

    def _encode(self, rows: Shaped[Array, "rows L d_stored"], steps: Steps) -> Float[Array, "rows L H"]:
        """Return the features of each step; whole numbers are tokens, one per step."""
        if jnp.issubdtype(rows.dtype, jnp.integer):
            if rows.shape[-1] != 1:
                raise ValueError(f"whole numbers are tokens, one a step, not {rows.shape[-1]}; give features as floats")
            if self.encoder.weight.shape[0] == 1:
                raise ValueError(
                    "whole numbers are tokens, and this model has one feature; scale the values to floats as the data "
                    "set does, or use `load_run(path).predict`"
                )
            if self.pictures is not None or self.times is Times.append:
                key = "model.times=append" if self.pictures is None else "model.encoder=picture"
                raise ValueError(f"whole numbers are tokens, which {key} cannot read; give features as floats")
            return self.encoder.lookup(rows[..., 0], self.dtype)
        features = rows.astype(self.dtype)
        if self.pictures is not None:
            features = self.pictures(features)
        if self.times is Times.append:
            gaps = steps.gaps(reverse=False)
            if gaps is None:
                raise ValueError("model.times=append: it must be known when each step was observed")
            features = jnp.concatenate([features, gaps[..., None].astype(self.dtype)], axis=-1)
        return self.encoder(features)

    def _rows(
        self, inputs: Shaped[Array | np.ndarray, "batch *documents L d_stored"]
    ) -> Shaped[Array, "rows L d_stored"]:
        """Return the inputs with both documents of a pair as neighbouring rows."""
        inputs = jnp.asarray(inputs)
        if self.kind is not Head.retrieval:
            return inputs
        if inputs.ndim != 4 or inputs.shape[1] != 2:
            raise ValueError(f"a retrieval model takes pairs: axis 1 of size 2, not an input of shape {inputs.shape}")
        return inputs.reshape(-1, *inputs.shape[2:])

    def _row_steps(self, steps: Steps, shape: tuple[Any, ...]) -> Steps:
        """Return the steps of `_rows`, after a check that they describe inputs of a shape."""
        check_steps(steps, shape)
        if self.kind is not Head.retrieval:
            return steps
        return Steps(*jax.tree.map(lambda array: jnp.reshape(array, (-1, shape[-1])), steps[:-1]), rate=steps.rate)

    def _steps_of_layers(self, steps: Steps) -> Steps:
        """Return the steps as the layers see them: intervals move their states only with `model.times=steps`."""
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
    """Build a model with fresh parameters.

    Args:
        config: The model's configuration.
        d_input: Features of one input step.
        d_output: Classes, or features of one output step.
        rngs: Random streams; one key of `params` is drawn.
        head: The task of the data; with `model.likelihood=gaussian` a regression becomes a Gaussian one.
        compat: Whether padded steps enter the scans and the batch statistics.

    Returns:
        The model. It holds parameters (`nnx.Param`) and batch statistics (`nnx.BatchStat`), no random state.

    Raises:
        ValueError: If the configuration needs pictures or a regression, and the data are something else.
    """
    config.check_fits(d_input, head)
    if config.likelihood is Likelihood.gaussian:
        head = Head.gaussian
    return SequenceModel(config, d_input, d_output, generator_of(rngs), head, compat)
