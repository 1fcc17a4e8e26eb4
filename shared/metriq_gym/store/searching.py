"""Where a text stands in jobs. What has few values is looked through by its values, the rest in indexes alone."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

MOST = 500
"""Jobs found by their ids or remarks; with more of them a list of all jobs soon comes upon a page of them."""
NEAR = 2000
"""Jobs of a list that are looked at before any index is: what many jobs have is found among them."""
_MOST_VALUES = 20
_SEARCHED = ("_id", "benchmark_name", "device", "suite_name", "remarks")


def with_text(text: str) -> dict[str, Any]:
    """Return the condition that a job has `text` in it."""
    return {"$or": [{field: _anywhere(text)} for field in _SEARCHED]}


def near_with_text(
    text: str, query: Mapping[str, Any], order: Sequence[tuple[str, int]], limit: int, unlisted: Sequence[str]
) -> list[dict[str, Any]]:
    """Return the stages that find those with `text` among the first of the jobs that a query asks for."""
    return [
        {"$match": query},
        {"$sort": dict(order)},
        {"$limit": NEAR},
        {"$match": with_text(text)},
        {"$limit": limit},
        {"$unset": list(unlisted)},
    ]


def with_values(
    text: str, field: str, values: Iterable[str], also: dict[str, Any] | None = None
) -> list[dict[str, Any]]:
    """Return one condition for each of a field's values that has `text` in it, each with what is `also` to be so."""
    wanted = re.compile(re.escape(text), re.IGNORECASE)
    return [{**(also or {}), field: value} for value in values if wanted.search(value)]


async def places_of_text(jobs: Any, text: str, values: list[dict[str, Any]]) -> list[dict[str, Any]] | None:
    """Return conditions of which each job with `text` fulfils one: `values`, and the ids of others.

    None if so many jobs have it that looking at all of them, in order, finds some at once.
    """
    if len(values) > _MOST_VALUES:
        return None
    of_ids, of_remarks = await asyncio.gather(
        _ids(jobs, {"_id": _anywhere(text)}), _ids(jobs, {"remarks": {"$gt": ""} | _anywhere(text)})
    )
    if len(of_ids) > MOST or len(of_remarks) > MOST:
        return None
    return [*values, {"_id": {"$in": sorted(of_ids | of_remarks)}}]


def _anywhere(text: str) -> dict[str, str]:
    return {"$regex": re.escape(text), "$options": "i"}


async def _ids(jobs: Any, query: dict[str, Any]) -> set[str]:
    return {found["_id"] async for found in jobs.find(query, {"_id": 1}).limit(MOST + 1)}
