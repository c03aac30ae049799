"""Types of parameters: the type of a trained one decides its optimizer group (table in `s5.training.optimizer`)."""

from flax import nnx


class StateParam(nnx.Param):
    """The state matrix Lambda: real and imaginary parts."""


class StepParam(nnx.Param):
    """The step Delta, by its logarithm or its logit."""


class InputParam(nnx.Param):
    """The input matrix B."""


class OutputParam(nnx.Param):
    """The output matrix C and the feed-through D."""


class NormParam(nnx.Param):
    """Scale and bias of a normalisation."""


class WeightParam(nnx.Param):
    """The weight of a dense layer."""


class BiasParam(nnx.Param):
    """The bias of a dense layer."""


class Constant(nnx.Variable):
    """A value that is stored with the parameters and never trained, such as a fixed state matrix."""
