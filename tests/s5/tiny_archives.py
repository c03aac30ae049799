"""Tiny archives in every official format, in one data folder; the functions of tests/s5/data/test_*.py write them."""

from pathlib import Path

import numpy as np
import pytest

from s5.config.data import DataConfig
from tests.s5.data import test_cifar10, test_listops, test_pathfinder, test_sets, test_speech, test_text


def write_lra(root: Path) -> None:
    """Write the files of all six tasks of the Long Range Arena."""
    config = DataConfig(root=str(root))
    test_listops.write(config)
    test_text.write_reviews(root / "aclImdb")
    test_text.write_pairs(config)
    write_cifar(root)
    test_pathfinder.write(config)
    with pytest.MonkeyPatch.context() as patch:
        larger = np.random.default_rng(1).integers(0, 256, (24, 128, 128), np.uint8)
        patch.setattr(test_pathfinder, "PICTURES", larger)
        test_pathfinder.write(config, "pathfinder128")


def write_cifar(root: Path) -> None:
    """Write the binary files of CIFAR-10."""
    with pytest.MonkeyPatch.context() as patch:
        # It shrinks the catalog too, which is undone: that is `tiny_catalog`'s.
        make = test_cifar10.make_small
        make("binary", patch, root.parent, test_cifar10.PIXELS, test_cifar10.LABELS, test_cifar10.SIZES)


def write_others(root: Path) -> None:
    """Write MNIST and Speech Commands."""
    labels = test_sets.encode_idx((np.arange(30) % 10).astype(np.uint8))
    test_sets.write(DataConfig(root=str(root / "mnist")), train_labels_idx1_ubyte=labels)
    test_speech.write_tree(root)
