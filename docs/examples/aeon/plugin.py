"""Two data sets of the package `aeon`: JapaneseVowels, with sequences of unequal length, and BasicMotions."""

from collections.abc import Callable
from pathlib import Path

from s5.plugins import Examples, Plugin, PluginDataset


def reader(name: str) -> Callable[[Path | None], dict[str, Examples]]:
    """Return the `load` function of a data set of aeon; every fourth training example is for validation."""

    def load(_: Path | None) -> dict[str, Examples]:
        from aeon import datasets

        read = getattr(datasets, f"load_{name}")
        (inputs, labels), (test_inputs, test_labels) = read(split="train"), read(split="test")
        classes = sorted(set(labels))

        def examples(split: str, chosen: range | list[int], inputs: list, labels: list) -> Examples:
            return Examples(
                inputs=[inputs[i].T for i in chosen],  # aeon's arrays have the shape (features, steps)
                labels=[classes.index(labels[i]) for i in chosen],
                names=[f"case {i} of aeon's {split} split" for i in chosen],
            )

        return {
            "train": examples("train", [i for i in range(len(labels)) if i % 4], inputs, labels),
            "val": examples("train", range(0, len(labels), 4), inputs, labels),
            "test": examples("test", range(len(test_labels)), test_inputs, test_labels),
        }

    return load


PLUGIN = Plugin(
    datasets=(
        PluginDataset(name="japanese_vowels", load=reader("japanese_vowels"), n_classes=9, d_input=12, length=29),
        PluginDataset(name="basic_motions", load=reader("basic_motions"), n_classes=4, d_input=6, length=100),
    )
)
