"""How far a suite has come, from the states of its jobs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from metriq_gym.store import TERMINAL, Job, JobState


@dataclass(frozen=True, slots=True)
class SuiteProgress:
    """Counts of a suite's jobs."""

    size: int
    """How many jobs were requested; some may not be in `states` because no dispatcher has come to them yet."""
    states: Mapping[JobState, int]

    @property
    def ended(self) -> int:
        """How many jobs are in a state that never changes again."""
        return sum(count for state, count in self.states.items() if state in TERMINAL)

    @property
    def done(self) -> bool:
        """Whether all jobs have ended."""
        return self.ended == self.size


def summarise(jobs: Sequence[Job]) -> SuiteProgress:
    """Return the progress of the suite whose jobs these are, all that the store has of it."""
    states = Counter(job.state for job in jobs)
    requested = max((job.suite_size or 0 for job in jobs), default=0)
    return SuiteProgress(max(requested, len(jobs)), {state: states[state] for state in JobState if state in states})
