"""Documents as they are read: each by itself, so that one which this version cannot read harms no other.

A later version may have written it, or a hand. It is passed over, counted, and never changed.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from typing import Any, NamedTuple, TypeVar

from pydantic import BaseModel, ValidationError

from metriq_gym.errors import UnreadableDocument
from metriq_gym.jobs.documents import Job, Task
from metriq_gym.wording import shorten

D = TypeVar("D", Job, Task)
M = TypeVar("M", bound=BaseModel)


ODD = "it has a type that this version does not expect"


class Unreadable(NamedTuple):
    """A document that this version cannot read."""

    collection: str
    id: str
    reason: str


def read(kind: type[D], document: Mapping[str, Any]) -> D:
    """Return a document; raises `UnreadableDocument`."""
    try:
        return kind.model_validate(document)
    except ValidationError as error:
        found = describe(kind, document, error)
        raise UnreadableDocument(f"{found.id} in {found.collection} cannot be read: {found.reason}") from error


def read_all(kind: type[D], documents: Iterable[Mapping[str, Any]]) -> list[D]:
    """Return the documents that can be read, of those that are here already."""
    found = []
    for document in documents:
        try:
            found.append(kind.model_validate(document))
        except ValidationError as error:
            pass_over(describe(kind, document, error))
    return found


async def read_each(kind: type[D], documents: AsyncIterator[Mapping[str, Any]]) -> list[D]:
    """Return the documents that can be read."""
    return [document async for document in readable(kind, documents)]


async def readable(kind: type[D], documents: AsyncIterator[Mapping[str, Any]]) -> AsyncIterator[D]:
    """Yield the documents that can be read; of the others those that listen are told."""
    async for document in documents:
        try:
            yield kind.model_validate(document)
        except ValidationError as error:
            pass_over(describe(kind, document, error))


async def sorted_out(
    kind: type[M], collection: str, documents: AsyncIterator[Mapping[str, Any]]
) -> tuple[list[M], list[Unreadable]]:
    """Return the documents of a collection that can be read, and what is wrong with the others."""
    found, odd = [], list[Unreadable]()
    async for document in documents:
        try:
            found.append(kind.model_validate(document))
        except ValidationError as error:
            odd.append(describe(kind, document, error)._replace(collection=collection))
    return found, odd


async def read_those(kind: type[M], collection: str, documents: AsyncIterator[Mapping[str, Any]]) -> list[M]:
    """Return the documents of a collection that can be read; of the others those that listen are told."""
    found, odd = await sorted_out(kind, collection, documents)
    for each in odd:
        pass_over(each)
    return found


def pass_over(found: Unreadable) -> None:
    """Tell those that listen of a document that cannot be read."""
    for listener in _listeners:
        listener(found)


def listen(listener: Callable[[Unreadable], None]) -> None:
    """Have `listener` called, from now on, each time that a document is passed over."""
    _listeners.add(listener)


_listeners: set[Callable[[Unreadable], None]] = set()


def describe(kind: type[BaseModel], document: Mapping[str, Any], error: ValidationError) -> Unreadable:
    """Say what is wrong with a document."""
    problems = [f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors(include_input=False)]
    return Unreadable(collection_of(kind), str(document.get("_id")), shorten("; ".join(problems), 300))


def collection_of(kind: type[BaseModel]) -> str:
    """Return the name of the collection that documents of a kind are in."""
    return f"{kind.__name__.lower()}s"
