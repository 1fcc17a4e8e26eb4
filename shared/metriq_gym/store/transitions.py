"""How a move of a job is written: the new state, the server's time, and a line in the job's history."""

from __future__ import annotations

from typing import Any, Literal

from metriq_gym.jobs.states import JobState
from metriq_gym.store.mongo import Stage
from metriq_gym.wording import shorten


def entry(state: JobState | Literal["$state"], service: str, cause: str) -> Stage:
    """Return a line of the history, for an update pipeline."""
    return {"state": state, "at": "$$NOW", "service": service, "cause": {"$literal": shorten(cause, 1000)}}


def moving(target: JobState, service: str, cause: str = "") -> dict[str, Any]:
    """Return the fields that a move to `target` sets, for an update pipeline."""
    return {"state": target, "updated_at": "$$NOW", "history": noted(target, service, cause)}


def noted(state: JobState | Literal["$state"], service: str, cause: str) -> Stage:
    """Return the history with one more line."""
    return {"$concatArrays": ["$history", [entry(state, service, cause)]]}


def resumed_so_often(times: int) -> dict[str, Any]:
    """Return the query for jobs that have been resumed so often, and not once more meanwhile."""
    return {"resumed": times or {"$in": [0, None]}}


def not_checked_after(token: int) -> dict[str, Any]:
    """Return the query for documents to which no reconciler with a later `token` has written."""
    return {"checked_by": {"$not": {"$gt": token}}}
