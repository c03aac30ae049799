"""Walks of three classes, a CSV file for each walk: columns are features, rows are steps, the folder is the class."""

from pathlib import Path

from s5.plugins import Examples, Plugin, PluginDataset, read_csv

CLASSES = ("slow", "fast", "turning")


def load(root: Path | None) -> Examples:
    """Read every file `ROOT/CLASS/*.csv` as a sequence."""
    assert root is not None  # because of `needs_root`
    files = [(file, label) for label, name in enumerate(CLASSES) for file in sorted((root / name).glob("*.csv"))]
    if not files:
        raise ValueError(f"{root} has no files {' or '.join(f'{name}/*.csv' for name in CLASSES)}")
    inputs = [read_csv(file) for file, _ in files]
    names = [file.relative_to(root) for file, _ in files]  # for messages
    return Examples(inputs=inputs, labels=[label for _, label in files], names=names)


WALKS = PluginDataset(name="walks", load=load, n_classes=3, d_input=2, length=120, class_names=CLASSES, needs_root=True)
PLUGIN = Plugin(datasets=(WALKS,))
