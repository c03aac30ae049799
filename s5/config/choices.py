"""The enumerations of a run's configuration. Free of JAX, so that the launcher can read them too."""

from enum import Enum
from typing import NoReturn

from s5.errors import did_you_mean


class Choice(Enum):
    """One of several named values; a call with a member, or with the text that names it, returns the member."""

    @classmethod
    def _missing_(cls, value: object) -> NoReturn:
        names = [member.name for member in cls]
        raise ValueError(f"{value!r} is not one of {', '.join(names)}{did_you_mean(value, names)}")


class CInit(Choice):
    """The distribution of the initial output matrix C."""

    trunc_standard_normal = "trunc_standard_normal"
    lecun_normal = "lecun_normal"
    complex_normal = "complex_normal"


class Discretization(Choice):
    """The method that turns the continuous-time system into a recurrence."""

    zoh = "zoh"
    bilinear = "bilinear"


class LinOSSDiscretization(Choice):
    """The method that turns oscillators into a recurrence: implicit, or implicit in the position and else explicit."""

    im = "im"
    imex = "imex"


class Measure(Choice):
    """A HiPPO operator, named after the measure under which the state approximates the past of the input.

    `dss_legt` and `dss_fourier` are the older forms in the code of DSS: `legt` over a window of 1, and rotations under
    a correction of rank 2.
    """

    legs = "legs"
    legsd = "legsd"
    legt = "legt"
    dss_legt = "dss_legt"
    lmu = "lmu"
    lagt = "lagt"
    tlagt = "tlagt"
    glagt = "glagt"
    fout = "fout"
    fourier_decay = "fourier_decay"
    fourier2 = "fourier2"
    foud = "foud"
    dss_fourier = "dss_fourier"


# Measures of Fourier bases, whose coefficients are pairs, and measures whose state matrix is, up to diagonal matrices,
# the inverse of a tridiagonal one.
FOURIER = frozenset({Measure.fout, Measure.fourier_decay, Measure.fourier2, Measure.foud, Measure.dss_fourier})
TRIDIAGONAL = frozenset(
    {Measure.legs, Measure.legt, Measure.dss_legt, Measure.lmu, Measure.lagt, Measure.tlagt, Measure.glagt}
)


class S4DInit(Choice):
    """The initial eigenvalues of S4D: HiPPO-LegS without its low-rank part, or one of four simpler formulas."""

    legs = "legs"
    lin = "lin"
    inv = "inv"
    real = "real"
    random = "random"


class DSSVersion(Choice):
    """What keeps the states of DSS in range: a division by the kernel's sum, or a limit on the eigenvalues."""

    softmax = "softmax"
    exp = "exp"
    exp_re_im = "exp_re_im"
    clip = "clip"


class Activation(Choice):
    """The non-linearity after the SSM: a gelu, alone, before a dense layer, or before a gated linear unit."""

    full_glu = "full_glu"
    half_glu1 = "half_glu1"
    half_glu2 = "half_glu2"
    gelu = "gelu"
    gelu_dense = "gelu_dense"


class Gelu(Choice):
    """The form of the gelu x Φ(x): its approximation by a tanh, as in Flax, or exactly, as in PyTorch."""

    tanh = "tanh"
    exact = "exact"


class Norm(Choice):
    """The normalisation of a layer: over batch and time, over features, over time (and features), or none."""

    batch = "batch"
    layer = "layer"
    instance = "instance"
    group = "group"
    none = "none"


class Residual(Choice):
    """The connection around a layer with input x and output y.

    `plain` is x + y, `none` y, `affine` x + c y with a trained number c, `highway` (1 - r) x + r y with a trained gate
    r, and `decay` sqrt(1 - 1/l) x + sqrt(1/l) y in layer l.
    """

    plain = "plain"
    none = "none"
    affine = "affine"
    highway = "highway"
    decay = "decay"


class LayerPooling(Choice):
    """The reduction of neighbouring steps to one, after each layer: none, their mean, or their maximum."""

    none = "none"
    avg = "avg"
    max = "max"


class Pooling(Choice):
    """The reduction of a sequence to one vector: the mean over its valid steps, its last, its first, or their sum."""

    mean = "mean"
    last = "last"
    first = "first"
    sum = "sum"


class ParamGroups(Choice):
    """The assignment of parameters to `ssm_lr` and to weight decay: the four tables of the S5 repository."""

    standard = "standard"
    BandCdecay = "BandCdecay"
    BfastandCdecay = "BfastandCdecay"
    noBCdecay = "noBCdecay"


class Schedule(Choice):
    """The schedule of the learning rate after the warm-up."""

    cosine = "cosine"
    constant = "constant"
    plateau = "plateau"


class Permutation(Choice):
    """The order in which the pixels of an image are read."""

    none = "none"
    bit_reversal = "bit_reversal"


class WandbMode(Choice):
    """Whether metrics are copied to Weights & Biases."""

    disabled = "disabled"
    offline = "offline"
    online = "online"


class Platform(Choice):
    """The kind of device that a run requires; `any` accepts every device."""

    any = "any"
    cpu = "cpu"
    cuda = "cuda"
    rocm = "rocm"
    tpu = "tpu"


class Precision(Choice):
    """The number type of activations and matrix products; parameters, states and statistics stay float32."""

    float32 = "float32"
    bfloat16 = "bfloat16"


class Remat(Choice):
    """The activations that the backward pass recomputes: none, all except a layer's states and statistics, or all."""

    none = "none"
    states = "states"
    full = "full"


class Encoder(Choice):
    """The encoder of an input step: a dense layer, or a small convolutional network for a square picture."""

    dense = "dense"
    picture = "picture"


class Times(Choice):
    """The use of the intervals between irregular observations: as step sizes, not at all, or as one more feature."""

    steps = "steps"
    ignore = "ignore"
    append = "append"


class Likelihood(Choice):
    """The output of a regression for each step: a value, or the mean and the variance of a Gaussian."""

    fixed = "fixed"
    gaussian = "gaussian"


class Head(Choice):
    """The output of a model for a sequence, and so the task: classes, classes of a pair, or values for each step."""

    classification = "classification"
    retrieval = "retrieval"
    regression = "regression"
    gaussian = "gaussian"

    @property
    def per_step(self) -> bool:
        """Whether each step has its own output and target."""
        return self in (Head.regression, Head.gaussian)

    def answers(self, n: int) -> str:
        """Return the output as text: `n` classes, or `n` values a step."""
        return f"{n} value{'s' * (n != 1)} a step" if self.per_step else f"{n} classes"


class CompatWith(Choice):
    """The code whose behaviour is reproduced: ours, or the S5 repository's; `s5.config.compat` has the differences."""

    none = "none"
    upstream = "upstream"
