"""What a remote provider listed before a job's first submission, for finding a submission whose answer is lost."""

from __future__ import annotations

import json
import zlib
from collections.abc import Collection
from typing import Any

from metriq_gym.store.mongo import translated


class Listings:
    """The ``listings`` collection: one document per job that is being submitted."""

    def __init__(self, collection: Any) -> None:
        self._listings = collection

    @translated
    async def note(self, job_id: str, ids: Collection[str]) -> None:
        """Keep the listed ids; those noted first for the job stay."""
        packed = zlib.compress(json.dumps(sorted(ids)).encode())
        await self._listings.update_one({"_id": job_id}, {"$setOnInsert": {"ids": packed}}, upsert=True)

    @translated
    async def get(self, job_id: str) -> frozenset[str] | None:
        """Return the ids noted for a job, or None when none were."""
        found = await self._listings.find_one({"_id": job_id})
        return None if found is None else frozenset(json.loads(zlib.decompress(found["ids"])))

    @translated
    async def job_ids(self) -> list[str]:
        """Return the ids of all jobs that are being submitted, or are held."""
        return [str(each) for each in await self._listings.distinct("_id")]

    @translated
    async def forget(self, job_id: str) -> None:
        """Drop what was noted, once everything is submitted."""
        await self._listings.delete_one({"_id": job_id})
