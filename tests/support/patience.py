"""How long a test waits for what should happen: until it takes that for a hang, on however loaded a machine."""

from __future__ import annotations

import time
from collections.abc import Callable

PATIENCE = 300.0
"""Seconds. It says nothing of how long anything should take, so that no test fails by what else the machine does."""


def until(ready: Callable[[], object]) -> None:
    """Ask again and again until `ready` says so. Raises `TimeoutError` when it never does."""
    end = time.monotonic() + PATIENCE
    while not ready():
        if time.monotonic() > end:
            raise TimeoutError("it hangs")
        time.sleep(0.05)
