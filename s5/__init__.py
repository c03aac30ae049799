"""S5 and related sequence models in JAX: models, data and training.

    import s5

    config = s5.make_config("experiment=digits/s5", "train.epochs=5")
    run = s5.train(config)
    print(run.metrics, s5.evaluate(run, "val"))

JAX is loaded when a name that needs it is used, not by `import s5`.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from s5.api import evaluate, make_config, make_model, train
    from s5.config.run import Config
    from s5.errors import UserError
    from s5.models.s4_model import S4Block, S4Layer, S4Model
    from s5.models.sequence_model import SequenceModel
    from s5.nn.derivatives import jax_derivatives
    from s5.nn.sequence_mixer import SequenceMixer
    from s5.nn.steps import Steps
    from s5.originals.importer import import_weights
    from s5.ssm.dss import DSS
    from s5.ssm.linoss import LinOSS
    from s5.ssm.lru import LRU
    from s5.ssm.lssl import LSSL
    from s5.ssm.rglru import RGLRU
    from s5.ssm.s4 import S4
    from s5.ssm.s4d import S4D
    from s5.ssm.s5 import S5SSM
    from s5.training.export import (
        load_program,
        load_weights,
        save_program,
        save_run_program,
        save_run_weights,
        save_weights,
    )
    from s5.training.stored_run import StoredRun, load_run

__all__ = [
    "DSS",
    "LRU",
    "LSSL",
    "RGLRU",
    "S4",
    "S4D",
    "S5SSM",
    "Config",
    "LinOSS",
    "S4Block",
    "S4Layer",
    "S4Model",
    "SequenceMixer",
    "SequenceModel",
    "Steps",
    "StoredRun",
    "UserError",
    "evaluate",
    "import_weights",
    "jax_derivatives",
    "load_program",
    "load_run",
    "load_weights",
    "make_config",
    "make_model",
    "save_program",
    "save_run_program",
    "save_run_weights",
    "save_weights",
    "train",
]

_HOMES = {
    "DSS": "s5.ssm.dss",
    "LRU": "s5.ssm.lru",
    "LSSL": "s5.ssm.lssl",
    "RGLRU": "s5.ssm.rglru",
    "S4": "s5.ssm.s4",
    "S4D": "s5.ssm.s4d",
    "S4Block": "s5.models.s4_model",
    "S4Layer": "s5.models.s4_model",
    "S4Model": "s5.models.s4_model",
    "S5SSM": "s5.ssm.s5",
    "Config": "s5.config.run",
    "LinOSS": "s5.ssm.linoss",
    "SequenceMixer": "s5.nn.sequence_mixer",
    "SequenceModel": "s5.models.sequence_model",
    "Steps": "s5.nn.steps",
    "StoredRun": "s5.training.stored_run",
    "UserError": "s5.errors",
    "evaluate": "s5.api",
    "import_weights": "s5.originals.importer",
    "jax_derivatives": "s5.nn.derivatives",
    "load_program": "s5.training.export",
    "load_run": "s5.training.stored_run",
    "load_weights": "s5.training.export",
    "make_config": "s5.api",
    "make_model": "s5.api",
    "save_program": "s5.training.export",
    "save_run_program": "s5.training.export",
    "save_run_weights": "s5.training.export",
    "save_weights": "s5.training.export",
    "train": "s5.api",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 's5' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
