"""The layout of the S5 repository (github.com/lindermanlab/S5): models of Flax."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from s5.config.choices import Activation, Head, Norm
from s5.originals.layout import Facts, Layout, Row, Source
from s5.originals.rows import as_complex, flax_dense, flax_norm, mapped, parts, same

_SSM = "params.encoder.layers_*.seq"
_LAYER = "encoder.layers_*"
OURS = "layers.layer"

# What Flax's training state has besides the model.
TRAINING_STATE = ("opt_state.**", "step", "dropout_rng")


def _table() -> tuple[Row, ...]:
    join = "[C1, C2], last axis to complex"
    return (
        *flax_dense("params.encoder.encoder", "encoder"),
        *(same(f"{_SSM}.{name}", f"{OURS}.ssm.{name}") for name in ("Lambda_re", "Lambda_im", "D")),
        parts((f"{_SSM}.B",), f"{OURS}.ssm.B", lambda _, arrays: as_complex(arrays[0]), "last axis to complex"),
        parts((f"{_SSM}.C",), f"{OURS}.ssm.C", lambda _, arrays: as_complex(arrays[0]), "last axis to complex"),
        parts(
            (f"{_SSM}.C1", f"{_SSM}.C2"),
            f"{OURS}.ssm.C",
            lambda _, arrays: as_complex(np.concatenate(arrays, axis=1)),
            join,
        ),
        mapped(f"{_SSM}.log_step", f"{OURS}.ssm.log_step", lambda step: step[:, 0], "without the last axis"),
        *flax_dense("params.encoder.layers_*.out1", f"{OURS}.gate.value"),
        *flax_dense("params.encoder.layers_*.out2", f"{OURS}.gate.gate"),
        *flax_norm(f"{_LAYER}.norm", f"{OURS}.norm"),
        *flax_dense("params.decoder", "head.decoder"),
        *flax_dense("params.decoder.layer1", "head.hidden"),
        *flax_dense("params.decoder.layer2", "head.decoder"),
    )


def _read(source: Source, said: Mapping[str, Any]) -> Facts:
    d_input, d_model = source.shape("params.encoder.encoder.kernel")
    (states,) = source.shape(f"{_SSM}.Lambda_re")
    bidirectional = not source.has(f"{_SSM}.C") or source.shape(f"{_SSM}.C")[1] == 2 * states
    dense = [source.has(f"params.encoder.layers_*.{name}.kernel") for name in ("out1", "out2")]
    glu = (Activation.full_glu,) if dense[0] else (Activation.half_glu1, Activation.half_glu2)
    pair = source.has("params.decoder.layer1.kernel")
    decoder = "params.decoder.layer2.bias" if pair else "params.decoder.bias"
    return Facts(
        allowed={
            "n_layers": (source.n_layers(f"{_SSM}.Lambda_re"),),
            "d_model": (d_model,),
            "d_state": (2 * states if said.get("conj_sym", True) else states,),
            "bidirectional": (bidirectional,),
            "activation": glu if dense[1] else (Activation.gelu,),
            "norm": (Norm.batch if source.has(f"batch_stats.{_LAYER}.norm.mean") else Norm.layer,),
        },
        usual={"n_blocks": 1},
        d_input=d_input,
        d_output=source.shape(decoder)[0],
        heads=(Head.retrieval,) if pair else (Head.classification,),
    )


S5_REPOSITORY = Layout("s5", _table(), _read, root="params", unused=TRAINING_STATE)
