"""Layers of S4D, DSS and S4 as PyTorch code usually writes them, served to `benchmarks.models` by another process.

    PYTHON -I benchmarks/torch_layers.py FAMILY ARRAYS.npz

PYTHON has PyTorch and NumPy; nothing of this project is imported. ARRAYS has the parameters by name, and `u` and
`y_bar`, the inputs and the weights of the outputs in the loss. For each line of standard input the process does one
forward and backward pass, and answers with a line; the first line that it writes is `ready` and the version of PyTorch.
The line `outputs FILE` makes it write the outputs and the gradients to FILE too.

The code is eager, in complex64: Vandermonde and Cauchy matrices by broadcasting, convolutions by `torch.fft`.
"""

import sys
from importlib import import_module
from typing import Any

import numpy as np

torch: Any = import_module("torch")  # not a dependency of this project, so types cannot be checked
Params = dict[str, Any]


def s4d(params: Params, u: Any) -> Any:
    """Apply an S4D layer of one direction with a zero-order hold: (batch, L, H) to (batch, L, H)."""
    Lambda = torch.complex(-params["log_decay"].exp(), params["Lambda_im"])
    a = Lambda * params["log_step"].exp()
    C = torch.complex(params["C_re"], params["C_im"]) * torch.complex(params["B_re"], params["B_im"])
    powers = (a[..., None] * torch.arange(u.shape[1])).exp()
    kernel = 2 * torch.einsum("hn,hnl->hl", C * (a.exp() - 1) / Lambda, powers).real
    return _convolve(kernel, u) + params["D"] * u


def dss(params: Params, u: Any) -> Any:
    """Apply a DSS layer of one direction, version softmax over L steps: (batch, L, H) to (batch, L, H)."""
    L = u.shape[1]
    Lambda, step = torch.complex(params["Lambda_re"], params["Lambda_im"]), params["log_step"].exp()
    a = torch.complex(params["Lambda_re"] * step[:, :1], params["Lambda_im"] * step[:, -1:])
    grows = a.real > 0
    exponents = a[..., None] * (torch.arange(L) - grows[..., None] * (L - 1))
    bounded = torch.where(grows, -a, a)
    factor = (bounded.exp() - 1) / ((bounded * L).exp() - 1) / Lambda
    W = torch.complex(params["W_re"], params["W_im"])
    return _convolve(torch.einsum("hn,hnl->hl", W * factor, exponents.exp()).real, u) + params["D"] * u


def s4(params: Params, u: Any) -> Any:
    """Apply an S4 layer of one direction and rank 1, kernel by Cauchy sums: (batch, L, H) to (batch, L, H).

    C is taken for the C of the truncated generating function, as in `benchmarks.plain_kernels.plain_s4`.
    """
    L = u.shape[1]
    Lambda = torch.complex(-params["log_decay"].exp(), params["Lambda_im"])
    step = params["log_step"].exp()[:, None]
    P, B, C = (torch.complex(params[f"{name}_re"], params[f"{name}_im"]) for name in ("P", "B", "C"))
    P = P[:, 0]
    omega = torch.exp(-2j * torch.pi * torch.arange(L // 2) / L)  # without −1, where the sums have a limit only
    g = 2 / step * ((1 - omega) / (1 + omega))
    nodes = Lambda.expand(len(step), -1)[..., None]

    def cauchy(left: Any, right: Any) -> Any:
        weight = (left * right)[..., None]
        return (weight / (g[:, None] - nodes) + weight.conj() / (g[:, None] - nodes.conj())).sum(1)

    by_CB, by_CP, by_PB, by_PP = cauchy(C, B), cauchy(C, P), cauchy(P.conj(), B), cauchy(P.conj(), P)
    spectrum = 2 / (1 + omega) * (by_CB - by_CP / (1 + by_PP) * by_PB)
    kernel = torch.fft.irfft(torch.nn.functional.pad(spectrum, (0, 1)), L)
    return _convolve(kernel, u) + params["D"] * u


def _convolve(kernel: Any, u: Any) -> Any:
    L = u.shape[1]
    spectrum = torch.fft.rfft(u, 2 * L, dim=1) * torch.fft.rfft(kernel, 2 * L).T
    return torch.fft.irfft(spectrum, 2 * L, dim=1)[:, :L]


FAMILIES = {"s4d": s4d, "dss": dss, "s4": s4}


def main() -> None:
    """Answer the lines of standard input until it ends."""
    family, file = sys.argv[1:]
    with np.load(file) as arrays:
        tensors = {name: torch.from_numpy(arrays[name].copy()) for name in arrays.files}
    u, y_bar = tensors.pop("u").requires_grad_(), tensors.pop("y_bar")
    params = {name: tensor.requires_grad_() for name, tensor in tensors.items()}
    print("ready", torch.__version__, flush=True)
    for line in sys.stdin:
        y = FAMILIES[family](params, u)
        gradients = torch.autograd.grad((y * y_bar).sum(), [u, *params.values()], allow_unused=True)
        command, _, target = line.strip().partition(" ")
        if command == "outputs":
            named = zip(["u", *params], gradients, strict=True)
            found = {f"bar_{name}": gradient.numpy() for name, gradient in named if gradient is not None}
            np.savez(target, y=y.detach().numpy(), **found)
        print("done", flush=True)


if __name__ == "__main__":
    main()
