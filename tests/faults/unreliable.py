"""A MongoDB driver whose calls fail now and then: some do nothing, some are carried out and nobody is told."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import wraps
from random import Random
from typing import Any

import structlog
from motor.motor_asyncio import AsyncIOMotorCollection
from pymongo.errors import AutoReconnect, NetworkTimeout

log = structlog.get_logger()

BROKEN = "a call to MongoDB was made to fail"
"""What is logged of each."""
CALLS = (
    *("insert_one", "insert_many", "update_one", "update_many", "replace_one", "delete_one", "delete_many"),
    *("find_one", "find_one_and_update", "bulk_write", "count_documents", "distinct"),
)
CURSORS = ("find", "aggregate")


def break_calls(random: Random, *, refused: float, timed_out: float) -> None:
    """From now on let this share of all calls in this process fail before, and that one after they are carried out."""

    def before(name: str) -> None:
        if random.random() < refused:
            log.warning(BROKEN, call=name, carried_out=False)
            raise AutoReconnect(f"{name} was made to fail")

    def failing(name: str, call: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        @wraps(call)
        async def wrapper(*args: Any, **kwargs: Any) -> Any:
            before(name)
            result = await call(*args, **kwargs)
            if random.random() < timed_out:
                log.warning(BROKEN, call=name, carried_out=True)
                raise NetworkTimeout(f"{name} was made to time out, though it was carried out")
            return result

        return wrapper

    def opening(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(call)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            before(name)
            return call(*args, **kwargs)

        return wrapper

    for name in CALLS:
        setattr(AsyncIOMotorCollection, name, failing(name, getattr(AsyncIOMotorCollection, name)))
    for name in CURSORS:
        setattr(AsyncIOMotorCollection, name, opening(name, getattr(AsyncIOMotorCollection, name)))
