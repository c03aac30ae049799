"""The layout of the example of the S4 repository (github.com/state-spaces/s4): `example.py` with `models/s4/s4d.py`."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from s5.config.choices import Activation, Discretization, Gelu, Head, Norm
from s5.originals.layout import Facts, Layout, Row, Source
from s5.originals.rows import as_complex, mapped, parts, same, torch_dense, torch_glu, torch_norm
from s5.originals.s4_backbone import TORCH_STATE, read_sizes
from s5.originals.s5_repository import OURS

_SSM = "s4_layers.*"


def _table() -> tuple[Row, ...]:
    ssm = f"{OURS}.ssm"
    return (
        *torch_dense("encoder", "encoder"),
        same(f"{_SSM}.kernel.log_A_real", f"{ssm}.log_decay"),
        same(f"{_SSM}.kernel.A_imag", f"{ssm}.Lambda_im"),
        parts((f"{_SSM}.kernel.A_imag",), f"{ssm}.B", lambda _, arrays: np.ones_like(arrays[0]), "1 for all states"),
        parts((f"{_SSM}.kernel.C",), f"{ssm}.C", lambda _, arrays: as_complex(arrays[0]), "last axis to complex"),
        mapped(f"{_SSM}.kernel.log_dt", f"{ssm}.log_step", lambda step: step[:, None], "with a last axis"),
        same(f"{_SSM}.D", f"{ssm}.D"),
        *torch_glu(f"{_SSM}.output_linear.0", f"{OURS}.gate"),
        *torch_norm("norms.*", f"{OURS}.norm"),
        *torch_dense("decoder", "head.decoder"),
    )


def _read(source: Source, said: Mapping[str, Any]) -> Facts:
    del said
    d_model, states = source.shape(f"{_SSM}.kernel.log_A_real")
    d_input, d_output = read_sizes(source)
    return Facts(
        allowed={
            "n_layers": (source.n_layers(f"{_SSM}.D"),),
            "d_model": (d_model,),
            "d_state": (2 * states,),
            "n_ssm": (None, d_model),
            "dt_tie": (True,),
            "discretization": (Discretization.zoh,),
            "bandlimit": (None,),
            "bidirectional": (False,),
            "activation": (Activation.full_glu,),
            "gelu": (Gelu.exact,),
            "norm": (Norm.layer,),
        },
        usual={"prenorm": False},
        d_input=d_input,
        d_output=d_output,
        heads=(Head.classification,),
    )


S4D_EXAMPLE = Layout("s4d", _table(), _read, renames=((r"^(model\.)?(module\.)?", ""),), unused=(*TORCH_STATE, "acc"))
