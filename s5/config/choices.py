"""The closed choices of a run's configuration. Free of JAX, so that the launcher can read them too."""

from enum import Enum


class CInit(Enum):
    """How the output matrix C is drawn."""

    trunc_standard_normal = "trunc_standard_normal"
    lecun_normal = "lecun_normal"
    complex_normal = "complex_normal"


class Discretization(Enum):
    """How the continuous system becomes a recurrence."""

    zoh = "zoh"
    bilinear = "bilinear"


class Activation(Enum):
    """The non-linearity after the SSM."""

    full_glu = "full_glu"
    half_glu1 = "half_glu1"
    half_glu2 = "half_glu2"
    gelu = "gelu"


class Norm(Enum):
    """The normalisation of a layer."""

    batch = "batch"
    layer = "layer"


class Pooling(Enum):
    """How a sequence becomes one vector: the mean over valid steps, or the last valid step."""

    mean = "mean"
    last = "last"


class ParamGroups(Enum):
    """Which parameters train at `ssm_lr` and which decay: the four tables of the S5 repository."""

    standard = "standard"
    BandCdecay = "BandCdecay"
    BfastandCdecay = "BfastandCdecay"
    noBCdecay = "noBCdecay"


class Schedule(Enum):
    """The learning rate after the warm-up."""

    cosine = "cosine"
    constant = "constant"
    plateau = "plateau"


class Permutation(Enum):
    """The order in which the pixels of an image are read."""

    none = "none"
    bit_reversal = "bit_reversal"


class WandbMode(Enum):
    """Whether metrics are copied to Weights & Biases."""

    disabled = "disabled"
    offline = "offline"
    online = "online"


class Platform(Enum):
    """The device a run must find; `any` accepts every device."""

    any = "any"
    cpu = "cpu"
    cuda = "cuda"
    rocm = "rocm"
    tpu = "tpu"


class Precision(Enum):
    """The number type of activations and matrix products; parameters, states and statistics stay float32."""

    float32 = "float32"
    bfloat16 = "bfloat16"


class Remat(Enum):
    """What the backward pass computes again: nothing, all of a layer but its states and statistics, or all."""

    none = "none"
    states = "states"
    full = "full"


class Encoder(Enum):
    """What makes features of an input step: a dense map, or a small convolutional network on a square picture."""

    dense = "dense"
    picture = "picture"


class Times(Enum):
    """How the intervals between irregular observations enter: as longer steps, not at all, or as one more feature."""

    steps = "steps"
    ignore = "ignore"
    append = "append"


class Likelihood(Enum):
    """The answer of a regression to each step: a value, or a Gaussian with its own variance."""

    fixed = "fixed"
    gaussian = "gaussian"


class Head(Enum):
    """What a model returns for a sequence."""

    classification = "classification"
    retrieval = "retrieval"
    regression = "regression"
    gaussian = "gaussian"

    @property
    def per_step(self) -> bool:
        """Return whether each step has its own answer and target."""
        return self in (Head.regression, Head.gaussian)

    def answers(self, n: int) -> str:
        """Return the answer in words: `n` classes, or `n` values a step."""
        return f"{n} value{'s' * (n != 1)} a step" if self.per_step else f"{n} classes"


class CompatWith(Enum):
    """Whose behaviour is reproduced where ours differs on purpose; `s5.config.compat` says what that switches."""

    none = "none"
    upstream = "upstream"
