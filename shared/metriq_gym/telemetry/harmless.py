"""What is only told never decides over what is done: errors of logs, metrics and traces end here, and are counted."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from itertools import count
from typing import Any

_errors = count()
_suffered = 0


def suffered() -> int:
    """Return how many errors have ended here in this process."""
    return _suffered


def _suffer() -> None:
    global _suffered
    _suffered = next(_errors) + 1


@contextmanager
def harmless() -> Iterator[None]:
    """While inside, an error goes no further; but whoever interrupts or cancels is obeyed."""
    try:
        yield
    except Exception:
        _suffer()


@contextmanager
def around(make: Callable[[], AbstractContextManager[Any]]) -> Iterator[None]:
    """Be inside a context manager whose own errors, in making, entering and leaving it, go no further.

    What is raised inside is told to it, and raised on whatever it makes of that.
    """
    manager: AbstractContextManager[Any] | None = None
    with harmless():
        made = make()
        made.__enter__()
        manager = made
    try:
        yield
    except BaseException as error:
        if manager is not None:
            with harmless():
                _leave(manager, error)
        raise
    if manager is not None:
        with harmless():
            manager.__exit__(None, None, None)


def _leave(manager: AbstractContextManager[Any], error: BaseException) -> None:
    try:
        manager.__exit__(type(error), error, error.__traceback__)
    except BaseException as raised:
        if raised is not error:
            raise
