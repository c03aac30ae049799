"""The name of an array's job: it ends with the array's uuid, by which an orphan is known. Pure."""

from __future__ import annotations

import re

_NAME = re.compile(r".+\.(?P<uuid>[0-9a-f]{16})")
_MOST = 60  # what `squeue` and mails show of a name is for people


def job_name(sweep: str, uuid: str) -> str:
    """Return the name of an array's job.

    Args:
        sweep: Name of the sweep.
        uuid: The array's own, 16 hexadecimal digits.
    """
    return f"{sweep[:_MOST]}.{uuid}"


def uuid_in(name: str) -> str | None:
    """Return the uuid in a job's name; None where it is no name of ours."""
    match = _NAME.fullmatch(name)
    return match["uuid"] if match else None
