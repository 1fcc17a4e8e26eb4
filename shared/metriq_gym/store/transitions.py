"""How a move of a job is written: the new state, the server's time, and a line in the job's history."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any, Literal

from metriq_gym.jobs.states import JobState
from metriq_gym.store.mongo import Stage
from metriq_gym.wording import shorten


def entry(state: JobState | Literal["$state"], service: str, cause: str, by: str | None = None) -> Stage:
    """Return a line of the history, for an update pipeline; `by` is what the move that writes it is known by."""
    line: Stage = {"state": state, "at": "$$NOW", "service": service, "cause": {"$literal": shorten(cause, 1000)}}
    return line if by is None else {**line, "move": by}


def moving(target: JobState, service: str, cause: str = "", by: str | None = None) -> dict[str, Any]:
    """Return the fields that a move to `target` sets, for an update pipeline.

    `by` is what its caller knows the move by: see `has_moved`.
    """
    return {"state": target, "updated_at": "$$NOW", "history": noted(target, service, cause, by)}


def new_move() -> str:
    """Return what a move can be known by."""
    return f"{random.getrandbits(64):016x}"


def has_moved(document: Mapping[str, Any], by: str) -> bool:
    """Whether a job's document has made the move that is known `by` this, whatever has become of it since."""
    history = document.get("history")
    return isinstance(history, list) and any(isinstance(line, dict) and line.get("move") == by for line in history)


def noted(state: JobState | Literal["$state"], service: str, cause: str, by: str | None = None) -> Stage:
    """Return the history with one more line."""
    return {"$concatArrays": ["$history", [entry(state, service, cause, by)]]}


def resumed_so_often(times: int) -> dict[str, Any]:
    """Return the query for jobs that have been resumed so often, and not once more meanwhile."""
    return {"resumed": times or {"$in": [0, None]}}


def not_checked_after(token: int) -> dict[str, Any]:
    """Return the query for documents to which no reconciler with a later `token` has written."""
    return {"checked_by": {"$not": {"$gt": token}}}


def held_anew(reason: str, when: Stage | bool = True) -> dict[str, Any]:
    """Return the fields by which a job that comes to be held, if `when`, is told of: once until it is let go."""
    number = {"$add": [{"$ifNull": ["$holds", 0]}, 1]}
    hold = {"number": number, "at": "$$NOW", "reason": {"$literal": reason}}
    comes: Stage = {"$and": [when, {"$not": "$held"}]}
    return {
        "holds": {"$cond": [comes, number, "$holds"]},
        "to_notify": {"$cond": [comes, {"$concatArrays": [{"$ifNull": ["$to_notify", []]}, [hold]]}, "$to_notify"]},
    }
