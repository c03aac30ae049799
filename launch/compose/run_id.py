"""Make the id of a run: readable, of limited length, and safe in paths, shells and job names."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from launch.grammar import format_value

MAX_SLUG = 60
MAX_RUN_ID = 120
_HASH_DIGITS = 8
_UNSAFE = re.compile(r"[^A-Za-z0-9._=-]+")


def make_slug(settings: Mapping[str, Any]) -> str:
    """Return the text of a run's settings for its id, such as `d_state=16-lr=0.001`; "" without settings.

    The text depends only on the run's own settings, so a sweep that grows keeps the ids of its runs.
    """
    lasts = [key.rpartition(".")[2] for key in settings]
    parts = [
        f"{_safe(last if lasts.count(last) == 1 else key)}={_safe(format_value(value))}"
        for (key, value), last in zip(settings.items(), lasts, strict=True)
    ]
    return "-".join(parts)[:MAX_SLUG].rstrip("-_.=")


def make_run_id(experiment: str, settings: Mapping[str, Any], seed: int, identity: str) -> str:
    """Return `<experiment>-<slug>-s<seed>-<hash8>`, with `-` for the `/` in an experiment.

    Returns:
        At most `MAX_RUN_ID` letters, digits and `. _ = -`.
    """
    slug = make_slug(settings)
    rest = (f"-{slug}" if slug else "") + f"-s{seed}-{identity_digits(identity)}"
    return (_safe(experiment.replace("/", "-")) or "run")[: MAX_RUN_ID - len(rest)] + rest


def identity_digits(identity: str) -> str:
    """Return the digits of a run's hash that are at the end of its id."""
    return identity[:_HASH_DIGITS]


def _safe(text: str) -> str:
    """Return `text` with each sequence of unsafe characters replaced by one `_`, and without `_` at its ends."""
    return _UNSAFE.sub("_", text).strip("_")
