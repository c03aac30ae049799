"""Call a Slurm client command and return its output, or raise an error that says what did not answer."""

from __future__ import annotations

import os
import re
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager

from launch.errors import BackendError, printable
from launch.specs.environment import submission_environment

TIMEOUT_S = 60.0

# What the clients of Slurm 20.11 to 25.x print when the controller does not answer.
_UNREACHABLE = (
    "Unable to contact slurm controller",
    "Unable to contact slurm",
    "Connection refused",
    "Socket timed out",
    "Zero Bytes were transmitted",
    "Unable to establish controller machine",
)

# What the clients print when they find no configuration.
_UNCONFIGURED = (
    "Could not establish a configuration source",
    "Unable to process configuration file",
    "Unable to process slurm.conf file",
    "DNS SRV lookup failed",
)
_TRY_HELP = re.compile(r"""Try ["'`].*--help""")
_NO_LOGIN_NODE = "log in to a node of the cluster, or name its slurm.conf in $SLURM_CONF"
_LATER = "type the command again when Slurm answers: nothing is lost and nothing runs twice"


def said_lines(program: str, said: str) -> list[str]:
    """Return the lines that a client printed to stderr, each once, without the name of the program.

    A site's filter writes there too. Control characters are escaped: they would control the user's terminal.
    """
    found: dict[str, None] = {}
    for line in said.splitlines():
        text = re.sub(rf"^{re.escape(program)}: ", "", line.expandtabs(1).strip())
        text = re.sub(r"^(error|warning|info): ", "", text)
        if text and not _TRY_HELP.match(text):
            found[printable(text)] = None
    return list(found)


class ClientError(BackendError):
    """A client command that failed.

    Args:
        program: The command's name.
        said: What it printed to stderr.
    """

    def __init__(self, program: str, said: str) -> None:
        lines = said_lines(program, said)
        super().__init__(f"{program}: {'; '.join(lines) or 'it failed and printed nothing'}")
        self.program = program
        self.said = said


class Unreachable(BackendError):
    """Slurm does not answer: its client is not on the PATH, or its controller does not respond."""


def client_environment(variables: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the environment of a client command: messages in English, and lists of array tasks never shortened."""
    return {**submission_environment(os.environ), "SLURM_BITSTR_LEN": "0", "LC_ALL": "C", **(variables or {})}


def run_client(
    words: Sequence[str], *, timeout_s: float = TIMEOUT_S, variables: Mapping[str, str] | None = None
) -> str:
    """Run a client command and return what it prints.

    Args:
        words: The command line.
        timeout_s: How many seconds it may take.
        variables: Variables that are added to the environment of this process.

    Raises:
        ClientError: If the command fails.
        Unreachable: If the command is not on the PATH, or the controller does not answer.
    """
    import subprocess  # loading it takes milliseconds, and many tasks do not need it

    with client_errors(words, timeout_s):
        answer = subprocess.run(
            list(words),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            env=client_environment(variables),
            timeout=timeout_s,
            check=False,
        )
    if answer.returncode:
        raise client_error(words, answer.stderr.decode(errors="replace"))
    return answer.stdout.decode(errors="replace")


@contextmanager
def client_errors(words: Sequence[str], timeout_s: float) -> Generator[None]:
    """Raise Unreachable if a client command cannot be executed, or if `subprocess` says that its time is over."""
    import subprocess

    try:
        yield
    except FileNotFoundError:
        hint = "log in to a node of the cluster, or load the module that brings Slurm's clients"
        raise Unreachable(f"{words[0]} is not on the PATH", hint=hint) from None
    except OSError as error:
        raise Unreachable(f"{words[0]}: {os.strerror(error.errno or 0)}") from error
    except subprocess.TimeoutExpired:
        raise Unreachable(f"{words[0]} did not answer within {timeout_s:g} s", hint=_LATER) from None


def client_error(words: Sequence[str], said: str) -> ClientError | Unreachable:
    """Return the error of a client command that failed and printed `said` to stderr."""
    if any(phrase in said for phrase in _UNCONFIGURED):
        named = os.environ.get("SLURM_CONF")
        where = f"SLURM_CONF={named} is not one" if named else "no slurm.conf, and no server that has one"
        return Unreachable(f"this machine has no Slurm configuration ({where})", hint=_NO_LOGIN_NODE)
    if any(phrase in said for phrase in _UNREACHABLE):
        return Unreachable(f"Slurm's controller does not answer: {ClientError(words[0], said).message}", hint=_LATER)
    return ClientError(words[0], said)
