"""Plain English: phrases that code, messages, tests and documents must not contain, since they must be read twice."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# What to write instead, for the message of a failure.
PHRASES = {
    r"\bis none\b": "there is no …, or: None",
    r"\bthere is none\b": "there is no …",
    r"\bis no\b(?<![Tt]here is no)(?! longer)": "is not a …",
    r"\b[Ww]hoever\b": "the process, or the user, that …",
    r"\b[Ss]omebody\b": "a user, or a process",
    r"\b[Nn]obody\b": "no user, or no process",
    r"\banew\b": "again",
    r"\bbeside\b": "besides, or next to",
    r"\bso many\b": "that many, or: as many as …",
    r"\bSay whether\b": "Return whether",
    r"\bReturn what\b": "Return the …",
    r"; None where\b": "None if",
    r"\bof (?:which|whom)\b": "two sentences",
    r"\b[Tt]hereof\b": "its",
    r"\b[Ll]ikewise\b": "also",
}
SUFFIXES = {".py", ".md", ".yaml", ".toml", ".sh"}
# What an earlier version has written stays as it is, and so do the names in it.
STORED = ("tests/old_runs/", "tests/slurm/test_old_runs.py")
_OWN = Path(__file__).resolve()


def _tracked() -> list[Path]:
    words = ["git", "ls-files", "-co", "--exclude-standard", "-z"]
    names = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\0")
    files = [ROOT / name for name in names if Path(name).suffix in SUFFIXES and not name.startswith(STORED)]
    return [file for file in files if file.is_file() and file != _OWN]


def find_phrases(text: str) -> list[str]:
    """Return the forbidden phrases in a text, each with a replacement."""
    running = re.sub(r"\s*\n[\s#>]*", " ", text)  # a phrase may be broken over two lines
    return [
        f"{found[0]!r}: write {better}" for phrase, better in PHRASES.items() for found in re.finditer(phrase, running)
    ]


def test_phrases_that_have_no_place() -> None:
    found = [f"{file.relative_to(ROOT)}: {phrase}" for file in _tracked() for phrase in find_phrases(file.read_text())]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("# The queue is\n# none of ours.", 1),
        ("Whoever asks is told; None where nobody does.", 3),
        ("Return the name, or None if there is no such run.", 0),
        ("There is no run; it is no longer there.", 0),
    ],
)
def test_a_phrase_is_found(text: str, count: int) -> None:
    assert len(find_phrases(text)) == count
