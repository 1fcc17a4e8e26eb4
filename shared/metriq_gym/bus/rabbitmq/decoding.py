"""Reading what the client library cannot: properties that a publisher set to anything.

It takes one that it cannot decode, say a time in the year 57 million, for the end of the connection. The broker would
deliver that message again on the next one, to the same end, and count it against all else that was in hand there.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from pamqp.base import BasicProperties
from pamqp.commands import Basic


def tolerate() -> None:
    """Let every connection of this process read such messages."""
    Basic.Properties.unmarshal = _unmarshal  # type: ignore[method-assign, assignment]


def _unmarshal(properties: Any, flags: int, data: bytes) -> None:
    """Leave the first property that cannot be decoded, and those behind it, as if they had not been set."""
    # Whatever a stranger's bytes may lead to.
    with suppress(Exception):
        BasicProperties.unmarshal(properties, flags, data)
