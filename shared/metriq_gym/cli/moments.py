"""Times as they are typed: ``2026-11-27``, ``2026-11-27T18:30``, or how long ago, ``90min``, ``12h``, ``7d``."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import typer

_AGO = re.compile(r"(\d+(?:\.\d+)?) ?(s|min|h|d|w)")
_UNITS = {"s": "seconds", "min": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def beginning(text: str) -> datetime:
    """Return the time that is meant; a day alone is its beginning. Without a zone it is UTC."""
    if ago := _AGO.fullmatch(text.strip()):
        try:
            return datetime.now(UTC) - timedelta(**{_UNITS[ago[2]]: float(ago[1])})
        except OverflowError:
            raise typer.BadParameter(f"{text} ago is before any time") from None
    try:
        at = datetime.fromisoformat(text.strip())
    except ValueError:
        raise typer.BadParameter(f"{text!r} is no time: 2026-11-27, 2026-11-27T18:30, 90min, 12h, 7d") from None
    return at if at.tzinfo is not None else at.replace(tzinfo=UTC)


def end(text: str) -> datetime:
    """Return the time that is meant; a day alone is its end."""
    day = re.fullmatch(r"\d{4}-?\d{2}-?\d{2}", text.strip())
    return beginning(text) + (timedelta(days=1) if day else timedelta())
