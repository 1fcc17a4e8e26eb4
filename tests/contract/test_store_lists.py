"""Lists of jobs use an index, whatever they are filtered by."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest
from bson.codec_options import CodecOptions, DatetimeConversion
from pymongo import AsyncMongoClient, monitoring

from metriq_gym.jobs import Job, JobState
from metriq_gym.store import Store
from metriq_gym.store.catalogue import Catalogue, Filter
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


class _Sent(monitoring.CommandListener):
    """Remembers the queries that are sent."""

    FIELDS = ("filter", "sort", "projection", "limit", "pipeline", "cursor", "key", "query")

    def __init__(self) -> None:
        self.queries: list[dict[str, Any]] = []

    def started(self, event: monitoring.CommandStartedEvent) -> None:
        if event.command_name in ("find", "aggregate", "distinct"):
            wanted = (event.command_name, *self.FIELDS)
            self.queries.append({key: event.command[key] for key in wanted if key in event.command})

    def succeeded(self, event: monitoring.CommandSucceededEvent) -> None: ...

    def failed(self, event: monitoring.CommandFailedEvent) -> None: ...


async def _planned(database: Any, query: dict[str, Any], options: CodecOptions[dict[str, Any]]) -> object:
    return await database.command("explain", query, verbosity="queryPlanner", codec_options=options)


async def all_of(jobs: AsyncIterator[Job]) -> list[Job]:
    return [job async for job in jobs]


@pytest.mark.parametrize(
    "query",
    [
        pytest.param(lambda found: found.state_counts(), id="by state"),
        pytest.param(lambda found: found.created_since(AT), id="requested"),
        pytest.param(lambda found: found.exported_since(AT), id="exported"),
        pytest.param(lambda found: found.stage_times(3600, limit=9), id="stage times"),
        pytest.param(lambda found: found.due(), id="due"),
        pytest.param(lambda found: found.undecided_counts(), id="undecided"),
        pytest.param(lambda found: found.waiting_suites(60, limit=5), id="overdue suites"),
        pytest.param(lambda found: found.standing_still(60, limit=5), id="standing still"),
        pytest.param(lambda found: found.page(Filter(states=tuple(JobState)[:3]), limit=5), id="running"),
        pytest.param(lambda found: found.suite_ids(limit=5), id="suites"),
        pytest.param(lambda found: found.of_suites(["suite-1"]), id="jobs of suites"),
        pytest.param(lambda found: found.benchmark_names(), id="benchmarks"),
        pytest.param(lambda found: found.device_names(), id="devices"),
        pytest.param(lambda found: found.suite_names(), id="suites' names"),
        pytest.param(lambda found: found.newest_scored([("benchmark 1", "tyxonq", "device 1")]), id="matrix"),
        pytest.param(lambda found: all_of(found.scored(Filter())), id="results"),
        pytest.param(lambda found: all_of(found.scored(Filter(benchmark="benchmark 1"), limit=5)), id="trend"),
        pytest.param(lambda found: all_of(found.scored(Filter(suite_name="Nightly"), limit=5)), id="suite's trend"),
        pytest.param(lambda found: found.counts("job-001"), id="counts"),
        pytest.param(lambda found: found.outline("job-001"), id="tasks"),
    ],
)
async def test_whatever_a_page_of_the_console_shows_is_found_by_an_index(
    filled: Store, mongo_url: str, mongo_database: str, query: Callable[[Catalogue], Awaitable[object]]
) -> None:
    sent = _Sent()
    client: AsyncMongoClient[dict[str, Any]]
    # The bounds of a plan may be times that there are not.
    options = CodecOptions[dict[str, Any]](datetime_conversion=DatetimeConversion.DATETIME_MS)
    async with AsyncMongoClient(mongo_url, event_listeners=[sent]) as client:
        await query(Store(client, mongo_database).catalogue)
        plans = [await _planned(client[mongo_database], each, options) for each in sent.queries]
    assert plans
    for plan in plans:
        assert "COLLSCAN" not in str(plan)


async def test_the_newest_suites_are_found_in_a_step_a_suite_and_without_a_look_at_any_job(
    filled: Store, mongo_url: str, mongo_database: str
) -> None:
    sent = _Sent()
    client: AsyncMongoClient[dict[str, Any]]
    async with AsyncMongoClient(mongo_url, event_listeners=[sent]) as client:
        assert await Store(client, mongo_database).catalogue.suite_ids(limit=2) == ["suite-2", "suite-1"]
        plan = str(await client[mongo_database].command("explain", sent.queries[0], verbosity="executionStats"))
    assert "DISTINCT_SCAN" in plan
    assert "'totalDocsExamined': 0" in plan
