"""The shell lines of a batch script: they say why a job ends before its supervisor begins.

Each command of `setup` must succeed. If one fails, or the supervisor cannot be executed, the job's log ends with a line
such as ``launch: node1: setup line 2, `module load x`, ended with 1``; `launch.backends.slurm.failed_start` reads it.
"""

from __future__ import annotations

import shlex
import signal
import subprocess
from collections.abc import Iterator, Sequence
from functools import lru_cache

from launch.backends.slurm.arrays import MARK
from launch.errors import printable

_SHOWN_CHARS = 120  # how much of a setup line a message quotes

# A signal that ends the shell calls the trap with the code of the last command, which is 0 here, or that of a command
# that the same signal has ended. The function `exit` tells 0 from `exit 0`, also in files that `setup` sources.
# Preemption is not a failure: the log is renamed, and the run is submitted again. A setup that lasts until the time
# limit would never end, so it is a failure.
_PRELUDE = """\
launch_log={log}
launch_say() {{ printf '{mark}%s: %s\\n' "${{SLURMD_NODENAME:-$HOSTNAME}}" "$1"; }}
launch_end() {{
  {{ set +x; trap - EXIT; }} 2>/dev/null
  if [ "$1" != {term} ] && [ "$1" != {usr2} ] && [ "$1${{launch_exit-}}" != 0 ]; then
    launch_say "$launch_step ended with $1"
    case " {taken} " in *" $1 "*) builtin exit {other};; esac
  elif [ "$SECONDS" -ge {limit_s} ]; then
    launch_say "$launch_step had not ended at the time limit"
  else
    launch_say "a signal ended the job before the run started"
    mv -f "$launch_log" "${{launch_log%.log}}.early.log"
  fi
}}
launch_check() {{ [ "$1" = 0 ] || exit "$1"; }}
exit() {{ launch_exit=${{1-$?}}; builtin exit "$launch_exit"; }}
trap 'launch_end "$?"' EXIT"""
_NO_LIMIT_S = 1 << 40


def setup_lines(setup: Sequence[str], log: str, limit_s: float | None, requeue_exits: Sequence[int] = ()) -> list[str]:
    """Return the lines before the command.

    Args:
        setup: The shell lines of the profile.
        log: The shell word for the path of the job's log.
        limit_s: After how many seconds a signal is that of the time limit; None without a limit.
        requeue_exits: The exit codes after which this cluster starts a job again by itself: it would never stop.
    """
    limit = _NO_LIMIT_S if limit_s is None else max(1, int(limit_s))
    other = next(code for code in range(1, 126) if code not in requeue_exits)
    taken = " ".join(map(str, (0, *requeue_exits)))
    lines = _PRELUDE.format(
        log=log,
        mark=MARK,
        limit_s=limit,
        term=128 + signal.SIGTERM,
        usr2=128 + signal.SIGUSR2,
        taken=taken,
        other=other,
    ).splitlines()
    for first, command in _commands(tuple(setup)):
        last = first + command.count("\n")
        numbers = f"line {first}" if first == last else f"lines {first}-{last}"
        quoted = printable(" ".join(command.split()))
        quoted = quoted if len(quoted) <= _SHOWN_CHARS else f"{quoted[:_SHOWN_CHARS]}…"
        lines += [f"launch_step={shlex.quote(f'setup {numbers}, `{quoted}`,')}", command, "launch_check $?"]
    return lines


def command_lines(words: Sequence[str]) -> str:
    """Return the lines that replace the shell by a command, or say that it cannot be executed."""
    step = shlex.quote(f"the launcher's Python, `{printable(words[0])}`,")
    # Without `execfail` a command that cannot be executed would end the shell without its trap.
    lines = (
        *(f"launch_step={step}", "shopt -s execfail", f"exec {shlex.join(words)}"),
        *("launch_code=$?", "launch_end $launch_code", "builtin exit $launch_code"),
    )
    return "\n".join(lines)


@lru_cache
def _commands(setup: tuple[str, ...]) -> tuple[tuple[int, str], ...]:
    return tuple(_split(setup))


def _split(setup: Sequence[str]) -> Iterator[tuple[int, str]]:
    """Yield the commands of `setup`, each with the number of its first line: an `if` may have several lines."""
    begun: list[str] = []
    for number, line in enumerate(setup, 1):
        begun.append(line)
        if _is_complete("\n".join(begun)):
            yield number - len(begun) + 1, "\n".join(begun)
            begun = []
    if begun:  # the shell itself says what is wrong
        yield len(setup) - len(begun) + 1, "\n".join(begun)


def _is_complete(text: str) -> bool:
    """Return whether a shell command is complete, so that another command may follow."""
    if (len(text) - len(text.rstrip("\\"))) % 2:
        return False
    try:
        done = subprocess.run(["bash", "-n", "-c", text], capture_output=True, text=True, check=False)
    except OSError:
        return True
    return done.returncode == 0 and "here-document" not in done.stderr
