"""Whether `mgym suite cancel` knows when a suite's jobs are decided, whatever becomes of them meanwhile."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import pytest

from metriq_gym.cli.suite.cancel import _decided, _unseen
from metriq_gym.errors import UnreadableDocument
from metriq_gym.jobs import Job, JobState
from metriq_gym.jobs.suite_progress import SuiteProgress, summarise
from metriq_gym.terminal.follow import ProgressLine
from tests.support.jobs import ended_job


def job(name: str, state: JobState) -> Job:
    return ended_job(name, state=state, suite_id="s", suite_size=3)


A, B, C = (job(name, JobState.CANCELLED) for name in "abc")
GOING = job("b", JobState.DISPATCHED)
LATE = job("b", JobState.SCORED)


class Told:
    """A client that is told of a suite once for each of `looks`."""

    def __init__(self, looks: Sequence[Sequence[Job]]) -> None:
        self.looks = [[*jobs] for jobs in looks]

    async def suite_progress(
        self, _: str, until: Callable[[list[Job]], bool]
    ) -> AsyncIterator[tuple[SuiteProgress, list[Job]]]:
        for jobs in self.looks:
            yield summarise(jobs), jobs
            if until(jobs):
                return
        raise AssertionError("it would wait for ever")


@pytest.mark.parametrize(
    ("looks", "unseen", "decided"),
    [
        ([[A, GOING], [A, B]], (), "ab"),
        ([[A, GOING], [A, LATE]], (), "ab"),
        ([[A], [A, B]], "b", "ab"),
        ([[], [C], [A, B, C]], "ab", "ab"),  # the other one was decided before
        ([[A, GOING], [GOING], [B]], (), "ab"),  # one is deleted as soon as it is cancelled
        ([[GOING], [B]], (), "b"),  # or before anyone has seen it so
        ([[]], (), ""),
    ],
)
async def test_all_are_waited_for_and_none_for_ever(
    looks: Sequence[Sequence[Job]], unseen: Sequence[str], decided: str
) -> None:
    client: Any = Told(looks)
    found = await _decided(client, "s", {"a", "b"}, {*unseen}, ProgressLine("cancelling"))
    assert "".join(each.id for each in found) == decided


async def test_nothing_is_waited_for_where_nothing_goes_on() -> None:
    client: Any = Told([])
    assert await _decided(client, "s", set(), set(), ProgressLine("cancelling")) == []


async def test_of_a_suite_whose_plan_cannot_be_read_the_jobs_that_are_there_are_cancelled(
    capsys: pytest.CaptureFixture[str],
) -> None:
    class Suites:
        async def plan(self, _: str) -> None:
            raise UnreadableDocument("the plan of suite s cannot be read")

    client: Any = type("Client", (), {"store": type("Store", (), {"suites": Suites()})})
    assert await _unseen(client, "s") == set()
    assert "the plan of suite s cannot be read" in capsys.readouterr().err
