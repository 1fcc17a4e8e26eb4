"""Lists of jobs use an index, whatever they are filtered by."""

from __future__ import annotations

from datetime import timedelta

import pytest

from metriq_gym.jobs import JobState
from metriq_gym.store import Store
from metriq_gym.store.catalogue import Filter
from tests.support.jobs import AT, ended_job

LIMIT = 5
JOBS = 120
"""Of three benchmarks, devices and states each; a tenth are in suites, and one is held."""


@pytest.fixture
async def filled(server_store: Store) -> Store:
    states = (JobState.EXPORTED, JobState.FAILED, JobState.SCORED)
    jobs = [
        ended_job(
            f"job-{number:03}",
            state=states[number // 9 % 3],
            benchmark_name=f"benchmark {number % 3}",
            device=f"device {number // 3 % 3}",
            created_at=AT + timedelta(seconds=number),
            held="in doubt" if number == 60 else None,
            suite_id=f"suite-{number // 40}" if number % 10 == 0 else None,
            suite_name="Nightly" if number % 10 == 0 else None,
        )
        for number in range(JOBS)
    ]
    await server_store.jobs._jobs.insert_many([job.model_dump(by_alias=True, exclude_defaults=True) for job in jobs])
    return server_store


@pytest.mark.parametrize(
    ("which", "most"),
    [
        pytest.param(Filter(), LIMIT, id="all"),
        pytest.param(Filter(states=(JobState.FAILED,)), LIMIT, id="state"),
        pytest.param(Filter(benchmark="benchmark 1"), LIMIT, id="benchmark"),
        pytest.param(Filter(provider="tyxonq", device="device 1"), LIMIT, id="device"),
        pytest.param(Filter(since=AT + timedelta(seconds=20), until=AT + timedelta(seconds=90)), LIMIT, id="time"),
        pytest.param(Filter(suite="suite-1"), JOBS // 10, id="suite"),
        pytest.param(Filter(suite_name="Nightly"), JOBS // 10, id="suite's name"),
        pytest.param(Filter(held=True), 1, id="held"),
        pytest.param(Filter(text="benchmark"), LIMIT, id="text"),
    ],
)
async def test_a_list_uses_an_index_and_looks_at_what_it_shows(filled: Store, which: Filter, most: int) -> None:
    explained = await filled.catalogue.explain_page(which, limit=LIMIT)
    assert "COLLSCAN" not in str(explained["queryPlanner"]["winningPlan"])
    assert "IXSCAN" in str(explained["queryPlanner"]["winningPlan"])
    assert 0 < explained["executionStats"]["totalDocsExamined"] <= most
