"""Plug-ins: a user's own data sets, model families and recipes, without a change to this package.

A plug-in is a folder with a file `plugin.py` that defines `PLUGIN = Plugin(...)`. A folder `conf` in it may contain
recipes (`conf/experiment/GROUP/NAME.yaml`) and model files (`conf/model/NAME.yaml`). An installed package can declare
such a module as an entry point of the group `s5.plugins`. The launcher imports `plugin.py` too, so the module must not
import JAX at its top: functions import what they need.

The content of the folder is part of a run's identity: `plugin_hash` is the hash of its files.
"""

import hashlib
import importlib.util
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from s5.config.choices import Head
from s5.config.families import FAMILIES
from s5.config.model import ModelConfig
from s5.config.search_path import add_conf_dir
from s5.errors import UserError, did_you_mean

FILE = "plugin.py"
GROUP = "s5.plugins"
_LEFT_OUT = {"__pycache__", ".git", ".ipynb_checkpoints"}
_MAX_BYTES = 20 << 20


@dataclass(frozen=True, kw_only=True)
class PluginDataset:
    """A data set of a plug-in.

    Attributes:
        name: The name of the data set in `data.name`.
        load: The function that reads the data set. Its argument is the folder `data.root`, or None if that is not set.
            It returns `s5.plugins.Examples`, or `{"train": Examples, "val": Examples, "test": Examples}`.
        n_classes: Number of classes; for a regression the number of features of a target.
        d_input: Features of a step.
        length: L, the steps of the longest sequence; shorter ones are padded.
        head: The task: `classification` or `regression`.
        about: A description in one line.
        class_names: The names of the classes, in the order of their numbers; runs store them. Empty without names.
        needs_root: Whether `load` reads the folder `data.root`. Then a run is refused before it starts if that is not
            set, and `load` always gets a path.
    """

    name: str
    load: Callable[[Path | None], Any]
    n_classes: int
    d_input: int
    length: int
    head: Head = Head.classification
    about: str = ""
    class_names: Sequence[str] = ()
    needs_root: bool = False

    def __post_init__(self) -> None:
        """Raise ValueError if there are names, but not a different one for each class."""
        if self.class_names and (self.head is not Head.classification or len(set(self.class_names)) != self.n_classes):
            raise ValueError(
                f"class_names of {self.name}: {len(set(self.class_names))} different names for {self.n_classes} "
                f"{'classes' if self.head is Head.classification else 'features: a regression has no classes'}"
            )


@dataclass(frozen=True, kw_only=True)
class PluginFamily:
    """A model family of a plug-in.

    Attributes:
        config: A dataclass that extends `s5.config.model.ModelConfig`; the default of its `kind` is the family's name.
        mixer: A function that returns the class of the layers, a subclass of `s5.SequenceMixer`. It is a function, so
            that JAX is imported only when needed.
    """

    config: type[ModelConfig]
    mixer: Callable[[], type]


@dataclass(frozen=True, kw_only=True)
class Plugin:
    """The declaration of a plug-in.

    Attributes:
        datasets: The data sets that the plug-in adds.
        families: The model families that the plug-in adds.
    """

    datasets: tuple[PluginDataset, ...] = ()
    families: tuple[PluginFamily, ...] = ()


_loaded: dict[str, Plugin] = {}  # by the hash of the content
_copies: dict[str, Path] = {}  # the future place of a plug-in's copy, with the folder that will be copied


def load_plugins(places: Iterable[str]) -> None:
    """Load plug-ins, so that configs can name their data sets, families and recipes; skip plug-ins that are loaded.

    Args:
        places: Folders, or names of entry points.

    Raises:
        UserError: If a plug-in cannot be found or imported, or a family has a name that this package uses itself.
    """
    for place in places:
        folder = plugin_folder(place)
        content = folder_hash(folder)
        if content not in _loaded:
            _loaded[content] = _register(folder, _import(folder, content))


def name_copy(place: str, folder: Path) -> None:
    """Use `folder` for the plug-in at `place` as long as the launcher has not copied it to `place`."""
    _copies[place] = folder


def plugin_folder(place: str) -> Path:
    """Return the folder of a plug-in.

    Args:
        place: A folder, or the name of an entry point.

    Raises:
        UserError: If there is no such folder with a `plugin.py`, and no such entry point.
    """
    folder = Path(place).expanduser()
    if os.path.isfile(folder / FILE):
        return folder.resolve()
    if place in _copies:
        return _copies[place]
    from importlib.metadata import entry_points

    found = {point.name: point for point in entry_points(group=GROUP)}
    if place in found:
        spec = importlib.util.find_spec(found[place].module)
        if spec is not None and spec.origin:
            return Path(spec.origin).resolve().parent
    if os.path.isdir(folder):
        raise UserError(f"plugins: {place}: the folder has no {FILE}", hint="docs/extending.md shows how to write it")
    known = f"; installed entry points: {', '.join(found)}" if found else ""
    raise UserError(
        f"plugins: {place}: no such folder, and no such entry point of {GROUP}{did_you_mean(place, found)}{known}",
        hint="name the folder that contains plugin.py",
    )


def plugin_files(folder: Path) -> list[Path]:
    """Return the files of a plug-in, sorted by their path.

    Raises:
        UserError: If their total size exceeds 20 MiB: data belong in another folder, under `data.root`.
    """
    files = sorted(path for path in folder.rglob("*") if path.is_file() and not _is_left_out(path.relative_to(folder)))
    if sum(path.stat().st_size for path in files) > _MAX_BYTES:
        raise UserError(
            f"plugins: {folder}: its files exceed {_MAX_BYTES >> 20} MiB",
            hint="move data to another folder, and set data.root to that folder",
        )
    return files


def _is_left_out(path: Path) -> bool:
    return bool(_LEFT_OUT & set(path.parts)) or path.suffix == ".pyc"


def folder_hash(folder: Path) -> str:
    """Return the hash of a plug-in's files: their paths inside the folder and their contents."""
    total = hashlib.sha256()
    for path in plugin_files(folder):
        content = path.read_bytes()
        total.update(f"{path.relative_to(folder).as_posix()}\0{len(content)}\0".encode() + content)
    return total.hexdigest()


def content_hash(places: Iterable[str]) -> str:
    """Return the hash of the content of plug-ins, which is part of a run's identity; "" without plug-ins."""
    hashes = [folder_hash(plugin_folder(place)) for place in places]
    return hashlib.sha256("\n".join(sorted(hashes)).encode()).hexdigest() if hashes else ""


def check_content(values: Mapping[str, Any]) -> None:
    """Raise if a run's plug-ins have changed since the run began.

    Args:
        values: The run's config as nested plain values.

    Raises:
        UserError: If the plug-ins have another hash than `plugin_hash`.
    """
    places = values.get("plugins") or ()
    if places and content_hash(places) != values.get("plugin_hash"):
        raise UserError(
            f"plugins: {', '.join(places)}: the files have changed since the run began",
            hint="restore the files, or start another run",
        )


def _import(folder: Path, content: str) -> Plugin:
    name = f"s5_plugin_{folder.name.replace('-', '_').replace('.', '_')}_{content[:8]}"
    spec = importlib.util.spec_from_file_location(name, folder / FILE, submodule_search_locations=[str(folder)])
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # so that `from . import other` works in plugin.py
    had_jax = "jax" in sys.modules
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        raise UserError(
            f"plugins: {folder / FILE}: {place_in(error, folder)}{type(error).__name__}: {error}"
        ) from error
    if "jax" in sys.modules and not had_jax:
        raise UserError(
            f"plugins: {folder / FILE} imports JAX when it is imported; the launcher imports it too, without JAX",
            hint="import JAX inside the functions that need it",
        )
    return _declared(module, folder)


def _declared(module: ModuleType, folder: Path) -> Plugin:
    plugin = getattr(module, "PLUGIN", None)
    if not isinstance(plugin, Plugin):
        raise UserError(
            f"plugins: {folder / FILE} has no PLUGIN = Plugin(...)",
            hint="define PLUGIN = Plugin(...), with `from s5.plugins import Plugin`",
        )
    return plugin


def place_in(error: BaseException, folder: Path) -> str:
    """Return the last file and line of the plug-in in an error's traceback, as text; "" if there is no such line."""
    trace, where = error.__traceback__, ""
    while trace is not None:
        file = trace.tb_frame.f_code.co_filename
        if file.startswith(str(folder)):
            where = f"{Path(file).relative_to(folder)}, line {trace.tb_lineno}: "
        trace = trace.tb_next
    return where


def _register(folder: Path, plugin: Plugin) -> Plugin:
    for family in plugin.families:
        kind = family.config.kind
        known = FAMILIES.get(kind)
        if known is not None and known.__module__.startswith("s5."):
            raise UserError(f"plugins: {folder}: the model family {kind!r} exists already", hint="choose another name")
        FAMILIES[kind] = family.config
    if (folder / "conf").is_dir():
        add_conf_dir(folder / "conf")
    return plugin


def plugin_datasets() -> Iterator[PluginDataset]:
    """Yield the data sets of all loaded plug-ins; the last plug-in loaded comes first."""
    for plugin in reversed(_loaded.values()):
        yield from plugin.datasets


def plugin_dataset(name: str) -> PluginDataset | None:
    """Return the plug-in data set of a name; None if no loaded plug-in has such a data set."""
    return next((dataset for dataset in plugin_datasets() if dataset.name == name), None)


def plugin_mixer(kind: str) -> type | None:
    """Return the layer class of a plug-in's family; None if no loaded plug-in has such a family."""
    found = (family for plugin in reversed(_loaded.values()) for family in plugin.families)
    return next((family.mixer() for family in found if family.config.kind == kind), None)
