"""What `squeue` prints, as rows. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

# Job or array with its tasks, state, why it waits, nodes, name. The name comes last, since it may contain `|`.
FORMAT = "%i|%T|%r|%N|%j"

# A job in one of these states still runs, or may write.
RUNNING = frozenset(
    {"RUNNING", "COMPLETING", "CONFIGURING", "SUSPENDED", "STOPPED", "SIGNALING", "STAGE_OUT", "RESIZING"}
)
_HELD_BY_PERSON = frozenset({"JobHeldUser", "JobHeldAdmin"})  # `sbatch --hold` counts as the user
# Slurm itself holds a job that a node could not start.
_HELD = _HELD_BY_PERSON | {"launch failed requeued held", "job requeued in held state"}


@dataclass(frozen=True, kw_only=True)
class QueueRow:
    """One line of `squeue`: a job, a task of an array, or all tasks of an array that wait.

    Attributes:
        job: The job's number; an array's own, not that of its task.
        tasks: The tasks it stands for; empty for a job without an array.
        throttle: How many tasks of the array may run at once; None if the line does not say.
        state: Slurm's word.
        reason: Why it waits.
        nodes: Where it runs.
        name: The job's name.
    """

    job: str
    tasks: tuple[int, ...]
    throttle: int | None
    state: str
    reason: str
    nodes: str
    name: str

    @property
    def runs(self) -> bool:
        """Whether it runs, or may still write."""
        return self.state in RUNNING

    @property
    def is_held(self) -> bool:
        """Whether it waits to be released."""
        return self.state == "PENDING" and self.reason.replace("_", " ") in _HELD

    @property
    def is_held_by_person(self) -> bool:
        """Whether it waits to be released and a person, or `sbatch --hold`, holds it."""
        return self.state == "PENDING" and self.reason in _HELD_BY_PERSON


def parse_rows(text: str) -> list[QueueRow]:
    """Return the rows of `squeue -h -o FORMAT`; other lines are left out."""
    rows: list[QueueRow] = []
    for line in text.splitlines():
        words = line.split("|", 4)
        if len(words) != 5:
            continue
        job, tasks, throttle = _read_id(words[0].strip())
        if job.isdigit():
            state, reason, nodes, name = (word.strip() for word in words[1:])
            rows.append(
                QueueRow(job=job, tasks=tasks, throttle=throttle, state=state, reason=reason, nodes=nodes, name=name)
            )
    return rows


def _read_id(text: str) -> tuple[str, tuple[int, ...], int | None]:
    """Read `12`, `12_3`, or `12_[0-4,7,10-20:2%5]`."""
    job, _, rest = text.partition("_")
    rest, _, throttle = rest.strip("[]").partition("%")
    limit = int(throttle) if throttle.isdigit() else None
    return job, tuple(number for part in rest.split(",") if part for number in _expand(part)), limit


def _expand(part: str) -> Iterator[int]:
    span, _, step = part.partition(":")
    first, _, last = span.partition("-")
    if first.isdigit() and (last or first).isdigit():
        yield from range(int(first), int(last or first) + 1, int(step or 1))


def task_words(job: str, tasks: list[int]) -> str:
    """Return tasks of an array as a client command takes them: `12_[0-4,7]`."""
    spans: list[list[int]] = []
    for task in sorted(tasks):
        if spans and task == spans[-1][1] + 1:
            spans[-1][1] = task
        else:
            spans.append([task, task])
    return f"{job}_[{','.join(str(a) if a == b else f'{a}-{b}' for a, b in spans)}]"
