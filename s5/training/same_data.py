"""Refuse to go on with a run whose raw data have changed: its numbers would mix two data sets."""

from collections.abc import Mapping
from typing import Any

from s5.catalog import data_fingerprint, data_root, describe_difference, is_of_earlier_form
from s5.config.data import DataConfig
from s5.errors import UserError


def check_same_data(
    before: Mapping[str, Any] | str | None,
    data: DataConfig,
    *,
    hint: str,
    now: Mapping[str, Any] | None = None,
    earlier_root: str | None = None,
) -> None:
    """Check that the raw files of a data set are those that a checkpoint was trained on.

    Args:
        before: The fingerprint of the files then, or its `sample` alone; with None nothing is checked.
        data: The data set, as the run's config names it.
        hint: What to do if they differ.
        now: The fingerprint of the files; None to read the files.
        earlier_root: `data.root` when the run was trained; None for that of `data`.

    Raises:
        UserError: If the files have another fingerprint. Without raw files, as if only the converted ones are here,
            nothing is checked.
    """
    known = before if isinstance(before, Mapping) else {}
    sample = known.get("sample", before)
    now = now or data_fingerprint(data.name, data.root)
    if not isinstance(sample, str) or now is None or now["sample"] == sample:
        return
    if is_of_earlier_form(sample, data.name, data.root, earlier_root):
        return
    what = describe_difference(known, now) if known else "their names, sizes or content differ"
    raise UserError(
        f"data.name={data.name}: the files in {data_root(data.root)} are not those that the run was trained on: {what}",
        hint=hint,
    )
