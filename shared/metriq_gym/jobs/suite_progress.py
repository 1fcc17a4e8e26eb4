"""How far a suite has come, from the states of its jobs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

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


def summarise(jobs: Sequence[Job]) -> SuiteProgress:
    """Return the progress of the suite whose jobs these are, all that the store has of it."""
    states = Counter(job.state for job in jobs)
    requested = max((job.suite_size or 0 for job in jobs), default=0)
    ended = sum(job.has_ended for job in jobs)
    held = sum(job.held is not None for job in jobs)
    waiting = sum(job.waits_for_suite for job in jobs)
    return SuiteProgress(
        size=max(requested, len(jobs)),
        states={state: states[state] for state in JobState if state in states},
        ended=ended,
        held=held,
        waiting=waiting if held else 0,
    )
