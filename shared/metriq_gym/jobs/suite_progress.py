"""How far a suite has come, from the states of its jobs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from metriq_gym.jobs import Job, JobState


@dataclass(frozen=True, slots=True)
class SuiteProgress:
    """Counts of a suite's jobs."""

    size: int
    """How many jobs were requested; some may not be in `states` because no dispatcher has come to them yet."""
    states: Mapping[JobState, int]
    ended: int
    """For how many no service has anything left to do."""
    held: int
    """How many wait for an operator."""
    waiting: int
    """How many have a result and wait for those that are held, to be published with theirs."""

    @property
    def done(self) -> bool:
        """Whether all jobs have ended."""
        return self.ended == self.size

    @property
    def settled(self) -> bool:
        """Whether all jobs stay as they are unless an operator decides."""
        return self.ended + self.held + self.waiting == self.size


@dataclass(frozen=True, slots=True)
class SuiteRun:
    """A suite as lists show it."""

    id: str
    name: str | None
    provider: str
    device: str
    tags: Sequence[str]
    created_at: datetime
    """When the first of its jobs was."""
    progress: SuiteProgress


def summarise(jobs: Sequence[Job]) -> SuiteProgress:
    """Return the progress of the suite whose jobs these are, all that the store has of it."""
    return summarise_alike((job, 1) for job in jobs)


def summarise_alike(counted: Iterable[tuple[Job, int]], deleted: int = 0) -> SuiteProgress:
    """Return the progress of a suite by one job of each kind, and how many there are of the kind.

    Those that were `deleted` do not count in what was requested.
    """
    states = Counter[JobState]()
    requested = ended = held = waiting = 0
    for job, count in counted:
        states[job.state] += count
        requested = max(requested, job.suite_size or 0)
        ended += count * job.has_ended
        held += count * (job.held is not None)
        waiting += count * job.waits_for_suite
    return SuiteProgress(
        size=max(requested - deleted, states.total()),
        states={state: states[state] for state in JobState if state in states},
        ended=ended,
        held=held,
        waiting=waiting if held else 0,
    )
