"""A client of MongoDB's without a server: what it stores ends with it, and one process sees it."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Self

import bson
from bson.codec_options import CodecOptions
from pymongo import ReturnDocument, UpdateOne
from pymongo.errors import BulkWriteError, DocumentTooLarge, DuplicateKeyError

from metriq_gym.testing.expressions import Document, field, order
from metriq_gym.testing.queries import matches, projected
from metriq_gym.testing.updates import Change, aggregated, in_order, updated

_OPTIONS: CodecOptions[Document] = CodecOptions(tz_aware=True, tzinfo=UTC)
_LARGEST = 16 * 2**20
_DUPLICATE_KEY = 11000


@dataclass(frozen=True)
class Written:
    """What a write says it has done."""

    matched_count: int = 0
    modified_count: int = 0
    deleted_count: int = 0


class Documents:
    """A collection. Every call is done at once and as a whole, as on a server."""

    def __init__(self, name: str, database: MemoryDatabase) -> None:
        self.name = name
        self.database = database
        self._stored: dict[Any, bytes] = {}

    def all(self) -> Iterable[Document]:
        """Return copies of the documents, the oldest first."""
        return [bson.decode(each, _OPTIONS) for each in self._stored.values()]

    def insert(self, document: Mapping[str, Any]) -> None:
        """Store a new document; raises `DuplicateKeyError`."""
        if document["_id"] in self._stored:
            raise DuplicateKeyError(f"E11000 duplicate key: {self.name}, {document['_id']!r}", _DUPLICATE_KEY)
        self._put(dict(document), None)

    def insert_all(self, documents: Sequence[Mapping[str, Any]]) -> None:
        """Store those documents that are new; raises `BulkWriteError` naming the others."""
        failed = []
        for index, document in enumerate(documents):
            try:
                self.insert(document)
            except DuplicateKeyError as error:
                failed.append({"index": index, "code": _DUPLICATE_KEY, "errmsg": str(error)})
        if failed:
            raise BulkWriteError({"writeErrors": failed, "writeConcernErrors": []})

    def find(self, query: Mapping[str, Any]) -> list[Document]:
        """Return the documents that a query asks for."""
        now = _now()
        if isinstance(wanted := query.get("_id"), str):
            found = [bson.decode(self._stored[wanted], _OPTIONS)] if wanted in self._stored else []
        elif isinstance(wanted, Mapping) and isinstance(ids := wanted.get("$in"), list):
            found = [bson.decode(each, _OPTIONS) for key, each in self._stored.items() if key in ids]
        else:
            found = list(self.all())
        return [each for each in found if matches(query, each, now)]

    def update(
        self, query: Mapping[str, Any], change: Change, *, many: bool, upsert: bool = False
    ) -> list[tuple[Document | None, Document]]:
        """Change documents, and return each as it was and as it is."""
        now = _now()
        found = self.find(query)[: None if many else 1]
        changed: list[tuple[Document | None, Document]] = []
        for before in found:
            after = self._put(updated(before, change, now), before)
            changed.append((before, after))
        if upsert and not found:
            equal = {name: value for name, value in query.items() if not isinstance(value, Mapping)}
            changed.append((None, self._put(updated(equal, change, now, inserted=True), None)))
        return changed

    def replace(self, query: Mapping[str, Any], document: Mapping[str, Any]) -> int:
        """Store a document in place of one, and return how many there were."""
        found = self.find(query)[:1]
        for before in found:
            self._put({"_id": before["_id"], **document}, before, "replace")
        return len(found)

    def delete(self, query: Mapping[str, Any], *, many: bool) -> int:
        """Delete documents, and return how many."""
        found = self.find(query)[: None if many else 1]
        for each in found:
            del self._stored[each["_id"]]
            self._tell("delete", each["_id"])
        return len(found)

    def aggregate(self, stages: Sequence[Mapping[str, Any]], *, newest_first: bool = False) -> list[Document]:
        """Return what a pipeline makes of the documents."""
        documents = [*self.all()]
        if newest_first:
            documents.reverse()
        return aggregated(documents, stages, _now(), lambda name: self.database.documents(name).all())

    def _put(self, document: Document, before: Document | None, operation: str = "update") -> Document:
        stored = bson.encode(document, codec_options=_OPTIONS)
        if len(stored) > _LARGEST:
            raise DocumentTooLarge(f"BSON document too large ({len(stored)} bytes), at most {_LARGEST} are accepted")
        after = bson.decode(stored, _OPTIONS)
        if after == before:
            return after
        self._stored[after["_id"]] = stored
        if before is None:
            self._tell("insert", after["_id"], fullDocument=after)
        elif operation == "replace":
            self._tell("replace", after["_id"], fullDocument=after)
        else:
            fields = {name: value for name, value in after.items() if name not in before or before[name] != value}
            self._tell("update", after["_id"], updateDescription={"updatedFields": fields})
        return after

    def _tell(self, operation: str, key: Any, **more: Any) -> None:
        event = {"operationType": operation, "ns": {"coll": self.name}, "documentKey": {"_id": key}, **more}
        self.database.tell(event)

    def current(self, key: Any) -> Document | None:
        """Return a document by its id."""
        return bson.decode(self._stored[key], _OPTIONS) if key in self._stored else None


def _now() -> datetime:
    now = datetime.now(UTC)
    return now.replace(microsecond=now.microsecond // 1000 * 1000)


class _Cursor:
    """What a search finds, looked for when it is first asked."""

    def __init__(self, search: Callable[[], list[Document]], projection: Mapping[str, Any] | None = None) -> None:
        self._search = search
        self._projection = {"_id": 1} if projection == {} else projection
        self._keys: list[tuple[str, int]] = []
        self._limit = 0

    def sort(self, keys: str | Sequence[tuple[str, int]]) -> Self:
        self._keys = [(keys, 1)] if isinstance(keys, str) else list(keys)
        return self

    def limit(self, count: int) -> Self:
        self._limit = count
        return self

    def max_time_ms(self, _: int) -> Self:
        return self

    def batch_size(self, _: int) -> Self:
        return self

    async def __aiter__(self) -> AsyncIterator[Document]:
        await asyncio.sleep(0)
        found = in_order(self._search(), self._keys)
        now = _now()
        for each in found[: self._limit or None]:
            yield projected(each, self._projection, now)


class MemoryCollection:
    """The calls of a motor collection that the store makes."""

    def __init__(self, documents: Documents) -> None:
        self.documents = documents
        self.name = documents.name
        self.database = documents.database

    async def create_indexes(self, _: object, **__: object) -> None:
        """Nothing is looked for by an index."""

    def find(self, query: Mapping[str, Any] | None = None, projection: Mapping[str, Any] | None = None) -> _Cursor:
        return _Cursor(lambda: self.documents.find(query or {}), projection)

    def aggregate(
        self, stages: Sequence[Mapping[str, Any]], *, hint: Mapping[str, int] | None = None, **_: object
    ) -> _Cursor:
        return _Cursor(lambda: self.documents.aggregate(stages, newest_first=hint == {"$natural": -1}))

    async def find_one(self, query: Mapping[str, Any], projection: Mapping[str, Any] | None = None) -> Document | None:
        async for found in self.find(query, projection).limit(1):
            return found
        return None

    async def count_documents(self, query: Mapping[str, Any], *, limit: int = 0) -> int:
        await asyncio.sleep(0)
        return len(self.documents.find(query)[: limit or None])

    async def distinct(self, path: str, query: Mapping[str, Any] | None = None) -> list[Any]:
        await asyncio.sleep(0)
        values = {
            repr(order(value)): value for each in self.documents.find(query or {}) if (value := field(each, path))
        }
        return list(values.values())

    async def insert_one(self, document: Mapping[str, Any]) -> None:
        await asyncio.sleep(0)
        self.documents.insert(document)

    async def insert_many(self, documents: Sequence[Mapping[str, Any]], *, ordered: bool) -> None:
        await asyncio.sleep(0)
        assert not ordered  # noqa: S101  (all that the store asks for)
        self.documents.insert_all(documents)

    async def update_one(self, query: Mapping[str, Any], change: Change, *, upsert: bool = False) -> Written:
        await asyncio.sleep(0)
        changed = self.documents.update(query, change, many=False, upsert=upsert)
        return Written(matched_count=sum(before is not None for before, _ in changed))

    async def update_many(self, query: Mapping[str, Any], change: Change) -> Written:
        await asyncio.sleep(0)
        changed = self.documents.update(query, change, many=True)
        return Written(matched_count=len(changed), modified_count=sum(before != after for before, after in changed))

    async def bulk_write(self, writes: Sequence[UpdateOne], *, ordered: bool) -> Written:
        matched = [await self.update_one(each._filter, each._doc, upsert=bool(each._upsert)) for each in writes]
        return Written(matched_count=sum(each.matched_count for each in matched))

    async def find_one_and_update(
        self,
        query: Mapping[str, Any],
        change: Change,
        *,
        projection: Mapping[str, Any] | None = None,
        upsert: bool = False,
        return_document: bool = ReturnDocument.BEFORE,
    ) -> Document | None:
        await asyncio.sleep(0)
        for before, after in self.documents.update(query, change, many=False, upsert=upsert):
            found = after if return_document is ReturnDocument.AFTER else before
            return None if found is None else projected(found, projection, _now())
        return None

    async def replace_one(self, query: Mapping[str, Any], document: Mapping[str, Any]) -> Written:
        await asyncio.sleep(0)
        return Written(matched_count=self.documents.replace(query, document))

    async def delete_one(self, query: Mapping[str, Any]) -> Written:
        await asyncio.sleep(0)
        return Written(deleted_count=self.documents.delete(query, many=False))

    async def delete_many(self, query: Mapping[str, Any]) -> Written:
        await asyncio.sleep(0)
        return Written(deleted_count=self.documents.delete(query, many=True))


class _Stream:
    """What changes from now on."""

    def __init__(self, database: MemoryDatabase, stages: Sequence[Mapping[str, Any]], lookup: bool) -> None:
        self._database = database
        self._stages = stages
        self._lookup = lookup
        self._events: asyncio.Queue[Document] = asyncio.Queue()
        database.streams.append(self)

    def hear(self, event: Document) -> None:
        if self._lookup and "fullDocument" not in event and event["operationType"] == "update":
            current = self._database.documents(event["ns"]["coll"]).current(event["documentKey"]["_id"])
            event = {**event, "fullDocument": current}
        for each in aggregated([event], self._stages, _now(), lambda _: ()):
            self._events.put_nowait(each)

    async def next(self) -> Document:
        return await self._events.get()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self._database.streams.remove(self)


class MemoryDatabase:
    """Collections by name, and streams of what changes in them."""

    def __init__(self, client: MemoryClient) -> None:
        self.client = client
        self._documents: dict[str, Documents] = {}
        self.streams: list[_Stream] = []

    def documents(self, name: str) -> Documents:
        """Return what is stored in a collection."""
        return self._documents.setdefault(name, Documents(name, self))

    def __getattr__(self, name: str) -> MemoryCollection:
        return MemoryCollection(self.documents(name))

    def watch(
        self, stages: Sequence[Mapping[str, Any]], *, max_await_time_ms: int, full_document: str | None = None
    ) -> _Stream:
        return _Stream(self, stages, full_document == "updateLookup")

    def tell(self, event: Document) -> None:
        """Let every stream hear of a change."""
        for stream in self.streams:
            stream.hear(event)


class _Admin:
    async def command(self, name: str, **_: object) -> Document:
        return {"ok": 1.0, "command": name, "localTime": _now()}


class MemoryClient:
    """What `Store` takes for a client."""

    def __init__(self) -> None:
        self._databases: defaultdict[str, MemoryDatabase] = defaultdict(lambda: MemoryDatabase(self))
        self.admin = _Admin()

    def __getitem__(self, name: str) -> MemoryDatabase:
        return self._databases[name]

    def close(self) -> None:
        """There is nothing to close."""
