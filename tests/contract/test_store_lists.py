"""Lists of jobs use an index, whatever they are filtered by."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest
from bson.codec_options import CodecOptions, DatetimeConversion
from pymongo import AsyncMongoClient, monitoring

from metriq_gym.jobs import Job, JobState
from metriq_gym.jobs.suite_progress import summarise
from metriq_gym.store import Store, searching
from metriq_gym.store.catalogue import Catalogue, Filter
from metriq_gym.testing.memory import MemoryClient
from tests.support.jobs import AT, ended_job

LIMIT = 5
JOBS = 120
"""Of three benchmarks, devices and states each; a tenth are in suites, and one is held."""


async def fill(store: Store) -> Store:
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
            remarks=f"Remark {number} (ünder way)" if number % 4 == 0 else None,
            tags=["nightly", *(["twelfth"] if number % 12 == 0 else [])] if number % 3 == 0 else [],
            result={"score": {"value": 1.0 if number % 20 == 0 else 0.5, "uncertainty": 0.01}},
        )
        for number in range(JOBS)
    ]
    documents = [job.model_dump(by_alias=True, exclude_defaults=True) for job in jobs]
    await store.jobs._jobs.insert_many(documents, ordered=False)
    return store


@pytest.fixture
async def filled(server_store: Store) -> Store:
    return await fill(server_store)


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
        pytest.param(Filter(tags=("nightly",)), LIMIT, id="tag"),
        pytest.param(Filter(tags=("nightly", "twelfth")), JOBS // 12, id="tags"),
        pytest.param(Filter(least_score=0.995), JOBS // 20, id="least score"),
        pytest.param(Filter(least_score=0.2, most_score=0.9), LIMIT, id="score"),
        pytest.param(Filter(text="benchmark"), LIMIT, id="text"),
    ],
)
async def test_a_list_uses_an_index_and_looks_at_what_it_shows(filled: Store, which: Filter, most: int) -> None:
    explained = await filled.catalogue.explain_page(which, limit=LIMIT)
    assert "COLLSCAN" not in str(explained["queryPlanner"]["winningPlan"])
    assert "IXSCAN" in str(explained["queryPlanner"]["winningPlan"])
    assert 0 < explained["executionStats"]["totalDocsExamined"] <= most


@pytest.mark.parametrize("place", ["server", "memory"])
async def test_a_suite_in_a_list_is_as_far_as_its_jobs_say(server_store: Store, place: str) -> None:
    """Whatever may be said of a job's progress, told by the server's count as by a look at each."""
    store = server_store if place == "server" else Store(MemoryClient(), "metriq")
    pending, tried = {"state": "pending", "at": AT}, {"state": "pending", "at": AT, "attempts": 2}
    failed, done = {"state": "failed", "at": AT}, {"state": "done", "at": AT}
    kinds: list[dict[str, Any]] = [
        {"state": JobState.DISPATCHED},
        {"state": JobState.DISPATCHING, "held": "in doubt"},
        {"state": JobState.SCORED, "exports": {"json": done, "github": pending}},
        {"state": JobState.SCORED, "exports": {"json": done, "github": tried}},
        {"state": JobState.SCORED, "exports": {"github": failed, "webhook": done}},
        {"state": JobState.SCORED, "exports": {"github": failed, "json": done}},
        {"state": JobState.EXPORTED, "exports": {"json": done}},
        {"state": JobState.FAILED},
        {"state": JobState.DISPATCHED, "imported": "{}"},
    ]
    for suite, size in (("a", 40), ("b", None), ("c", 3)):
        for number, kind in enumerate([*kinds, *kinds[2:7]] if suite != "c" else kinds[6:8]):
            at, device = AT + timedelta(seconds=number), f"device {suite}"
            about = {"suite_id": suite, "suite_size": size, "suite_name": "Nightly", "tags": ["t"]}
            await store.records.add(ended_job(f"{suite}.{number}", created_at=at, device=device, **about, **kind))
    await store.records.delete("c.1")
    runs = await store.catalogue.suite_runs(["c", "nowhere", "b", "a"])
    assert [run.id for run in runs] == ["c", "b", "a"]
    for run in runs:
        assert run.progress == summarise(await store.jobs.suite(run.id))
        assert (run.name, run.device, run.tags, run.created_at) == ("Nightly", f"device {run.id}", ["t"], AT)
    assert {run.id: run.progress.size for run in runs} == {"a": 40, "b": 14, "c": 2}


async def test_of_a_large_suite_each_kind_of_job_is_sent_once(
    server_store: Store, mongo_url: str, mongo_database: str
) -> None:
    """Of one that cannot be read, none; nor does one hide those that are alike."""
    job = ended_job("s.0", state=JobState.EXPORTED, suite_id="s", suite_size=2000).model_dump(by_alias=True)
    odd, first = job | {"_id": "s.odd", "tags": 7}, job | {"_id": "s.", "prior": 0.5, "device": "first"}
    client: AsyncMongoClient[dict[str, Any]]
    replies = _Replies()
    async with AsyncMongoClient(mongo_url, event_listeners=[replies]) as client:
        jobs: Any = client[mongo_database].jobs
        await jobs.insert_many([odd, first, *(job | {"_id": f"s.{number}"} for number in range(1500))])
        [run] = await Store(client, mongo_database).catalogue.suite_runs(["s"])
    assert (run.progress.ended, run.progress.size, run.device) == (1501, 2000, "first")
    assert sum(replies.rows) == 1


class _Replies(monitoring.CommandListener):
    """How many documents each aggregation found."""

    def __init__(self) -> None:
        self.rows: list[int] = []

    def started(self, event: monitoring.CommandStartedEvent) -> None:
        pass

    def succeeded(self, event: monitoring.CommandSucceededEvent) -> None:
        if event.command_name in ("aggregate", "getMore"):
            cursor = event.reply["cursor"]
            self.rows.append(len(cursor.get("firstBatch", cursor.get("nextBatch"))))

    def failed(self, event: monitoring.CommandFailedEvent) -> None:
        pass


TEXTS = ("JOB-01", "remark 4", "(ÜNDER", "night", "Benchmark 1", "device 2", "e", "k 1", "nowhere", ".", "suite-1")


@pytest.mark.parametrize(
    ("near", "most"), [(searching.NEAR, 0), (10, searching.MOST), (10, 3)], ids=["near", "rare", "common"]
)
@pytest.mark.parametrize("place", ["server", "memory"])
async def test_a_text_is_found_wherever_it_may_stand_and_in_order(
    server_store: Store, monkeypatch: pytest.MonkeyPatch, place: str, near: int, most: int
) -> None:
    """However many jobs have it: each way to look for it finds the same."""
    monkeypatch.setattr(searching, "NEAR", near)
    monkeypatch.setattr(searching, "MOST", most)
    store = await fill(server_store if place == "server" else Store(MemoryClient(), "metriq"))
    states = (JobState.FAILED, JobState.SCORED)
    all_jobs = await store.catalogue.page(Filter(states=states), limit=JOBS)
    for text in TEXTS:
        wanted = [job.id for job in all_jobs if text.casefold() in _said(job).casefold()]
        for ascending in (False, True):
            found = await _pages(store, Filter(text=text, states=states), ascending)
            assert found == (wanted[::-1] if ascending else wanted), text


async def _pages(store: Store, which: Filter, ascending: bool) -> list[str]:
    found: list[str] = []
    after = None
    while page := await store.catalogue.page(which, after=after, ascending=ascending, limit=20):
        found += [job.id for job in page]
        after = (page[-1].created_at, page[-1].id)
    return found


def _said(job: Job) -> str:
    return "\n".join([job.id, job.benchmark_name, job.device, job.suite_name or "", job.remarks or ""])


async def test_to_find_what_is_rare_no_job_is_looked_at_but_those_that_have_it(
    filled: Store, mongo_url: str, mongo_database: str
) -> None:
    sent = _Sent()
    client: AsyncMongoClient[dict[str, Any]]
    async with AsyncMongoClient(mongo_url, event_listeners=[sent]) as client:
        found = await Store(client, mongo_database).catalogue.page(Filter(text="emark 8 "), limit=LIMIT)
        searches = [each for each in sent.queries if "find" in each]
        plans = [await client[mongo_database].command("explain", each, verbosity="executionStats") for each in searches]
    assert [job.id for job in found] == ["job-008"]
    assert [plan["executionStats"]["totalDocsExamined"] for plan in plans] == [0, 0, 1]


@pytest.mark.parametrize(
    "query",
    [
        pytest.param(lambda found: found.benchmark_names(), id="benchmarks"),
        pytest.param(lambda found: found.device_names(), id="devices"),
        pytest.param(lambda found: found.suite_names(), id="suites"),
    ],
)
async def test_names_are_found_in_a_step_a_name(
    filled: Store, mongo_url: str, mongo_database: str, query: Callable[[Catalogue], Awaitable[object]]
) -> None:
    sent = _Sent()
    client: AsyncMongoClient[dict[str, Any]]
    async with AsyncMongoClient(mongo_url, event_listeners=[sent]) as client:
        assert await query(Store(client, mongo_database).catalogue)
        for each in sent.queries:
            plan = await client[mongo_database].command("explain", each, verbosity="queryPlanner")
            assert "DISTINCT_SCAN" in str(plan)
            assert "FETCH" not in str(plan)


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
        pytest.param(lambda found: found.failed_exports(AT, limit=9, dropped=""), id="failed exports"),
        pytest.param(lambda found: found.waiting_suites(60, limit=5), id="overdue suites"),
        pytest.param(lambda found: found.standing_still(60, limit=5), id="standing still"),
        pytest.param(lambda found: found.page(Filter(states=tuple(JobState)[:3]), limit=5), id="running"),
        pytest.param(lambda found: found.page(Filter(text="nowhere"), limit=5), id="search"),
        pytest.param(lambda found: found.page(Filter(text="night"), limit=5), id="search by suite"),
        pytest.param(lambda found: found.suite_ids(limit=5), id="suites"),
        pytest.param(lambda found: found.suite_runs(["suite-1"]), id="suites, how far"),
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
