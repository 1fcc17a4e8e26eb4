"""Series as they are watched for drift: one bounded document each, which is changed as a whole, and only as it was
read, so that of all exporters one finds a shift.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import Any

from pydantic import ValidationError
from pymongo import IndexModel
from pymongo.errors import DuplicateKeyError

from metriq_gym.errors import Unavailable
from metriq_gym.jobs.watched import Watched
from metriq_gym.store.indexes import wish
from metriq_gym.store.mongo import literal, translated
from metriq_gym.store.reading import Unreadable, pass_over, read_those
from metriq_gym.store.together import by_id
from metriq_gym.wording import shorten

_ATTEMPTS = 20
_PAUSE_SECONDS = 0.05


class Drifts:
    """The ``drifts`` collection."""

    def __init__(self, collection: Any) -> None:
        self._series = collection
        self._by_id = by_id(collection)

    async def create_indexes(self) -> None:
        """Create the index by which shifts are found that are to be told, if this user may."""
        shift = "to_notify.drift_id"
        await wish(self._series, [IndexModel([(shift, 1)], partialFilterExpression={shift: {"$gt": ""}})])

    @translated
    async def to_notify(self) -> list[Watched]:
        """Return the series with shifts of which there may be no notice yet, without their values."""
        found = self._series.find({"to_notify.drift_id": {"$gt": ""}}, {"to_notify": 1})
        return await read_those(Watched, "drifts", found)

    @translated
    async def change(self, series_id: str, change: Callable[[Watched | None], Watched | None]) -> Watched | None:
        """Store what `change` makes of a series as it is, unless that is None; return it as it is then.

        Raises `Unavailable` when others change it all the time. A document of a version that cannot be read stays.
        """
        for _ in range(_ATTEMPTS):
            found = await self._by_id(series_id)
            try:
                before = None if found is None else Watched.model_validate(found)
            except ValidationError as error:
                pass_over(Unreadable("drifts", series_id, shorten(str(error), 300)))
                return None
            after = change(before)
            if after is None:
                return before
            if await self._write(before, after):
                return after
            await asyncio.sleep(_PAUSE_SECONDS * random.random())  # noqa: S311
        raise Unavailable(f"series {series_id} is being changed by others")

    async def _write(self, before: Watched | None, after: Watched) -> bool:
        document = after.model_copy(update={"revision": after.revision + 1}).model_dump(by_alias=True)
        if before is None:
            try:
                await self._series.insert_one(document)
            except DuplicateKeyError:
                return False
            return True
        # Not replaced: a later version may have written more.
        query = {"_id": after.id, "revision": before.revision}
        written = await self._series.update_one(query, [{"$set": literal(document)}])
        return bool(written.matched_count)
