"""Connecting to MongoDB with the durability the rules need, and telling passing faults from lasting ones."""

from __future__ import annotations

import atexit
import functools
import re
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from datetime import UTC, datetime
from typing import Any, ParamSpec, TypeVar

from pymongo.errors import (
    AutoReconnect,
    BulkWriteError,
    ConnectionFailure,
    ExecutionTimeout,
    OperationFailure,
    PyMongoError,
    WaitQueueTimeoutError,
    WriteConcernError,
)

from metriq_gym.errors import Refused, Unavailable
from metriq_gym.wording import shorten

P = ParamSpec("P")
T = TypeVar("T")
Stage = Mapping[str, Any]
"""One stage of an update pipeline."""
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
"""Before any time in the store: comparing with it, unlike `$exists`, lets an index on times serve."""

OPTIONS: dict[str, Any] = {
    "w": "majority",
    "journal": True,
    "tz_aware": True,
    "retryWrites": True,
    "serverSelectionTimeoutMS": 5000,
    "socketTimeoutMS": 20000,
    "maxPoolSize": 50,
    "appname": "metriq-gym",
}

_PASSING = (AutoReconnect, ConnectionFailure, ExecutionTimeout, WaitQueueTimeoutError)
_CHANGING = frozenset({6, 7, 89, 91, 133, 134, 189, 202, 262, 9001, 10107, 11600, 11602, 13435, 13436})
"""Codes at which a driver tries again, once (MongoDB's specification of retryable reads), and two like them: of servers
that cannot be reached, that start, stop, or change their role."""
_INTERRUPTED = frozenset({43, 136, 175, 237, 279, 11601})
"""Codes of a query whose cursor was gone, or that was ended, before all was read: CursorNotFound, CappedPositionLost,
QueryPlanKilled, CursorKilled, ClientDisconnect, Interrupted. No driver tries these again: some may have been read."""
_PRESSED = frozenset({24, 46, 112, 239, 246, 365, 14031})
"""Codes of a server that has too much to do, or too little room: LockTimeout, LockBusy, WriteConflict, SnapshotTooOld,
SnapshotUnavailable, TemporarilyUnavailable, OutOfDiskSpace."""
_PASSING_CODES = {
    **dict.fromkeys(_CHANGING, "the store is changing"),
    **dict.fromkeys(_INTERRUPTED, "the store has interrupted this"),
    **dict.fromkeys(_PRESSED, "the store is overloaded or full"),
}
DUPLICATE_KEY = 11000
_UNAUTHORIZED = 13
_REFUSALS = (_UNAUTHORIZED, 18)
"""Codes of Unauthorized and AuthenticationFailed: until an administrator changes the user's rights or password."""
_URL = "METRIQ_MONGO_URL"
_ACTIONS = {
    "aggregate": "find",
    "count": "find",
    "createIndexes": "createIndex",
    "delete": "remove",
    "distinct": "find",
    "findAndModify": "update",
    "getMore": "find",
}
"""Command → the action that it needs, where that has another name."""
_COMMAND = re.compile(r"not authorized on (\S+) to execute command \{ (\w+): (?:\"([\w.$]+)\")?")


def connect(url: str) -> Any:
    """Return a motor client for `url`; nothing is sent until the first call."""
    from motor.motor_asyncio import AsyncIOMotorClient

    return AsyncIOMotorClient(url, **OPTIONS)


def leave_at_once() -> None:
    """Let this process end without the driver's threads, whose clients have been closed.

    Else it waits for them, and they sleep for half a second before they see that there is nothing more to do.
    """
    if (monitor := sys.modules.get("pymongo.synchronous.monitor")) is not None:
        atexit.unregister(monitor._shutdown_resources)


def translated(call: Callable[P, Awaitable[T]]) -> Callable[P, Awaitable[T]]:
    """Turn the driver's passing faults (server away, stepping down, slow) into `Unavailable`."""

    @functools.wraps(call)
    async def wrapper(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return await call(*args, **kwargs)
        except PyMongoError as error:
            if _code(error) in _REFUSALS:
                raise _refused(error) from error
            if (passing := _passing(error)) is not None:
                raise Unavailable(f"{passing}: {in_short(error)}") from error
            raise

    return wrapper


def is_passing(error: Exception) -> bool:
    """Whether an error of the driver is a passing fault, so that trying again may help."""
    return isinstance(error, PyMongoError) and _passing(error) is not None


def _passing(error: PyMongoError) -> str | None:
    """Return what is the matter, if that passes."""
    if isinstance(error, _PASSING):
        return "the store is away"
    codes = _codes(error) - {DUPLICATE_KEY}  # whoever tries again is told of that again
    if codes and codes <= _PASSING_CODES.keys():
        return _PASSING_CODES[min(codes)]
    if _is_unconfirmed(error):
        return "the store is changing"
    if error.has_error_label("RetryableWriteError") or error.has_error_label("TransientTransactionError"):
        return "the store asks to try again"
    return None


def _code(error: PyMongoError) -> int | None:
    return error.code if isinstance(error, OperationFailure) else None


def _codes(error: PyMongoError) -> set[int]:
    """Return an error's code; for many writes at once those of the ones that failed."""
    if isinstance(error, BulkWriteError):
        return {each.get("code", 0) for each in (error.details or {}).get("writeErrors", ())}
    code = _code(error)
    return set() if code is None else {code}


def _is_unconfirmed(error: PyMongoError) -> bool:
    """Whether a write was carried out, and it is open whether it will last: a majority has not confirmed it."""
    if isinstance(error, BulkWriteError):
        return bool((error.details or {}).get("writeConcernErrors"))
    return isinstance(error, WriteConcernError)


def _refused(error: PyMongoError) -> Refused:
    """Return what a refusal means: a wrong user or password, no user at all, or a right that is missing."""
    if not isinstance(error, OperationFailure) or error.code != _UNAUTHORIZED:
        return Refused(f"MongoDB refuses the user or the password in {_URL}")
    if (found := _COMMAND.search(in_short(error))) is None:
        return Refused(f"MongoDB refuses the user in {_URL}: {in_short(error)}")
    database, name, collection = found.groups()
    action = _ACTIONS.get(name, name)
    what = f"{action} {collection}" if collection else action
    return Refused(
        f"the user in {_URL} may not {what} in MongoDB's database {database}",
        needs=("mongodb", action, collection or ""),
    )


def in_short(error: PyMongoError) -> str:
    """Return what happened, without the driver's account of its limits and of all that it knows of the servers."""
    told = str(error)
    for extra in (", full error:", " (configured timeouts", ", Timeout:"):
        told = told.split(extra)[0]
    return shorten(" ".join(told.split()))


def literal(values: Mapping[str, Any]) -> dict[str, Any]:
    """Keep values that look like expressions (``$…``) from being evaluated in an update pipeline."""
    return {key: {"$literal": value} for key, value in values.items()}


def entries(field: str) -> Stage:
    """Return the expression for the entries of an object, of which there are none where something else stands.

    An expression that fails on one document fails the query for all of them.
    """
    is_object = {"$eq": [{"$type": f"${field}"}, "object"]}
    return {"$objectToArray": {"$cond": [is_object, f"${field}", {}]}}


_SKEW_SECONDS = 10


def set_back(written: str) -> Stage:
    """Return the expression for whether the server's clock was set back since it wrote that time, as ``$field``.

    A command's time is when it began: one that had to wait finds times that are a little later, and these do not count.
    """
    return {"$gt": [written, from_now(_SKEW_SECONDS)]}


def from_now(seconds: float) -> Stage:
    """Return the expression for a time `seconds` after the server's present time."""
    return {"$add": ["$$NOW", int(seconds * 1000)]}


async def rows(collection: Any, stages: list[dict[str, Any]], **options: Any) -> AsyncIterator[dict[str, Any]]:
    """Yield what an aggregation finds; `options` are the driver's."""
    cursor = collection.aggregate(stages, **options)
    if hasattr(cursor, "__await__"):  # PyMongo's own asynchronous client
        cursor = await cursor
    async for row in cursor:
        yield row
