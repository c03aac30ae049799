"""A small convolutional network that encodes one square picture per step.

Source: the picture encoder of Becker et al. 2019 (arXiv:1905.07357), as Smith et al. 2023 (arXiv:2208.04933) use it
on the pendulum.
"""

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import lax
from jaxtyping import Array, Float

from s5.config.model import picture_side
from s5.nn.dense import Dense
from s5.nn.initializers import init_lecun_normal
from s5.nn.params import BiasParam, WeightParam

N_FEATURES = 30
_CHANNELS = 12
_SHRINKS_BY = 8  # a factor 2 from each of the two pools and from the stride


class Convolution(nnx.Module):
    """A convolution of pictures with channels last.

    weight: (side, side, c_in, c_out).
    bias: (c_out,).
    """

    def __init__(self, c_in: int, c_out: int, side: int, stride: int, padding: int, rng: np.random.Generator) -> None:
        weight = init_lecun_normal(rng, (side, side, c_in, c_out), fan_in=side * side * c_in)
        self.weight = WeightParam(jnp.asarray(weight, dtype=jnp.float32))
        self.bias = BiasParam(jnp.zeros(c_out))
        self.stride, self.padding = stride, padding

    def __call__(self, x: Float[Array, "n rows columns c_in"]) -> Float[Array, "n rows_out columns_out c_out"]:
        """Return the convolution, in the precision of x; pictures are padded with zeros."""
        W = self.weight[...].astype(x.dtype)
        around = ((self.padding, self.padding),) * 2
        y = lax.conv_general_dilated(x, W, (self.stride,) * 2, around, dimension_numbers=("NHWC", "HWIO", "NHWC"))
        return y + self.bias[...].astype(x.dtype)


class PictureFeatures(nnx.Module):
    """Features of pictures: two convolutions, each with ReLU and max pooling, then a dense layer with ReLU.

    Args:
        n_pixels: Number of pixels of a picture, which is stored row by row.
        rng: Draws the initial values.
    """

    def __init__(self, n_pixels: int, rng: np.random.Generator) -> None:
        side = picture_side(n_pixels)
        assert side is not None, "`ModelConfig.check_fits` raises for other numbers of pixels"
        self.first = Convolution(1, _CHANNELS, 5, 1, 2, rng)
        self.second = Convolution(_CHANNELS, _CHANNELS, 3, 2, 1, rng)
        self.dense = Dense(_CHANNELS * (side // _SHRINKS_BY) ** 2, N_FEATURES, rng)
        self.side = side

    def __call__(self, x: Float[Array, "*axes n_pixels"]) -> Float[Array, "*axes n_features"]:
        """Return the features of each picture, in the precision of x."""
        pictures = x.reshape(-1, self.side, self.side, 1)
        pictures = pool(jax.nn.relu(self.first(pictures)))
        pictures = pool(jax.nn.relu(self.second(pictures)))
        return jax.nn.relu(self.dense(pictures.reshape(*x.shape[:-1], -1)))


def pool(x: Float[Array, "n rows columns c"]) -> Float[Array, "n rows_out columns_out c"]:
    """Return the largest value of each square of 2x2 pixels."""
    x = jnp.maximum(x[:, ::2], x[:, 1::2])
    return jnp.maximum(x[:, :, ::2], x[:, :, 1::2])
