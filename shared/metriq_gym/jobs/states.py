"""The states that a job, a task and an export can be in, and the moves between a job's states."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal


class JobState(StrEnum):
    """Where a job is on its way from request to export."""

    REJECTED = "rejected"
    DISPATCHING = "dispatching"
    DISPATCHED = "dispatched"
    COMPLETED = "completed"
    SCORED = "scored"
    EXPORTED = "exported"
    CHECKED = "checked"
    """A dry run's end: the provider has compiled the circuits, and run none."""
    FAILED = "failed"
    CANCELLED = "cancelled"


MOVES = {
    JobState.DISPATCHING: {JobState.DISPATCHED, JobState.FAILED, JobState.CANCELLED},
    JobState.DISPATCHED: {JobState.COMPLETED, JobState.CHECKED, JobState.FAILED, JobState.CANCELLED},
    JobState.COMPLETED: {JobState.SCORED, JobState.FAILED, JobState.CANCELLED},
    JobState.SCORED: {JobState.EXPORTED},
    JobState.EXPORTED: set[JobState](),
    JobState.CHECKED: set[JobState](),
    JobState.REJECTED: set[JobState](),
    JobState.FAILED: set[JobState](),
    JobState.CANCELLED: set[JobState](),
}
"""State → the states it may move to; a state without any is terminal and never changes."""

RESUMABLE = JobState.FAILED
"""The only end that there is a way back from, to `dispatching`, when that is asked for: tasks may have been paid for.
The way is not among the moves, since nothing takes it by itself."""

TERMINAL = frozenset(state for state, targets in MOVES.items() if not targets)


def sources(target: JobState) -> list[JobState]:
    """Return the states from which a job may move to `target`."""
    return [state for state, targets in MOVES.items() if target in targets]


class TaskState(StrEnum):
    """Where a task, the unit a provider runs, is."""

    STORED = "stored"
    """Written; nothing has been asked of the provider."""
    SUBMITTING = "submitting"
    """A submission was about to be sent: it may have been accepted."""
    UNKNOWN = "unknown"
    """Whether it was accepted cannot be told; an operator has to say."""
    SUBMITTED = "submitted"
    """With the provider (for a local provider: any poller may run it)."""
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


PLACED_TASKS = (TaskState.SUBMITTED, TaskState.COMPLETED, TaskState.FAILED)
"""Those that the provider has, or had."""
OPEN_TASKS = (TaskState.STORED, TaskState.SUBMITTING, TaskState.UNKNOWN, TaskState.SUBMITTED)


Stage = Literal["dispatch", "poll", "score"]
STAGES: dict[JobState, Stage] = {
    JobState.DISPATCHING: "dispatch",
    JobState.DISPATCHED: "poll",
    JobState.COMPLETED: "score",
}


class ExportState(StrEnum):
    """How far the export of a job's record to one target is."""

    PENDING = "pending"
    """To be tried, or tried again, or waiting for the rest of its suite."""
    DONE = "done"
    FAILED = "failed"
    """Given up; `metriq_gym.exporters.retry` starts over."""


SENDERS = ("notify", "webhook")
"""Ways to tell people and programs of events."""
NOTICES = ("notify", "notify:suite", "webhook", "webhook:suite")
"""Targets that are told of a job, but get no record: a job is exported without them."""
