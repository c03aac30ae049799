"""`spamassassin_bytes`: the mails of Apache SpamAssassin's public corpus, spam or not, byte by byte.

The headers are removed, since they contain the answer. Mails are ordered by the SHA-1 of the rest: so mails that
arrived together are separated, and equal mails stay together. Each kind of mail is split separately. The conversion
raises if two equal mails are in different splits.
"""

import functools
import hashlib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from s5.catalog import DataError, DatasetInfo, find_files
from s5.catalog.substitutes import MAILS
from s5.config.compat import Compat
from s5.config.data import DataConfig
from s5.data.cache import Arrays
from s5.data.conversion import ConversionPlan, StoredArrays, chunk_list
from s5.data.dataset import Dataset
from s5.data.progress import Progress
from s5.data.rows import contiguous_splits
from s5.data.tokens import SPECIALS, UNK, fill_row

Mail = tuple[Path, int]

_END_OF_HEADERS = re.compile(rb"\r?\n\r?\n")
_MAILS_PER_CHUNK = 250


def make_plan(info: DatasetInfo, root: str | None) -> ConversionPlan:
    """Plan the conversion; the mails of the splits are consecutive."""
    folders = find_files(info.name, root)
    mails = [(path, int(name.startswith("spam"))) for name in MAILS for path in _mails(folders[name], MAILS[name])]
    n = len(mails)
    return ConversionPlan(
        arrays={
            "inputs": ((n, info.length, 1), "uint8"),
            "labels": ((n,), "int32"),
            "lengths": ((n,), "int32"),
        },
        chunks=chunk_list(_order_by_split(info, mails), _MAILS_PER_CHUNK),
        convert=functools.partial(_convert, length=info.length),
        facts={},
        sources=list(folders.values()),
    )


def make_dataset(info: DatasetInfo, config: DataConfig, stored: StoredArrays, compat: Compat) -> Dataset:
    """Return the data set; its splits are consecutive in the arrays."""
    del config, compat
    return Dataset.from_info(info, contiguous_splits(info.sizes, stored.arrays, tokens=True), vocabulary="bytes")


def _mails(folder: Path, expected: int) -> list[Path]:
    found = sorted(folder.glob("[!.]*.txt"))
    if len(found) != expected:
        raise DataError(
            f"{folder}: {len(found):,} mails; expected {expected:,}",
            hint="the package was unpacked incompletely; remove the folder and unpack it again",
        )
    return found


def _order_by_split(info: DatasetInfo, mails: Sequence[Mail]) -> list[Mail]:
    """Return the mails in the order train, val, test; all splits have the same proportions of the two kinds."""
    progress, keys = Progress(f"{info.name}: ordering", len(mails), "mails"), {}
    for mail in mails:
        keys[mail] = hashlib.sha1(read_body(mail[0])[: info.length - 1], usedforsecurity=False).digest(), mail[0].name
        progress.advance(1)
    parts: dict[str, list[Mail]] = {name: [] for name in info.sizes}
    for kind in (0, 1):
        ordered = sorted((mail for mail in mails if mail[1] == kind), key=keys.__getitem__)
        n = len(ordered) * 15 // 100
        ends = {"train": len(ordered) - 2 * n, "val": len(ordered) - n, "test": len(ordered)}
        start = 0
        for name, end in ends.items():
            parts[name] += ordered[start:end]
            start = end
    assert {name: len(part) for name, part in parts.items()} == dict(info.sizes), "the catalog's sizes are wrong"
    _check_apart(parts, {mail: digest for mail, (digest, _) in keys.items()})
    return [mail for part in parts.values() for mail in part]


def _check_apart(parts: Mapping[str, Sequence[Mail]], digests: Mapping[Mail, bytes]) -> None:
    """Raise if equal mails are in two splits, since the model would then be tested on training data."""
    homes: dict[bytes, tuple[str, Path]] = {}
    for name, part in parts.items():
        for mail in part:
            home, path = homes.setdefault(digests[mail], (name, mail[0]))
            if home != name:
                raise DataError(
                    f"{mail[0]}: equal to {path}, but in the split {name} instead of {home}",
                    hint="these are not the published mails; remove the folder and unpack it again",
                )


def read_body(path: Path) -> bytes:
    """Return the content of a mail after its headers.

    Raises:
        DataError: If the mail has no empty line, which ends the headers.
    """
    _, *body = _END_OF_HEADERS.split(path.read_bytes(), maxsplit=1)
    if not body:
        raise DataError(f"{path}: no empty line after the headers of a mail", hint="the file is damaged; get it again")
    return body[0]


def _convert(mails: Sequence[Mail], length: int) -> Arrays:
    inputs, lengths = np.zeros((len(mails), length, 1), np.uint8), np.empty(len(mails), np.int32)
    for row, (path, _) in enumerate(mails):
        content = np.frombuffer(read_body(path)[: length - 1], np.uint8)
        # The token of a byte is its value. The lowest bytes, which do not occur in text, are the special tokens.
        lengths[row] = fill_row(inputs[row, :, 0], np.where(content < len(SPECIALS), np.uint8(UNK), content))
    return {"inputs": inputs, "labels": np.array([kind for _, kind in mails], np.int32), "lengths": lengths}
