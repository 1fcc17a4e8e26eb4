"""Indexes: created by users who may, and awaited by all others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pymongo import IndexModel
from pymongo.errors import OperationFailure

from metriq_gym.errors import Unavailable

_UNAUTHORIZED = 13


async def wish(collection: Any, indexes: Sequence[IndexModel]) -> None:
    """Create indexes that make queries cheaper and that none needs, if this user may."""
    try:
        await collection.create_indexes(list(indexes))
    except OperationFailure as error:
        if error.code != _UNAUTHORIZED:
            raise


async def ensure(collection: Any, indexes: Sequence[IndexModel]) -> None:
    """Create what is missing; raises `Unavailable` when something is and this user may not create it."""
    try:
        await collection.create_indexes(list(indexes))
    except OperationFailure as error:
        if error.code != _UNAUTHORIZED:
            raise
        missing = {index.document["name"] for index in indexes} - set(await collection.index_information())
        if missing:
            names = ", ".join(sorted(missing))
            raise Unavailable(f"{collection.name} has no index {names} yet: the dispatcher creates it") from error
