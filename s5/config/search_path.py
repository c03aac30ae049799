"""The folders of the recipes and model files, and the names of these files; found without Hydra."""

from collections.abc import Sequence
from pathlib import Path

from s5.config.families import FAMILIES, layer_fields

CONF_DIR = Path(__file__).parents[1] / "conf"

PIPELINE = "pipeline"
"""The group of the pipelines: each names data, how they enter a model, and the sizes of batches."""

_added: list[Path] = []


def add_conf_dir(folder: Path) -> None:
    """Add a folder of recipes and models, such as a plug-in's: `experiment/GROUP/NAME.yaml`, `model/NAME.yaml`.

    The folder is searched after our own, so of two files with one name ours is used.

    Args:
        folder: An absolute path.
    """
    if folder not in _added:
        _added.append(folder)


def conf_dirs() -> tuple[Path, ...]:
    """Return the folders that are searched, first the one that contains `config.yaml`."""
    return (CONF_DIR, *_added)


def experiment_names(folders: Sequence[Path] | None = None) -> list[str]:
    """Return the name of every recipe, such as `digits/s5`, sorted.

    Args:
        folders: The folders to search; None for `conf_dirs()`.
    """
    return group_options("experiment", folders)


def task_names(folders: Sequence[Path] | None = None) -> list[str]:
    """Return the name of every recipe, and of every pipeline as `pipeline/NAME`.

    Args:
        folders: The folders to search; None for `conf_dirs()`.
    """
    return [*experiment_names(folders), *(f"{PIPELINE}/{name}" for name in group_options(PIPELINE, folders))]


def task_choice(task: str) -> tuple[str, str]:
    """Return the group of a task and its option there: `pipeline/mnist` is `pipeline=mnist`, all others are recipes."""
    group, slash, name = task.partition("/")
    return (PIPELINE, name) if group == PIPELINE and slash else ("experiment", task)


def group_options(group: str, folders: Sequence[Path] | None = None) -> list[str]:
    """Return the names that `GROUP=NAME` can choose, sorted: the group's files and, for a model, also the families.

    Args:
        group: A group's name, such as `experiment`, `model` or `model/layer`.
        folders: The folders to search; None for `conf_dirs()`.
    """
    roots = [folder / group for folder in folders or conf_dirs()]
    names = {path.relative_to(root).with_suffix("").as_posix() for root in roots for path in root.rglob("*.yaml")}
    if group in model_groups():
        names |= {kind for kind, family in FAMILIES.items() if not layer_fields(family)}
    return sorted(names)


def is_group(key: str, folders: Sequence[Path] | None = None) -> bool:
    """Return whether a key chooses an option of a group instead of setting a value.

    Args:
        key: An override's key, such as `experiment` or `optim.lr`.
        folders: The folders to search; None for `conf_dirs()`.
    """
    return key in model_groups() or any((folder / key).is_dir() for folder in folders or conf_dirs())


def model_groups() -> list[str]:
    """Return the groups that choose a family: `model`, and `model/FIELD` for each field that contains another model."""
    inner = dict.fromkeys(f"model/{name}" for family in FAMILIES.values() for name in layer_fields(family))
    return ["model", *inner]
