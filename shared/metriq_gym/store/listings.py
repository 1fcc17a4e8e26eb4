"""What a remote provider listed before a job's first submission, for finding a submission whose answer is lost."""

from __future__ import annotations

import json
import zlib
from collections.abc import Collection
from typing import Any

from metriq_gym.errors import UnreadableDocument
from metriq_gym.store.mongo import Stage, translated


class Listings:
    """The ``listings`` collection: one document per job that is being submitted."""

    def __init__(self, collection: Any) -> None:
        self._listings = collection

    @translated
    async def note(self, job_id: str, ids: Collection[str], token: int) -> None:
        """Keep the listed ids for the holder of the lease `token`; those noted first for the job stay."""
        packed = zlib.compress(json.dumps(sorted(ids)).encode())
        change = {"ids": {"$ifNull": ["$ids", packed]}, "token": _newest(token)}
        await self._listings.update_one({"_id": job_id}, [{"$set": change}], upsert=True)

    @translated
    async def keep(self, job_id: str, token: int) -> bool:
        """Keep what is noted for the holder of the lease `token`; return whether anything is."""
        done = await self._listings.update_one({"_id": job_id}, [{"$set": {"token": _newest(token)}}])
        return bool(done.matched_count)

    @translated
    async def get(self, job_id: str) -> frozenset[str] | None:
        """Return the ids noted for a job, or None when none were; raises `UnreadableDocument`."""
        found = await self._listings.find_one({"_id": job_id})
        try:
            return None if found is None else frozenset(json.loads(zlib.decompress(found["ids"])))
        except (KeyError, ValueError, TypeError, zlib.error) as error:
            raise UnreadableDocument(f"{job_id} in listings cannot be read: {error}") from error

    @translated
    async def holders(self) -> dict[str, int | None]:
        """Return the jobs that are being submitted, or are held, and the newest lease that each one's list is kept for.

        A version of before wrote no lease.
        """
        return {str(each["_id"]): each.get("token") async for each in self._listings.find({}, {"token": 1})}

    @translated
    async def holder(self, job_id: str) -> int | None:
        """Return the newest lease that the list of a job is kept for, if any."""
        found = await self._listings.find_one({"_id": job_id}, {"token": 1})
        return (found or {}).get("token")

    @translated
    async def forget(self, job_id: str) -> None:
        """Drop what was noted, once everything is submitted."""
        await self._listings.delete_one({"_id": job_id})

    @translated
    async def forget_of_holder(self, job_id: str, token: int | None) -> None:
        """Drop what was noted, unless the holder of a newer lease than `token` goes by it."""
        await self._listings.delete_one({"_id": job_id, "token": {"$eq": token}})


def _newest(token: int) -> Stage:
    return {"$max": ["$token", token]}
