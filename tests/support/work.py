"""How much work something is, told without a clock: by the number of calls that it makes."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class TooMuchWork(AssertionError):
    """More calls than there should have been."""


@contextmanager
def at_most(calls: int) -> Iterator[None]:
    """Raise `TooMuchWork` at once when the code inside makes more calls, to Python or to C, than that."""
    left = calls

    def count(_: object, event: str, __: Any) -> None:
        nonlocal left
        if event in {"call", "c_call"}:
            left -= 1
            if left < 0:
                sys.setprofile(None)
                raise TooMuchWork(f"more than {calls:,} calls")

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        yield
    finally:
        sys.setprofile(before)
