"""What a task's state means to us: wait, read the counts, give up, or ask again and count how often."""

from __future__ import annotations

import math
from dataclasses import dataclass

from metriq_gym.providers.tyxonq.models import TaskDetail, TaskRow
from metriq_gym.providers.tyxonq.text import readable

WAITING = frozenset({"scheduled", "pending", "queued", "running", "active", "hold"})
COMPLETED = frozenset({"completed", "done", "success", "finished"})
FAILED = frozenset({"failed", "error", "cancelled", "canceled"})


@dataclass(frozen=True, slots=True)
class StillWaiting:
    """Not finished; ask again later."""


@dataclass(frozen=True, slots=True)
class HasCounts:
    """Finished; a task's detail has the counts."""


@dataclass(frozen=True, slots=True)
class HasFailed:
    """Ended without counts, for the reason the service gives."""

    error: str


@dataclass(frozen=True, slots=True)
class Unknown:
    """Neither success nor failure: keep asking, and give up loudly after a bound."""

    state: str


State = StillWaiting | HasCounts | HasFailed | Unknown


def state_of(task: TaskDetail | TaskRow) -> State:
    """Return what a task's detail, or its row in a list, says about it.

    An error beside a final state, or in place of any, is a failure; beside another state the state counts. An error
    without a word in it is none.
    """
    if isinstance(task, TaskRow):
        said, error = task.status, readable((task.model_extra or {}).get("err"))
    else:
        said, error = task.state, readable(task.err)
    state = (said or "").strip().casefold()
    if state in FAILED:
        return HasFailed(error or f"TyxonQ says {state!r} and gives no reason")
    if error and (not state or state in COMPLETED):
        return HasFailed(error)
    if state in COMPLETED:
        return HasCounts()
    return StillWaiting() if state in WAITING else Unknown(said or "")


def execution_seconds(task: TaskDetail) -> float | None:
    """Return the seconds of execution that ``runDur`` tells in microseconds, or None when it does not."""
    duration = task.run_dur
    if isinstance(duration, bool) or not isinstance(duration, int | float):
        return None
    try:
        seconds = duration / 1e6
    except OverflowError:
        return None
    return seconds if math.isfinite(seconds) and seconds >= 0 else None
