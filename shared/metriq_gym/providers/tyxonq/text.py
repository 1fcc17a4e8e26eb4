"""Words that came from the service, made fit for an error message."""

from __future__ import annotations

import json

MAX_LENGTH = 500


def readable(value: object) -> str:
    """Return an error in whatever shape it came (text, list, object) as one line of bounded length; "" for none."""
    if not value:
        return ""
    if isinstance(value, list):
        text = "; ".join(filter(None, map(readable, value)))
    else:
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    line = " ".join("".join(char if char.isprintable() else " " for char in text).split())
    return line if len(line) <= MAX_LENGTH else f"{line[:MAX_LENGTH]}…"
