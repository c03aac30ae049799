"""Walks of three classes, a CSV file for each walk: columns are features, rows are steps, the folder is the class."""

from pathlib import Path

from s5.plugins import Examples, Plugin, PluginDataset

CLASSES = ("slow", "fast", "turning")


def load(root: Path | None) -> Examples:
    """Read every file `ROOT/CLASS/*.csv` as a sequence."""
    import numpy as np

    assert root is not None, "set data.root to the folder of the CSV files"
    files = [(file, label) for label, name in enumerate(CLASSES) for file in sorted((root / name).glob("*.csv"))]
    inputs = [np.loadtxt(file, delimiter=",", skiprows=1, ndmin=2) for file, _ in files]
    return Examples(inputs=inputs, labels=[label for _, label in files])


PLUGIN = Plugin(
    datasets=(PluginDataset(name="walks", load=load, n_classes=3, d_input=2, length=120, class_names=CLASSES),)
)
