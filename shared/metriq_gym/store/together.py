"""Calls that are made together: what concurrent handlers ask of a collection goes as one bulk write, or as one read.

What is asked for in one turn of the event loop, or while a call of the same kind is under way, waits for the next such
call. So nothing waits where little is asked for, and the more is, the more of it goes at once. A caller hears of
its own part only: whether its change was made is seen in the document.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, Generic, TypeVar

from pymongo import ReturnDocument, UpdateOne
from pymongo.errors import BulkWriteError, DuplicateKeyError

from metriq_gym.store.mongo import DUPLICATE_KEY, Stage, is_passing

A = TypeVar("A")
T = TypeVar("T")
Document = dict[str, Any]
MOST = 100
"""Calls that are made at once."""


class Together(Generic[A, T]):
    """A call that takes one thing and is made for many at once.

    Parameters
    ----------
    one:
        Makes it for a single thing.
    many:
        Makes it for several, and returns for each what `one` does, or the error that it raises.
    """

    def __init__(
        self, one: Callable[[A], Awaitable[T]], many: Callable[[Sequence[A]], Awaitable[Sequence[T | Exception]]]
    ) -> None:
        self._one = one
        self._many = many
        self._asked: list[tuple[A, asyncio.Future[T]]] = []
        self._sending: asyncio.Task[None] | None = None

    async def __call__(self, asked: A) -> T:
        """Make the call; one that is cancelled before it was made is not made."""
        answer: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._asked.append((asked, answer))
        if self._sending is None or self._sending.done():
            self._sending = asyncio.create_task(self._send())
        return await answer

    async def _send(self) -> None:
        while self._asked:
            batch = [(asked, answer) for asked, answer in self._asked[:MOST] if not answer.done()]
            del self._asked[:MOST]
            if not batch:
                continue
            try:
                found = await self._answers([asked for asked, _ in batch])
            except asyncio.CancelledError:
                for _, answer in [*batch, *self._asked]:
                    answer.cancel()
                self._asked.clear()
                raise
            for (_, answer), each in zip(batch, found, strict=True):
                if answer.done():  # its caller has been cancelled
                    continue
                if isinstance(each, Exception):
                    answer.set_exception(each)
                else:
                    answer.set_result(each)

    async def _answers(self, batch: Sequence[A]) -> Sequence[T | Exception]:
        try:
            return [await self._one(batch[0])] if len(batch) == 1 else await self._many(batch)
        except Exception as error:
            return [error] * len(batch)


def by_id(collection: Any, projection: Mapping[str, Any] | None = None) -> Together[str, Document | None]:
    """Return the search for a document by its id."""

    async def one(key: str) -> Document | None:
        found: Document | None = await collection.find_one({"_id": key}, projection)
        return found

    async def many(keys: Sequence[str]) -> Sequence[Document | None]:
        found = await _by_ids(collection, keys, projection)
        return [found.get(key) for key in keys]

    return Together(one, many)


def of_each(
    collection: Any, field: str, projection: Mapping[str, Any] | None = None
) -> Together[str, Sequence[Document]]:
    """Return the search for the documents that have a value in a field."""

    async def one(value: str) -> Sequence[Document]:
        return [each async for each in collection.find({field: value}, projection)]

    async def many(values: Sequence[str]) -> Sequence[Sequence[Document]]:
        found: defaultdict[str, list[Document]] = defaultdict(list)
        async for each in collection.find({field: {"$in": list(set(values))}}, projection):
            found[each[field]].append(each)
        return [found.get(value, []) for value in values]

    return Together(one, many)


@dataclass(frozen=True, slots=True)
class Change:
    """A change of one document.

    Parameters
    ----------
    made:
        Which of the documents that come to have its `id` have been changed so; None where any has.
    created:
        Whether the document is created where there is none.
    """

    id: str
    query: Mapping[str, Any]
    pipeline: Sequence[Stage]
    made: Callable[[Document], bool] | None = None
    created: bool = False


class Writer(Together[Change, Document | None]):
    """Changes by compare-and-set, each of which returns the document as it is then, or None where it was not made."""

    def __init__(self, collection: Any, looked_at: Mapping[str, Any] | None = None) -> None:
        """Where callers want to know only whether, not what, `looked_at` projects what `made` needs of a document.

        They get the document's id, and it is not even read where all changes are made.
        """
        super().__init__(self._change, self._change_all)
        self._collection = collection
        self._projection = looked_at

    async def find_one_and_update(self, change: Change) -> Document | None:
        """Make a change."""
        found = await self(change)
        return found if found is None or self._projection is None else {"_id": found["_id"]}

    async def _change(self, change: Change) -> Document | None:
        wanted: dict[str, Any] = {"projection": self._projection, "return_document": ReturnDocument.AFTER}
        ask = self._collection.find_one_and_update
        query = {"_id": change.id, **change.query}
        found: Document | None
        try:
            found = await ask(query, list(change.pipeline), upsert=change.created, **wanted)
        except DuplicateKeyError:
            # Another process inserted between our search and our insert: now there is a document to find.
            found = await ask(query, list(change.pipeline), **wanted)
        return found

    async def _change_all(self, changes: Sequence[Change]) -> Sequence[Document | Exception | None]:
        writes = [
            UpdateOne({"_id": each.id, **each.query}, list(each.pipeline), upsert=each.created) for each in changes
        ]
        open_ones: Sequence[int] = ()
        try:
            written = await self._collection.bulk_write(writes, ordered=False)
            if self._projection is not None and written.matched_count == len(writes):
                return [{"_id": each.id} for each in changes]
        except BulkWriteError as error:
            details = error.details or {}
            if details.get("writeConcernErrors"):
                raise
            open_ones = [each["index"] for each in details.get("writeErrors", ())]
        except Exception as error:
            if is_passing(error):
                raise
            # One that cannot be sent is no fault of the others.
            open_ones = range(len(changes))
        stored = await _by_ids(self._collection, [each.id for each in changes], self._projection)
        found: list[Document | Exception | None] = []
        for number, change in enumerate(changes):
            document = stored.get(change.id)
            made = document if document is None or change.made is None or change.made(document) else None
            if number in open_ones and (change.made is None or made is None):
                try:
                    made = await self._change(change)
                except Exception as error:
                    found.append(error)
                    continue
            found.append(made)
        return found


class Inserter(Together[Sequence[Document], None]):
    """Insertions; a document that exists stays as it is."""

    def __init__(self, collection: Any) -> None:
        super().__init__(self._insert, self._insert_all)
        self._collection = collection

    async def insert_many(self, documents: Sequence[Document]) -> None:
        """Insert documents."""
        await self(documents)

    async def _insert(self, documents: Sequence[Document]) -> None:
        try:
            await self._collection.insert_many(documents, ordered=False)
        except BulkWriteError as error:
            details = error.details or {}
            if details["writeConcernErrors"] or any(each["code"] != DUPLICATE_KEY for each in details["writeErrors"]):
                raise

    async def _insert_all(self, asked: Sequence[Sequence[Document]]) -> Sequence[Exception | None]:
        try:
            await self._insert(list(chain.from_iterable(asked)))
        except Exception as error:
            if is_passing(error):
                raise
            # What cannot be stored is no fault of the others, and what has been stays as it is.
            return [await _error_of(self._insert(each)) for each in asked]
        return [None] * len(asked)


class Updater(Together[str, None]):
    """One change of all documents that have a value in a field and match a query."""

    def __init__(self, collection: Any, field: str, query: Mapping[str, Any], pipeline: Sequence[Stage]) -> None:
        super().__init__(self._update, self._update_all)
        self._collection = collection
        self._field = field
        self._query = query
        self._pipeline = pipeline

    async def update_many(self, value: str) -> None:
        """Change the documents with this value."""
        await self(value)

    async def _update(self, value: str | Mapping[str, Sequence[str]]) -> None:
        await self._collection.update_many({self._field: value, **self._query}, list(self._pipeline))

    async def _update_all(self, values: Sequence[str]) -> Sequence[None]:
        await self._update({"$in": list(set(values))})
        return [None] * len(values)


async def _error_of(call: Awaitable[None]) -> Exception | None:
    try:
        await call
    except Exception as error:
        return error
    return None


async def _by_ids(
    collection: Any, keys: Sequence[str], projection: Mapping[str, Any] | None = None
) -> dict[str, Document]:
    found = collection.find({"_id": {"$in": list(set(keys))}}, projection)
    return {each["_id"]: each async for each in found}
