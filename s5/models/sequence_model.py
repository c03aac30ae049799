"""Deep sequence models. Source: Smith et al. 2023 (arXiv:2208.04933)."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, Int, Shaped

from s5.config.choices import Compat, Encoder, Head, Likelihood, Pooling, Precision, Times
from s5.config.run import ModelConfig
from s5.models.stack import Stack
from s5.nn.cnn_encoder import N_FEATURES, PictureFeatures
from s5.nn.dense import Dense
from s5.nn.heads import HEADS

DTYPES = {Precision.float32: jnp.float32, Precision.bfloat16: jnp.bfloat16}


class StreamState(NamedTuple):
    """What a model carries from step to step of a stream; a pytree.

    layers: The states of all layers, (n_layers, batch, 2, P).
    head: What the head carries.
    """

    layers: Float[Array, "n_layers batch 2 P"]
    head: Any


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
        lengths: Int[Array | np.ndarray, " batch *documents"] | None = None,
        *,
        train: bool,
        key: Any = None,
        step_rescale: float | Float[Array, ""] = 1.0,
        times: Float[Array | np.ndarray, "batch *documents L"] | None = None,
    ) -> Float[Array, "batch *axes d_answer"]:
        """Return the logits of each sequence or pair, or the output of each step.

        Args:
            inputs: Sequences, padded at their ends with anything finite: d_input features a step, or one token, a whole
                number below d_input.
            lengths: Valid steps of each sequence; None where all steps of all are valid, which is faster.
            train: Whether this is training: batch statistics are taken and moved, dropout is drawn.
            key: Random key of the dropout; training with dropout needs it.
            step_rescale: Factor on every step, on top of the config's: the sampling interval of these data over that
                of the data trained on.
            times: When each step was observed, in units of the regular interval; None where all intervals are 1.

        Returns:
            (batch, d_output) logits, or (batch, L, d_output) for regression, (batch, L, 2 d_output) for a Gaussian one;
            float32.

        Raises:
            ValueError: Where training with dropout has no key, or the inputs lack the documents' axis; under `compat`,
                for the last step of padded sequences, which the S5 repository cannot take; for whole numbers or without
                times where the model's encoder cannot do so.
        """
        if train and self.dropout and key is None:
            raise ValueError(f"training with dropout={self.dropout} needs a key")
        upstream = self.compat is Compat.upstream
        if upstream and lengths is not None and self.pooling is Pooling.last and not self.kind.per_step:
            raise ValueError("compat=upstream has no model.pooling=last for padded sequences")
        rows, row_lengths = self._rows(inputs, 2), self._rows(lengths, 0)
        mask = None if row_lengths is None else jnp.arange(rows.shape[1]) < row_lengths[:, None]
        row_times = self._rows(times, 1)
        x = self.layers(
            self._encode(rows, None if row_times is None else intervals_of(row_times)),
            None if upstream else mask,  # there, padding enters the scans and the statistics
            train=train,
            key=key if train else None,
            step_rescale=step_rescale,
            times=row_times if self.times is Times.steps else None,
        )
        return self.head(x, mask)

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
        *,
        step_rescale: float | Float[Array, ""] = 1.0,
        interval: Float[Array | np.ndarray, " batch *documents"] | None = None,
    ) -> tuple[StreamState, Float[Array, "batch d_answer"]]:
        """Advance one step of a stream; see `advance`.

        Args:
            state: The state before the step.
            inputs: The inputs of the step.
            step_rescale: As in a call.
            interval: Time since the step before, in units of the regular interval; None for 1.

        Returns:
            The state after the step; the logits of the sequence so far, or the step's output.
        """
        intervals = None if interval is None else jnp.asarray(interval)[..., None]
        state, out = self.advance(
            state, jnp.expand_dims(jnp.asarray(inputs), -2), step_rescale=step_rescale, intervals=intervals
        )
        return state, out[:, 0] if self.kind.per_step else out

    def advance(
        self,
        state: StreamState,
        inputs: Shaped[Array | np.ndarray, "batch *documents L d_stored"],
        *,
        step_rescale: float | Float[Array, ""] = 1.0,
        intervals: Float[Array | np.ndarray, "batch *documents L"] | None = None,
    ) -> tuple[StreamState, Float[Array, "batch *axes d_answer"]]:
        """Advance a stream by a chunk, as in evaluation: equal to a call on the whole sequence.

        Args:
            state: The state before the chunk.
            inputs: The next steps, all of them valid.
            step_rescale: As in a call.
            intervals: Time since the step before of each step, in units of the regular interval; None for 1.

        Returns:
            The state after the chunk; the logits of the sequence so far, or the outputs of the chunk's steps.

        Raises:
            ValueError: For a bidirectional model, which cannot stream.
        """
        row_intervals = self._rows(intervals, 1)
        x = self._encode(self._rows(inputs, 2), row_intervals)
        row_intervals = row_intervals if self.times is Times.steps else None
        layers, x = self.layers.advance(state.layers, x, step_rescale=step_rescale, intervals=row_intervals)
        head, out = self.head.advance(state.head, x)
        return StreamState(layers, head), out

    def _encode(
        self, rows: Shaped[Array, "rows L d_stored"], intervals: Float[Array, "rows L"] | None
    ) -> Float[Array, "rows L H"]:
        """Return the features of each step; whole numbers are tokens, one a step."""
        if jnp.issubdtype(rows.dtype, jnp.integer):
            if rows.shape[-1] != 1:
                raise ValueError(f"whole numbers are tokens, one a step, not {rows.shape[-1]}; give features as floats")
            if self.pictures is not None or self.times is Times.append:
                key = "model.times=append" if self.pictures is None else "model.encoder=picture"
                raise ValueError(f"whole numbers are tokens, which {key} cannot read; give features as floats")
            return self.encoder.lookup(rows[..., 0], self.dtype)
        features = rows.astype(self.dtype)
        if self.pictures is not None:
            features = self.pictures(features)
        if self.times is Times.append:
            if intervals is None:
                raise ValueError("model.times=append: it must be known when each step was observed")
            features = jnp.concatenate([features, intervals[..., None].astype(self.dtype)], axis=-1)
        return self.encoder(features)

    def _rows(self, values: Any, axes: int) -> Any:
        """Return values with both documents of a pair as neighbouring rows of the batch.

        Args:
            values: An input of the model, or None.
            axes: How many axes follow those of the batch and the documents.
        """
        if values is None:
            return None
        values = jnp.asarray(values)
        if self.kind is not Head.retrieval:
            return values
        if values.ndim != axes + 2 or values.shape[1] != 2:
            raise ValueError(f"a retrieval model takes pairs: axis 1 of size 2, not an input of shape {values.shape}")
        return values.reshape(-1, *values.shape[2:])


def intervals_of(times: Float[Array, "rows L"]) -> Float[Array, "rows L"]:
    """Return the time since the step before of each step; 1 at the first."""
    return jnp.pad(jnp.diff(times, axis=1), ((0, 0), (1, 0)), constant_values=1)


def make_model(
    config: ModelConfig,
    d_input: int,
    d_output: int,
    rngs: nnx.Rngs,
    *,
    head: Head = Head.classification,
    compat: Compat = Compat.none,
) -> SequenceModel:
    """Build a model with fresh parameters.

    Args:
        config: The model's configuration.
        d_input: Features of one input step.
        d_output: Classes to tell apart, or features of one output step.
        rngs: Random streams; one key of `params` is drawn.
        head: What the data ask of a model; with `model.likelihood=gaussian` a regression becomes a Gaussian one.
        compat: Whose behaviour at padded steps: with `upstream` they enter the scans and the batch statistics.

    Returns:
        The model. It holds parameters (`nnx.Param`) and batch statistics (`nnx.BatchStat`), no random state.

    Raises:
        ValueError: Where the data have no such pictures, or no values that a likelihood could be of.
    """
    config.check_fits(d_input, head)
    if config.likelihood is Likelihood.gaussian:
        head = Head.gaussian
    # The key only seeds NumPy: initial values are computed there, in float64.
    seed = np.asarray(jax.random.key_data(rngs.params()))
    return SequenceModel(config, d_input, d_output, np.random.default_rng(seed), head, compat)
