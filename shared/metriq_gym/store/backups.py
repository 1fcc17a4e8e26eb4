"""Backups: the whole store as of one moment in one file, and a store made from such a file.

The file is a gzip stream of BSON documents: one that says what it is, one for each stored document, and one with their
number and the SHA-256 of all before it. It is written beside its name and renamed once it is whole.

A restored store is of an earlier moment, and providers have gone on since. What the backup has as not submitted may
have been: it is written down as a submission whose answer was lost, which a dispatcher looks for by its tag before it
sends anything. A job whose tasks the backup does not have at all is held for an operator. The same is written into a
database that another tool has restored, as mongorestore does.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import secrets
import zlib
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from errno import EEXIST
from pathlib import Path
from typing import Any, BinaryIO

import bson
from bson.codec_options import CodecOptions
from bson.errors import BSONError
from bson.raw_bson import RawBSONDocument
from pymongo import ReplaceOne

from metriq_gym import __version__
from metriq_gym.errors import Permanent
from metriq_gym.jobs.states import JobState, TaskState
from metriq_gym.store.mongo import EPOCH, translated
from metriq_gym.store.transitions import held_anew

FORMAT = "metriq-gym backup"
VERSION = 1
MARK = "restores"
"""The collection that says that a restore has begun, and of which file; empty once it has ended."""
_WORK = ("tasks", "jobs", "suites", "schedules")
"""Restored last and in this order: what moves work on comes after what it needs."""
_TAKEN = (*_WORK, "deleted")
_BATCH_BYTES = 8 * 1024 * 1024
_LONGEST = 64 * 1024 * 1024
_AWARE: CodecOptions[dict[str, Any]] = CodecOptions(tz_aware=True)
_RAW = CodecOptions(document_class=RawBSONDocument)
_NEVER_PLANNED = (
    "restored from a backup that does not have its circuits: they may have been submitted since; "
    "`mgym job resolve JOB --fail` gives it up, `mgym job rerun JOB` requests it anew"
)


class NoBackup(Permanent):
    """A file is no backup, is damaged, or is of a later version."""


class Backups:
    """Reads and writes every collection of the database."""

    def __init__(self, client: Any, database: Any) -> None:
        self._client = client
        self._database = database

    async def write(self, path: Path, *, replace: bool = False) -> Counter[str]:
        """Write the store as it is now to a file, and return how many documents of each collection.

        Raises `FileExistsError` unless it may replace what is there.
        """
        with (
            _beside(path, replace) as file,
            gzip.GzipFile(fileobj=file, mode="wb", compresslevel=6, filename="") as packed,
        ):
            return await self._write(packed)

    @translated
    async def _write(self, packed: gzip.GzipFile) -> Counter[str]:
        digest, counts = hashlib.sha256(), Counter[str]()

        def _put(document: Mapping[str, Any]) -> None:
            encoded = bson.encode(document)
            digest.update(encoded)
            packed.write(encoded)

        _put({"format": FORMAT, "version": VERSION, "made_at": await self._now(), "by": __version__})
        names = [each for each in await self._database.list_collection_names() if not each.startswith("system.")]
        async with await self._client.start_session(snapshot=True) as session:
            for name in sorted(set(names) - {MARK}, key=_order):
                found = self._database.get_collection(name, codec_options=_RAW).find({}, session=session)
                async for document in found:
                    _put({"in": name, "document": document})
                    counts[name] += 1
        packed.write(bson.encode({"end": {"counts": dict(counts), "sha256": digest.hexdigest()}}))
        return counts

    @translated
    async def restore(self, path: Path, local: Collection[str] = ()) -> Counter[str]:
        """Put what a backup has into this store, which has no jobs, and return how many documents of each collection.

        Raises `NoBackup` before anything is written, and `Permanent` where the store has jobs. One that was interrupted
        goes on where the same file is restored again. Tasks of `local` providers are run here, and looked for nowhere.
        """
        made_at, counts, digest = checked(path)
        mark = await self._database[MARK].find_one({})
        if mark is not None and mark["_id"] != digest:
            raise Permanent("the restore of another backup has not ended; restore that file again")
        if mark is None:
            for name in _TAKEN:
                if await self._database[name].find_one({}, {"_id": 1}) is not None:
                    raise Permanent(f"the store is not empty: it has {name}; a backup is restored into a new store")
            await self._database[MARK].insert_one({"_id": digest})
        now = await self._now()
        batch: list[Any] = []
        name, size = "", 0
        for where, document, encoded in _documents(path):
            if batch and (where != name or size > _BATCH_BYTES):
                await self._database[name].bulk_write(batch)
                batch, size = [], 0
            changed = _as_restored(where, document, made_at, now, local)
            batch.append(ReplaceOne({"_id": changed["_id"]}, changed, upsert=True))
            name, size = where, size + encoded
        if batch:
            await self._database[name].bulk_write(batch)
        await self._database[MARK].delete_many({})
        return counts

    @translated
    async def settle(self, local: Collection[str] = ()) -> tuple[int, int]:
        """Do in place what `restore` does, where another tool has restored the database; done twice it does no more.

        Return how many tasks may have been submitted since, and how many jobs are held for it.
        """
        remote = {"provider": {"$nin": list(local)}}
        stored = {**remote, "state": TaskState.STORED}
        for job_id in {each["job_id"] async for each in self._database.tasks.find(stored, {"job_id": 1})}:
            # A job that is not dispatched yet last changed before the copy was made, so nothing was sent earlier.
            job = await self._database.jobs.find_one({"_id": job_id}, {"updated_at": 1})
            since = EPOCH if job is None else job["updated_at"]
            sent = {"state": TaskState.SUBMITTING, "intended_at": since}
            await self._database.tasks.update_many(
                {**stored, "job_id": job_id}, [{"$set": sent | {"sent_until": "$$NOW"}}]
            )
        doubtful = {**remote, "state": {"$in": [TaskState.SUBMITTING, TaskState.UNKNOWN]}}
        tasks = await self._database.tasks.update_many(doubtful, [{"$set": {"sent_until": "$$NOW"}}])
        unplanned = {**remote, "state": JobState.DISPATCHING, "planned": {"$ne": True}, "held": None}
        held = held_anew(_NEVER_PLANNED) | {"held": {"$literal": _NEVER_PLANNED}}
        jobs = await self._database.jobs.update_many(unplanned, [{"$set": held}])
        return int(tasks.matched_count), int(jobs.matched_count)

    async def _now(self) -> datetime:
        """Return the server's time, by which tasks are submitted."""
        at: datetime = (await self._client.admin.command("hello"))["localTime"]
        return datetime.combine(at.date(), at.time(), UTC)


@contextmanager
def _beside(path: Path, replace: bool) -> Iterator[BinaryIO]:
    """Yield a file that gets its name, and is on the disk, once it is whole; only its owner may read it."""
    if path.exists() and not replace:
        raise FileExistsError(EEXIST, "it exists; --force replaces it", str(path))
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def checked(path: Path) -> tuple[datetime, Counter[str], str]:
    """Return when a backup was made, what it has, and its digest; raises `NoBackup`."""
    digest, counts, end = hashlib.sha256(), Counter[str](), None
    try:
        with gzip.open(path, "rb") as packed:
            head = bson.decode(first := _next(packed), _AWARE)
            if head.get("format") != FORMAT:
                raise NoBackup(f"{path} is no backup of this store")
            if not isinstance(head.get("version"), int) or head["version"] > VERSION:
                raise NoBackup(f"{path} was made by a later version, {head.get('by')}: restore it with that")
            digest.update(first)
            while encoded := _next(packed):
                found = RawBSONDocument(encoded)
                if end is not None:
                    raise NoBackup(f"{path} is damaged: it goes on after its end")
                if "end" in found:
                    end = bson.decode(encoded)["end"]
                else:
                    digest.update(encoded)
                    counts[str(found["in"])] += 1
    except (gzip.BadGzipFile, EOFError, zlib.error, BSONError, KeyError, TypeError) as error:
        raise NoBackup(f"{path} is no backup of this store, or is damaged: {error}") from None
    if end is None or end != {"counts": dict(counts), "sha256": digest.hexdigest()}:
        raise NoBackup(f"{path} is damaged: what it has is not what was written")
    return head["made_at"], counts, digest.hexdigest()


def _documents(path: Path) -> Iterator[tuple[str, dict[str, Any], int]]:
    with gzip.open(path, "rb") as packed:
        _next(packed)
        while encoded := _next(packed):
            found = bson.decode(encoded, _AWARE)
            if "end" not in found:
                yield found["in"], found["document"], len(encoded)


def _next(packed: gzip.GzipFile) -> bytes:
    """Return the next document's bytes; none at the end."""
    head = packed.read(4)
    if not head:
        return b""
    length = int.from_bytes(head, "little")
    if not 5 <= length <= _LONGEST:
        raise EOFError("a document has an impossible length")
    rest = packed.read(length - 4)
    if len(rest) < length - 4:
        raise EOFError("it ends within a document")
    return head + rest


def _order(name: str) -> tuple[int, str]:
    return (_WORK.index(name) if name in _WORK else -1, name)


def _as_restored(
    name: str, document: dict[str, Any], made_at: datetime, now: datetime, local: Collection[str]
) -> dict[str, Any]:
    """Return a document as the restored store has it: what may have been submitted since is in doubt."""
    if name == "tasks" and document.get("provider") not in local:
        if document.get("state") == TaskState.STORED:
            return {**document, "state": TaskState.SUBMITTING, "intended_at": made_at, "sent_until": now}
        if document.get("state") in (TaskState.SUBMITTING, TaskState.UNKNOWN):
            return {**document, "sent_until": now}
    if name == "jobs" and document.get("provider") not in local:
        waits = document.get("state") == JobState.DISPATCHING and not document.get("planned")
        if waits and not document.get("held"):
            number = int(document.get("holds") or 0) + 1
            hold = {"number": number, "at": now, "reason": _NEVER_PLANNED}
            told = {"holds": number, "to_notify": [*(document.get("to_notify") or []), hold]}
            return {**document, "held": _NEVER_PLANNED, **told}
    return document
