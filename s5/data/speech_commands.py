"""`speech_commands35`, `speech_commands10`: spoken words as raw audio. Source: Warden 2018 (arXiv:1804.03209).

`espeak_commands35` has the same form, with synthetic speech.

The 35 words are split by the two published lists. The ten words are split at random with equal proportions of classes,
and only clips of exactly one second are kept, as in the S5 repository. The clips are scaled so that the training clips
have mean 0 and variance 1.
"""

import functools
import io
import re
import wave
from codecs import BOM_UTF8
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Int16

from s5.catalog import DataError, DatasetInfo, find_files
from s5.catalog.speech import WORDS_10, WORDS_35
from s5.config.compat import Compat
from s5.config.data import DataConfig
from s5.data.cache import Arrays
from s5.data.conversion import ConversionPlan, StoredArrays, chunk_list
from s5.data.dataset import Dataset
from s5.data.progress import Progress
from s5.data.rows import indexed_splits
from s5.data.split import stratified_split

_RATE_HZ, _LENGTH = 16_000, 16_000
_LISTS = {"val": "validation_list.txt", "test": "testing_list.txt"}
_CLIPS_PER_CHUNK = 500
_FULL_SCALE = 2.0**15
_EPSILON = 1e-5  # added to the standard deviation, in units of full scale
_EXTENSIBLE = b"\xfe\xff"  # the format 65534 of a WAV header
_FORMATS = {3: "float", 6: "A-law", 7: "mu-law", 65534: "extensible"}

Clip = tuple[Path, int]


def make_plan(info: DatasetInfo, root: str | None) -> ConversionPlan:
    """Plan the conversion; the clips of each split (35 words) or of each class (ten words) are consecutive."""
    paths = find_files(info.name, root)
    words = WORDS_35 if set(_LISTS.values()) <= paths.keys() else WORDS_10
    clips = {word: sorted(paths[word].glob("[!.]*.wav")) for word in words}
    labelled = [(path, label) for label, word in enumerate(words) for path in clips[word]]
    labelled = _order_by_split(info, paths, labelled) if words is WORDS_35 else _select_whole_clips(info, labelled)
    n = len(labelled)
    return ConversionPlan(
        arrays={
            "inputs": ((n, _LENGTH, 1), "int16"),
            "labels": ((n,), "int32"),
            "sums": ((n, 2), "int64"),
        },
        chunks=chunk_list(labelled, _CLIPS_PER_CHUNK),
        convert=functools.partial(_convert, whole=words is WORDS_10),
        facts={},
        sources=list(paths.values()),
    )


def make_dataset(info: DatasetInfo, config: DataConfig, stored: StoredArrays, compat: Compat) -> Dataset:
    """Return the data set; the 8 kHz data set has every second sample of the same clips, with equal splits and scale.

    The S5 repository divides audio in [-1, 1] by 2^15 once more. So the constant that it adds to the standard deviation
    dominates the scale. `compat=upstream` does the same.
    """
    arrays = stored.arrays
    sizes = info.sizes
    if info.n_classes == len(WORDS_35):
        ends = np.cumsum(list(sizes.values()))
        parts = {name: np.arange(end - size, end) for (name, size), end in zip(sizes.items(), ends, strict=True)}
    else:
        parts = stratified_split(np.asarray(arrays["labels"]), sizes, config.split_seed)
    total, squares = arrays["sums"][parts["train"]].sum(0, dtype=np.float64)
    count = sizes["train"] * _LENGTH
    mean = total / count
    std = float(np.sqrt(max(squares / count - mean * mean, 0.0)))
    epsilon = _EPSILON * _FULL_SCALE * (_FULL_SCALE if compat.audio_scaled_twice else 1.0)
    every = _LENGTH // info.length
    sampled = {"inputs": arrays["inputs"][:, ::every], "labels": arrays["labels"]}
    splits = indexed_splits(parts, sampled, offset=float(mean), full_scale=std + epsilon)
    return Dataset.from_info(info, splits)


def _order_by_split(info: DatasetInfo, paths: dict[str, Path], clips: Sequence[Clip]) -> list[Clip]:
    """Return the clips of the training split, then the clips of each published list."""
    split_by_clip: dict[str, str] = {}
    for split, name in _LISTS.items():
        try:
            lines = paths[name].read_bytes().removeprefix(BOM_UTF8).decode("ascii").split()
        except UnicodeDecodeError as error:
            raise DataError(f"{paths[name]}: not a list of files: {error.reason}") from error
        split_by_clip |= dict.fromkeys(lines, split)
    parts: dict[str, list[Clip]] = {name: [] for name in info.sizes}
    for path, label in clips:
        parts[split_by_clip.get(f"{path.parent.name}/{path.name}", "train")].append((path, label))
    found = {name: len(part) for name, part in parts.items()}
    if found != dict(info.sizes):
        raise DataError(
            f"{paths[_LISTS['val']].parent}: clips per split {found}; expected {dict(info.sizes)}",
            hint="the archive was unpacked incompletely, or clips were added; remove the folder and unpack it again",
        )
    return [clip for part in parts.values() for clip in part]


def _select_whole_clips(info: DatasetInfo, clips: Sequence[Clip]) -> list[Clip]:
    progress = Progress(f"{info.cached_as or info.name}: measuring clips", len(clips), "clips")
    kept = []
    for path, label in clips:
        if len(read_clip(path)) == _LENGTH:
            kept.append((path, label))
        progress.advance(1)
    if len(kept) != info.n_examples:
        raise DataError(
            f"{clips[0][0].parent.parent if clips else info.name}: {len(kept):,} clips of a second; "
            f"expected {info.n_examples:,}",
            hint="the archive was unpacked incompletely, or clips were added; remove the folder and unpack it again",
        )
    return kept


def read_clip(path: Path) -> Int16[np.ndarray, " samples"]:
    """Return the samples of a clip.

    Raises:
        DataError: If the file is not a mono WAV file of 16 bits at 16 kHz, or is cut off.
    """
    try:
        with wave.open(io.BytesIO(_with_plain_header(path.read_bytes())), "rb") as file:
            form = (file.getnchannels(), file.getsampwidth(), file.getframerate())
            announced, content = file.getnframes(), file.readframes(file.getnframes())
    except (wave.Error, EOFError) as error:
        if unknown := re.match(r"unknown format: (\d+)", str(error)):
            raise DataError(
                f"{path}: WAV format {_FORMATS.get(int(unknown[1]), unknown[1])}; expected samples of 16 bits",
                hint="rewrite the clips: `sox IN.wav -e signed -b 16 OUT.wav`",
            ) from error
        raise DataError(f"{path}: damaged WAV file: {str(error) or 'it ends early'}") from error
    if form != (1, 2, _RATE_HZ):
        raise DataError(
            f"{path}: channels: {form[0]}, bits: {8 * form[1]}, rate: {form[2]} Hz; expected 1, 16 and {_RATE_HZ} Hz"
        )
    if len(content) != 2 * announced:
        raise DataError(f"{path}: cut off: {len(content) // 2:,} samples; expected {announced:,}, as in its header")
    return np.frombuffer(content, "<i2").astype(np.int16)


def _with_plain_header(content: bytes) -> bytes:
    """Return a WAV file whose extensible header, as ffmpeg and sox write it, says plainly what its samples are.

    The `wave` of Python 3.11 does not read extensible headers. The first two bytes of the header's last field are the
    format of the samples.
    """
    at = content.find(b"fmt ", 12, 4096) + 8
    if at < 8 or len(content) < at + 26 or content[at : at + 2] != _EXTENSIBLE:
        return content
    return content[:at] + content[at + 24 : at + 26] + content[at + 2 :]


def _convert(clips: Sequence[Clip], whole: bool) -> Arrays:
    inputs = np.zeros((len(clips), _LENGTH, 1), np.int16)
    for row, (path, _) in enumerate(clips):
        samples = read_clip(path)
        if len(samples) > _LENGTH or (whole and len(samples) != _LENGTH):
            raise DataError(f"{path}: {len(samples):,} samples; a clip has at most {_LENGTH:,}")
        inputs[row, : len(samples), 0] = samples
    wide = inputs[:, :, 0].astype(np.int64)
    return {
        "inputs": inputs,
        "labels": np.array([label for _, label in clips], np.int32),
        "sums": np.stack([wide.sum(1), (wide * wide).sum(1)], axis=-1),
    }
