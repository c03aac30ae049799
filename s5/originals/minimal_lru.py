"""The layout of minimal-LRU (github.com/NicolasZucchet/minimal-LRU): models of Flax."""

from collections.abc import Mapping
from typing import Any

from s5.config.choices import Activation, Norm
from s5.originals.layout import Facts, Layout, Row, Source
from s5.originals.rows import flax_dense, flax_norm, same
from s5.originals.s5_repository import OURS, TRAINING_STATE

_LAYER = "encoder.layers_*"
_SSM = f"params.{_LAYER}.seq"


def _table() -> tuple[Row, ...]:
    return (
        *flax_dense("params.encoder.encoder", "encoder"),
        same(f"{_SSM}.nu_log", f"{OURS}.ssm.nu"),
        same(f"{_SSM}.theta_log", f"{OURS}.ssm.theta"),
        *(same(f"{_SSM}.{name}", f"{OURS}.ssm.{name}") for name in ("gamma_log", "B_re", "B_im", "C_re", "C_im", "D")),
        *flax_dense(f"params.{_LAYER}.out1", f"{OURS}.gate.value"),
        *flax_dense(f"params.{_LAYER}.out2", f"{OURS}.gate.gate"),
        *flax_norm(f"{_LAYER}.normalization", f"{OURS}.norm"),
        *flax_dense("params.decoder", "head.decoder"),
    )


def _read(source: Source, said: Mapping[str, Any]) -> Facts:
    del said
    d_input, d_model = source.shape("params.encoder.encoder.kernel")
    return Facts(
        allowed={
            "n_layers": (source.n_layers(f"{_SSM}.nu_log"),),
            "d_model": (d_model,),
            "d_state": source.shape(f"{_SSM}.nu_log"),
            "bidirectional": (False,),
            "activation": (Activation.full_glu,),
            "norm": (Norm.batch if source.has(f"batch_stats.{_LAYER}.normalization.mean") else Norm.layer,),
        },
        usual={},
        d_input=d_input,
        d_output=source.shape("params.decoder.bias")[0],
    )


MINIMAL_LRU = Layout("lru", _table(), _read, root="params", unused=TRAINING_STATE)
