"""What came back of what a benchmark had run, before anything is worked out of it."""

from __future__ import annotations

from collections.abc import Sequence

from metriq_gym.benchmarks.benchmark import Counts, RunResult
from metriq_gym.errors import Permanent


class Unmatched(Permanent):
    """There are more or fewer runs or circuits than the job has."""


def counts_of_runs(result_data: Sequence[RunResult], runs: int, circuits: int) -> list[Sequence[Counts]]:
    """Return the counts of so many runs of so many circuits each.

    Raises `Unmatched` when there are more or fewer, and `Permanent` when a circuit has no shots to count.
    """
    if len(result_data) != runs:
        raise Unmatched(f"the device returned {len(result_data)} runs of {runs}, so there is nothing to score")
    for run in result_data:
        if len(run.counts) != circuits:
            raise Unmatched(f"the device returned counts of {len(run.counts)} circuits of {circuits}")
        if any(sum(counts.values()) < 1 for counts in run.counts):
            raise Permanent("the device returned no shots, so there is nothing to score")
    return [run.counts for run in result_data]


def counts_of(result_data: Sequence[RunResult], circuits: int) -> Sequence[Counts]:
    """Return the counts of the only run, of so many circuits; raises as `counts_of_runs`."""
    return counts_of_runs(result_data, 1, circuits)[0]
