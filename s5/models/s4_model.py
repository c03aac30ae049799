"""S4 models, blocks and layers by the names and arguments of s4torch (github.com/TariqAHassan/S4Torch).

They are the parts of this package with other argument names: what these functions return trains, streams, is saved and
is exported like every other model, block or layer.
"""

from flax import nnx

from s5.config.choices import Activation, Head, Norm
from s5.config.families import S4Config
from s5.models.residual_block import ResidualBlock
from s5.models.sequence_model import SequenceModel, make_model
from s5.nn.initializers import make_traceable
from s5.ssm.s4 import S4


def S4Model(
    d_input: int,
    *,
    d_model: int,
    d_output: int,
    n_blocks: int,
    n: int,
    l_max: int | None = None,
    collapse: bool = False,
    p_dropout: float = 0.0,
    norm_type: Norm = Norm.layer,
    prenorm: bool = False,
    rngs: nnx.Rngs | None = None,
) -> SequenceModel:
    """Return a model of S4 blocks between a dense encoder and a dense decoder.

    Args:
        d_input: Features of an input step.
        d_model: H, features of a block.
        d_output: Features of an output.
        n_blocks: Number of blocks.
        n: N, states of a feature; even.
        l_max: Not needed, since the parameters do not depend on a length.
        collapse: Whether to average over time before the decoder: (batch, d_output) instead of (batch, L, d_output).
        p_dropout: The share of features that training sets to zero; the call in training then needs a `key`.
        norm_type: Normalisation of a block.
        prenorm: Whether a block normalises its input instead of its output.
        rngs: Random streams; None for those of seed 0.

    Returns:
        A model that maps (batch, L, d_input) to outputs; `train=True` for training.

    Raises:
        ValueError: If a size or the dropout is out of range.
    """
    config = _config(d_model, n, p_dropout, norm_type, prenorm, n_layers=n_blocks)
    head = Head.classification if collapse else Head.regression
    return make_model(config, d_input, d_output, rngs or nnx.Rngs(0), head=head)


def S4Block(
    d_model: int,
    *,
    n: int,
    l_max: int | None = None,
    p_dropout: float = 0.0,
    norm_type: Norm = Norm.layer,
    prenorm: bool = False,
    rngs: nnx.Rngs | None = None,
) -> ResidualBlock:
    """Return an S4 layer, gelu, dropout and a dense layer, with a skip connection and a normalisation.

    Args:
        d_model: H, features.
        n: N, states of a feature; even.
        l_max: As in `S4Model`, like all further arguments.
        p_dropout: Dropout.
        norm_type: Normalisation.
        prenorm: Whether the input is normalised instead of the output.
        rngs: Random streams.

    Returns:
        A block that maps (batch, L, H) to (batch, L, H).
    """
    config = _config(d_model, n, p_dropout, norm_type, prenorm, n_layers=1)
    return make_traceable(lambda rng: ResidualBlock(config, rng), rngs or nnx.Rngs(0))


def S4Layer(d_model: int, *, n: int, l_max: int | None = None, rngs: nnx.Rngs | None = None) -> S4:
    """Return an S4 layer.

    Args:
        d_model: H, features.
        n: N, states of a feature; even.
        l_max: As in `S4Model`.
        rngs: Random streams; None for those of seed 0.

    Returns:
        A layer that maps (batch, L, H) to (batch, L, H).
    """
    return S4(d_model, n, rngs=rngs or nnx.Rngs(0))


def _config(d_model: int, n: int, p_dropout: float, norm: Norm, prenorm: bool, *, n_layers: int) -> S4Config:
    """Return the configuration of s4torch's blocks: a dense layer after the gelu, and no gate."""
    return S4Config(
        n_layers=n_layers,
        d_model=d_model,
        d_state=n,
        dropout=p_dropout,
        norm=norm,
        prenorm=prenorm,
        activation=Activation.gelu_dense,
    )
