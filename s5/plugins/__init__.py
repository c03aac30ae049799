"""The names that a plug-in imports to declare its data sets and families; see `docs/extending.md`. Free of JAX."""

from s5.config.choices import Head
from s5.config.model import ModelConfig
from s5.config.plugins import Plugin, PluginDataset, PluginFamily
from s5.plugins.csv_file import read_csv
from s5.plugins.examples import Examples

__all__ = ["Examples", "Head", "ModelConfig", "Plugin", "PluginDataset", "PluginFamily", "read_csv"]
