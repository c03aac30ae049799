"""Parse stored JSON with a limit on its depth: a damaged record must not stop or crash those that read it."""

import json
from typing import Any, cast

MAX_DEPTH = 64


def parse_json(text: str | bytes) -> Any:
    """Return a JSON document.

    Raises:
        ValueError: If the text is not JSON, or is nested deeper than `MAX_DEPTH`.
    """
    try:
        document = json.loads(text)
    except RecursionError:
        raise _too_deep() from None
    # A text that opens few brackets is not deep: most records are not looked through.
    opened = text.count("[") + text.count("{") if isinstance(text, str) else text.count(b"[") + text.count(b"{")
    if opened > MAX_DEPTH:
        _check_depth(document)
    return document


def _check_depth(document: object) -> None:
    level: list[object] = [document]
    for _ in range(MAX_DEPTH):
        level = [inner for outer in level for inner in _children(outer) if isinstance(inner, dict | list)]
        if not level:
            return
    raise _too_deep()


def _children(value: object) -> list[object]:
    if isinstance(value, dict):
        return list(cast("dict[str, object]", value).values())
    return cast("list[object]", value) if isinstance(value, list) else []


def _too_deep() -> ValueError:
    return ValueError(f"nested deeper than {MAX_DEPTH} levels")
