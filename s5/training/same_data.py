"""Refuse to go on with a run whose raw data have changed: its numbers would mix two data sets."""

from collections.abc import Mapping
from typing import Any

from s5.catalog import data_fingerprint, data_root
from s5.config.data import DataConfig
from s5.errors import UserError


def check_same_data(
    facts: Mapping[str, Any], data: DataConfig, *, hint: str, now: Mapping[str, Any] | None = None
) -> None:
    """Check that the raw files of a data set are those that a checkpoint was trained on.

    Args:
        facts: `Checkpoint.environment`; without a fingerprint in `data` nothing is checked.
        data: The data set, as the run's config names it.
        hint: What to do if they differ.
        now: The fingerprint of the files; None to read the files.

    Raises:
        UserError: If the files have another fingerprint. Without raw files, as if only the converted ones are here,
            nothing is checked.
    """
    before = facts.get("data")
    if not isinstance(before, str):
        return
    now = now or data_fingerprint(data.name, data.root)
    if now is not None and now["sample"] != before:
        raise UserError(
            f"data.name={data.name}: the files in {data_root(data.root)} are not those that the run was trained on; "
            f"there are {now['files']:,} of {now['bytes']:,} bytes now",
            hint=hint,
        )
