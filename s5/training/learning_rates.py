"""The learning rates that single parameters have of their own, by name and by depth.

Sources: the optimizer settings of parameters in the S4 and DSS repositories; layer-wise decay as in Clark et al. 2020
(arXiv:2003.10555) and Bao et al. 2022 (arXiv:2106.08254).
"""

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase

import numpy as np
from jaxtyping import Float32

from s5.errors import UserError, did_you_mean

_STACK = "layers."
_ENCODERS = ("encoder.", "pictures.")


def find_named_rates(lr_of: Mapping[str, float | None], paths: Sequence[str]) -> dict[str, float]:
    """Return the learning rates of `optim.lr_of`, by the path of the parameter.

    Args:
        lr_of: Rates by name. A name is the end of a path, such as `log_step`, `ssm.D` or the pattern `B_*`. A rate of
            None leaves the parameter to its group; a model may lack it, since the rate that it takes back may be of a
            recipe for another family.
        paths: The paths of all parameters, such as `layers.layer.ssm.log_step`.

    Raises:
        UserError: If a name fits no parameter (with a rate of None, if it looks misspelt), or two names give one
            parameter different rates: the order of the names does not belong to the identity of a run, so it cannot
            decide.
    """
    rates, sources = dict[str, float](), dict[str, str]()
    for name, rate in lr_of.items():
        matches = [path for path in paths if fnmatchcase(path, name) or fnmatchcase(path, f"*.{name}")]
        if not matches:
            meant = did_you_mean(name, sorted({path.rpartition(".")[2] for path in paths}))
            if rate is None and not meant:
                continue
            raise UserError(
                f"optim.lr_of: {name} is not a parameter of this model{meant}",
                hint=f"the parameters are {', '.join(sorted(paths))}",
            )
        for path in matches:
            if rate is None:
                continue
            if rates.setdefault(path, float(rate)) != rate:
                raise UserError(
                    f"optim.lr_of: {sources[path]} and {name} give {path} two learning rates",
                    hint="name each parameter once",
                )
            sources[path] = name
    return rates


def find_depth_factors(decay: float, shapes: Mapping[str, Sequence[int]]) -> dict[str, Float32[np.ndarray, "..."]]:
    """Return the factors of layer-wise decay on the learning rates, by the path of the parameter.

    The encoder has depth 0, the n layers have 1 to n, the head has n + 1. Each step down from the head multiplies the
    rate by `decay`.

    Args:
        decay: `optim.layer_decay`.
        shapes: The shapes of all parameters by path; the first axis of a parameter of the layers counts the layers.

    Returns:
        Factors that broadcast to the shapes; none for the head, and none at all for a decay of 1.
    """
    if decay == 1:
        return {}
    n_layers = next(shape[0] for path, shape in shapes.items() if path.startswith(_STACK))
    depths = {_STACK: np.arange(1, n_layers + 1), **dict.fromkeys(_ENCODERS, np.zeros(1))}
    return {
        path: np.float32(decay ** (n_layers + 1.0 - depth)).reshape(-1, *[1] * (len(shape) - 1))
        for path, shape in shapes.items()
        for prefix, depth in depths.items()
        if path.startswith(prefix)
    }
