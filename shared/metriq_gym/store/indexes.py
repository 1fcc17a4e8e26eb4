"""Indexes: created by users who may, and awaited by all others.

To build one takes time where a collection was restored without it. A majority of the members is enough: one that is
away builds it when it is back.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pymongo import IndexModel
from pymongo.errors import NetworkTimeout, OperationFailure

from metriq_gym.errors import Unavailable

_UNAUTHORIZED = 13
_QUORUM = "majority"


async def wish(collection: Any, indexes: Sequence[IndexModel]) -> None:
    """Create indexes that make queries cheaper and that none needs, if this user may."""
    try:
        await _create(collection, indexes)
    except OperationFailure as error:
        if error.code != _UNAUTHORIZED:
            raise


async def _create(collection: Any, indexes: Sequence[IndexModel]) -> None:
    try:
        await collection.create_indexes(list(indexes), commitQuorum=_QUORUM)
    except NetworkTimeout as error:  # the build goes on, and the next call joins it
        names = ", ".join(sorted(index.document["name"] for index in indexes))
        needs = "which takes a majority of MongoDB's members"
        raise Unavailable(f"indexes of {collection.name} are still being built, {needs}: {names}") from error


async def ensure(collection: Any, indexes: Sequence[IndexModel]) -> None:
    """Create what is missing; raises `Unavailable` when something is and this user may not create it."""
    try:
        await _create(collection, indexes)
    except OperationFailure as error:
        if error.code != _UNAUTHORIZED:
            raise
        missing = {index.document["name"] for index in indexes} - set(await collection.index_information())
        if missing:
            names = ", ".join(sorted(missing))
            raise Unavailable(f"{collection.name} has no index {names} yet: the dispatcher creates it") from error
