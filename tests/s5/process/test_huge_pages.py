"""Huge pages are requested once, and never against the user's own setting."""

import os
import subprocess
import sys

from s5.process.huge_pages import TUNABLE, VARIABLE, with_huge_pages


def test_the_tunable_joins_the_users_own() -> None:
    assert with_huge_pages({}) == {VARIABLE: f"{TUNABLE}=1"}
    assert with_huge_pages({VARIABLE: "glibc.malloc.check=1", "A": "b"}) == {
        VARIABLE: f"glibc.malloc.check=1:{TUNABLE}=1",
        "A": "b",
    }


def test_the_users_word_about_huge_pages_stands() -> None:
    assert with_huge_pages({VARIABLE: f"{TUNABLE}=0"}) is None


def test_the_process_starts_anew_once_and_stays_itself() -> None:
    code = (
        "import os, sys; from s5.process.huge_pages import restart_with_huge_pages, VARIABLE; "
        "print(os.getpid(), flush=True);"
        "restart_with_huge_pages(); print(os.environ.get(VARIABLE), sys.argv[1:])"
    )
    environment = {k: v for k, v in os.environ.items() if k != VARIABLE}
    answer = subprocess.run(
        [sys.executable, "-c", code, "a b"], capture_output=True, text=True, check=True, env=environment
    )
    first, second, last = answer.stdout.splitlines()
    assert first == second
    assert last == f"{TUNABLE}=1 ['a b']"
