"""One call of a Slurm client command: its output, or an error that names what could not be reached."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from launch.errors import BackendError

TIMEOUT_S = 60.0

# What the clients of Slurm 20.11 to 25.x say when the controller does not answer.
_UNREACHABLE = (
    "Unable to contact slurm controller",
    "Unable to contact slurm",
    "Connection refused",
    "Socket timed out",
    "Zero Bytes were transmitted",
    "Unable to establish controller machine",
)

# What they say where they do not even know whom to ask.
_UNCONFIGURED = (
    "Could not establish a configuration source",
    "Unable to process configuration file",
    "Unable to process slurm.conf file",
    "DNS SRV lookup failed",
)
_NO_LOGIN_NODE = "log in to a node of the cluster, or name its slurm.conf in $SLURM_CONF"


class ClientError(BackendError):
    """A client command that ended badly.

    Args:
        program: Which.
        said: What it wrote to stderr.
    """

    def __init__(self, program: str, said: str) -> None:
        lines = [line.removeprefix(f"{program}: ").removeprefix("error: ") for line in said.splitlines() if line]
        super().__init__(f"{program}: {lines[-1] if lines else 'it failed and said nothing'}")
        self.program = program
        self.said = said


class Unreachable(BackendError):
    """Nobody answers: no client on the PATH, no controller, or no answer in time. Nothing is known."""


def run_client(
    words: Sequence[str],
    *,
    timeout_s: float = TIMEOUT_S,
    hold: Sequence[int] = (),
    variables: Mapping[str, str] | None = None,
) -> str:
    """Run a client command and return what it prints.

    Args:
        words: The command line.
        timeout_s: Seconds it may take.
        hold: Descriptors that it holds while it runs, whatever becomes of this process.
        variables: What its environment has beside this process's.

    Raises:
        ClientError: Where it refuses.
        Unreachable: Where it is not there, or nobody answers it.
    """
    import subprocess  # costs a task that asks nothing some milliseconds

    environment = {**os.environ, "SLURM_BITSTR_LEN": "0", "LC_ALL": "C", **(variables or {})}
    try:
        answer = subprocess.run(
            list(words),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            env=environment,
            timeout=timeout_s,
            pass_fds=tuple(hold),
            check=False,
        )
    except FileNotFoundError:
        hint = "log in to a node of the cluster, or load the module that brings Slurm's clients"
        raise Unreachable(f"{words[0]} is not on the PATH", hint=hint) from None
    except OSError as error:
        raise Unreachable(f"{words[0]}: {os.strerror(error.errno or 0)}") from error
    except subprocess.TimeoutExpired:
        raise Unreachable(f"{words[0]} did not answer within {timeout_s:g} s", hint=_LATER) from None
    said = answer.stderr.decode(errors="replace")
    if answer.returncode == 0:
        return answer.stdout.decode(errors="replace")
    if any(words_ in said for words_ in _UNCONFIGURED):
        named = os.environ.get("SLURM_CONF")
        where = f"SLURM_CONF={named} is none" if named else "no slurm.conf, and nobody who has one"
        raise Unreachable(f"this machine has no Slurm configuration ({where})", hint=_NO_LOGIN_NODE)
    if any(words_ in said for words_ in _UNREACHABLE):
        raise Unreachable(f"Slurm's controller does not answer: {ClientError(words[0], said).message}", hint=_LATER)
    raise ClientError(words[0], said)


_LATER = "type the command again when it does: nothing is lost and nothing runs twice"
