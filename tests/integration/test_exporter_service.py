"""The exporter at work: every job reaches every target once, whatever fails, whoever crashes, whoever else exports."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import structlog

from metriq_gym.bus.memory import MemoryBus
from metriq_gym.bus.port import Delivery
from metriq_gym.errors import NotFound, Permanent, Unreadable
from metriq_gym.exporters.record import make_record
from metriq_gym.exporters.retry import retry_export
from metriq_gym.jobs import Export, ExportState, Job, JobState
from metriq_gym.messages import JobCancelled, JobExported, JobFailed, JobScored, Message
from metriq_gym.operations.suites import DROPPED, close_suite
from metriq_gym.service.service import Context, running
from metriq_gym.settings import Settings
from metriq_gym.store import Store
from metriq_gym.telemetry.metrics import REGISTRY
from services.exporter import Exporter
from tests.fake_github import FakeGitHub, serving
from tests.fake_github.server import MAINTAINER, REPO
from tests.support.handlers import Recorder
from tests.support.jobs import ended_job, failed_job, watch
from tests.support.patience import PATIENCE
from tests.support.system import System, system

PULLS = f"/repos/{REPO}/pulls"


@pytest.fixture(scope="module")
def server() -> Iterator[FakeGitHub]:
    with serving() as started:
        yield started


@pytest.fixture
def github(server: FakeGitHub) -> FakeGitHub:
    server.reset()
    return server


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    yield
    structlog.reset_defaults()


def environment(github: FakeGitHub) -> dict[str, str]:
    return {
        "github_token": github.token(MAINTAINER),
        "github_api_url": github.url,
        "github_repos": REPO,
        "github_pause_seconds": "0",
        "export_targets": "json,github",
    }


class ObservedBus(MemoryBus):
    """A memory bus that remembers each `job.exported`, which none of our queues takes."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.exported = Recorder()

    async def publish(self, message: Message) -> None:
        await super().publish(message)
        if isinstance(message, JobExported):
            await self.exported(Delivery(message.routing_key, b"", correlation_id=message.job_id))


@dataclass
class Running:
    """Exporters in this process on a memory bus, a real store, and GitHub's stand-in."""

    store: Store
    bus: ObservedBus
    root: Path
    exporter: Exporter

    @property
    def exported(self) -> Recorder:
        """Which jobs were said to be exported."""
        return self.bus.exported

    async def ended(self, job: Job) -> None:
        """Put a job that has ended into the store, and say so."""
        await self.store.records.add(job)
        await self.announce(job)

    async def announce(self, job: Job) -> None:
        if job.failure is not None:
            await self.bus.publish(JobFailed(job_id=job.id, outcome=job.failure.outcome, reason=job.failure.reason))
        elif job.state is JobState.CANCELLED:
            await self.bus.publish(JobCancelled(job_id=job.id))
        else:
            await self.bus.publish(JobScored(job_id=job.id))

    async def until(self, job_id: str, reached: Callable[[Job], bool]) -> Job:
        async with asyncio.timeout(PATIENCE):
            return [job async for job in watch(self.store, job_id, until=reached)][-1]

    async def settled(self, job_id: str, *targets: str) -> dict[str, Export]:
        """The job's exports once those to all these targets, or to both, have ended."""

        def ended(job: Job) -> bool:
            wanted = targets or ("github", "json")
            return all(job.exports.get(each, PENDING).state is not ExportState.PENDING for each in wanted)

        return (await self.until(job_id, ended)).exports

    async def quiet(self) -> None:
        """Return when everything that was published so far has been handled."""
        marker = ended_job("marker")
        await self.store.records.add(marker)
        await self.bus.publish(JobScored(job_id="marker"))
        await self.settled("marker", "json")


PENDING = Export.model_validate({"state": "pending", "at": "2026-11-20T00:00:00Z"})


@asynccontextmanager
async def exporters(
    github: FakeGitHub, mongo_url: str, database: str, folder: Path, *, count: int = 1, **changes: Any
) -> AsyncIterator[Running]:
    values: dict[str, Any] = environment(github) | {"export_dir": folder / "results"} | changes
    settings = Settings(**values)
    async with AsyncExitStack() as stack:
        store = await stack.enter_async_context(Store.at(mongo_url, database))
        bus = await stack.enter_async_context(ObservedBus(retry_pauses=(0.05, 0.1, 0.1)))
        context = Context(settings, bus, store, pool=None)  # type: ignore[arg-type]  # it uses no workers
        services = [Exporter(context) for _ in range(count)]
        found = Running(store, bus, settings.export_root, services[0])
        await stack.enter_async_context(running(services, 5))
        yield found


@pytest.fixture
async def one(github: FakeGitHub, mongo_url: str, mongo_database: str, tmp_path: Path) -> AsyncIterator[Running]:
    async with exporters(github, mongo_url, mongo_database, tmp_path) as found:
        yield found


async def test_a_result_reaches_every_target_and_the_job_is_exported(one: Running, github: FakeGitHub) -> None:
    await one.ended(ended_job())
    job = await one.until("wit-1", lambda job: job.state is JobState.EXPORTED)
    assert {name: (each.state, each.attempts, each.error) for name, each in job.exports.items()} == {
        "json": (ExportState.DONE, 1, None),
        "github": (ExportState.DONE, 1, None),
    }
    assert job.exports["json"].location == str(one.root / "wit-1.json")
    assert job.exports["github"].location == f"https://github.test/{REPO}/pull/1"
    assert json.loads((one.root / "wit-1.json").read_text()) == make_record(job)
    assert json.loads(github.file(github.pulls[0])[1]) == [make_record(job)]
    await one.exported.until(lambda: one.exported.jobs == ["wit-1"])


async def test_a_message_that_comes_again_changes_nothing_and_is_answered(one: Running, github: FakeGitHub) -> None:
    await one.ended(ended_job())
    job = await one.until("wit-1", lambda job: job.state is JobState.EXPORTED)
    requests = len(github.state.requests)
    await one.announce(job)
    await one.exported.until(lambda: len(one.exported.jobs) == 2)
    assert await one.store.jobs.get("wit-1") == job
    assert len(github.state.requests) == requests


async def test_a_target_that_refuses_does_not_stop_another_and_is_retried_alone(
    one: Running, github: FakeGitHub
) -> None:
    github.fail("POST", PULLS, 422, "Validation Failed: base is protected")
    await one.ended(ended_job())
    job = await one.until("wit-1", lambda job: job.state is JobState.EXPORTED)
    assert job.exports["json"].state is ExportState.DONE
    assert job.exports["github"].state is ExportState.FAILED
    assert "base is protected" in str(job.exports["github"].error)
    written = (one.root / "wit-1.json").stat().st_mtime_ns

    await retry_export(one.store, one.bus, "wit-1", "github")
    export = (await one.settled("wit-1"))["github"]
    assert (export.state, export.location, export.error) == (
        ExportState.DONE,
        f"https://github.test{PULLS[6:-1]}/1",
        None,
    )
    assert (await one.store.jobs.get("wit-1")).exports["json"] == job.exports["json"]
    assert (one.root / "wit-1.json").stat().st_mtime_ns == written


async def test_records_are_written_here_while_another_target_does_not_answer(
    one: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    github = type(one.exporter._open("github").target)
    answer, export = threading.Event(), github.export

    def silent(self: Any, jobs: Sequence[Job]) -> str:
        answer.wait(PATIENCE)
        return export(self, jobs)

    monkeypatch.setattr(github, "export", silent)
    try:
        for name in ("one", "two"):
            await one.ended(ended_job(name))
        for name in ("one", "two"):
            exports = await one.settled(name, "json")
            assert exports["github"].state is ExportState.PENDING
    finally:
        answer.set()
    await one.exported.until(lambda: set(one.exported.jobs) == {"one", "two"})


async def test_a_passing_failure_is_retried_without_repeating_what_is_done(one: Running, github: FakeGitHub) -> None:
    github.fail("POST", PULLS, 502, times=2)
    await one.ended(ended_job())
    waiting = await one.until("wit-1", lambda job: bool(job.exports and job.exports["github"].error))
    assert waiting.state is JobState.SCORED
    assert waiting.exports["github"].state is ExportState.PENDING
    assert "502" in str(waiting.exports["github"].error)
    meanwhile = await one.settled("wit-1", "json")
    assert meanwhile["github"].state is ExportState.PENDING
    written = meanwhile["json"]
    job = await one.until("wit-1", lambda job: job.state is JobState.EXPORTED)
    assert (job.exports["github"].attempts, job.exports["github"].error) == (3, None)
    assert job.exports["json"] == written
    assert len(github.pulls) == 1


async def test_nothing_is_asked_before_the_time_that_github_named(one: Running, github: FakeGitHub) -> None:
    github.fail("POST", PULLS, 429, "slow down", headers={"Retry-After": "2"})
    await one.ended(ended_job())
    waiting = await one.until("wit-1", lambda job: bool(job.exports and job.exports["github"].error))
    requests = len(github.state.requests)
    export = waiting.exports["github"]
    assert export.not_before is not None
    assert 1 <= (export.not_before - export.at).total_seconds() <= 2.1
    await one.ended(ended_job("other"))
    await one.until("other", lambda job: bool(job.exports and job.exports["github"].error))
    assert len(github.state.requests) == requests
    for job_id in ("wit-1", "other"):
        await one.until(job_id, lambda job: job.state is JobState.EXPORTED)
    assert len(github.pulls) == 2


async def test_attempts_are_counted_by_their_result_and_the_pause_that_github_asks_for_is_measured(
    one: Running, github: FakeGitHub
) -> None:
    def measured() -> list[float]:
        names = [
            ("metriq_exports_total", {"target": "github", "result": each}) for each in ("done", "postponed", "failed")
        ]
        names += [
            ("metriq_rate_limit_wait_seconds_sum", {"peer": "github", "limit": "theirs"}),
            ("metriq_job_stage_seconds_count", {"stage": "scored", "next": "exported"}),
        ]
        return [REGISTRY.get_sample_value(*name) or 0 for name in names]

    before = measured()
    github.fail("POST", PULLS, 429, "slow down", headers={"Retry-After": "1"})
    await one.ended(ended_job())
    job = await one.until("wit-1", lambda job: job.state is JobState.EXPORTED)
    github.fail("POST", PULLS, 422, "Validation Failed: base is protected")
    await one.ended(ended_job("refused"))
    await one.until("refused", lambda job: job.state is JobState.EXPORTED)
    await one.announce(job)  # said again, nothing is done again
    await one.exported.until(lambda: len(one.exported.jobs) == 3)
    assert [now - then for then, now in zip(before, measured(), strict=True)] == [1, 1, 1, 1, 2]


async def test_a_job_that_reaches_no_target_stays_scored_with_the_reasons_until_it_is_retried(
    one: Running, github: FakeGitHub
) -> None:
    in_its_place = one.root / "wit-1.json"
    in_its_place.mkdir(parents=True)  # a folder where the file should be
    del github.state.repositories[REPO]
    await one.ended(ended_job())
    job = await one.until("wit-1", lambda job: job.is_stuck)
    assert job.state is JobState.SCORED
    assert "cannot write" in str(job.exports["json"].error)
    assert f"knows no repository {REPO}" in str(job.exports["github"].error)
    in_its_place.rmdir()
    await retry_export(one.store, one.bus, "wit-1", "json")
    job = await one.until("wit-1", lambda job: job.state is JobState.EXPORTED)
    assert job.exports["github"].state is ExportState.FAILED


async def test_a_failed_and_a_cancelled_job_are_exported_as_what_they_are(one: Running, github: FakeGitHub) -> None:
    await one.ended(failed_job("broken", outcome="unsupported", reason="needs 20 qubits,\nhas 13"))
    await one.ended(ended_job("stopped", state=JobState.CANCELLED, result=None))
    for job_id in ("broken", "stopped"):
        await one.settled(job_id)
    record = json.loads((one.root / "broken.json").read_text())
    assert (record["outcome"], record["results"]) == ("unsupported", None)
    assert record["outcome_detail"]["error_message"] == "needs 20 qubits,\nhas 13"
    assert len(github.pulls) == 2
    assert (await one.store.jobs.get("broken")).state is JobState.FAILED
    assert one.exported.jobs == []


async def test_a_rejected_request_has_no_record(one: Running, github: FakeGitHub) -> None:
    await one.ended(failed_job("bad", outcome="rejected", state=JobState.REJECTED))
    await one.quiet()
    assert (await one.store.jobs.get("bad")).exports == {}
    assert [path.stem for path in one.root.iterdir()] == ["marker"]


def member(number: int, **changes: Any) -> Job:
    kind = failed_job if "outcome" in changes or "reason" in changes else ended_job
    fields: dict[str, Any] = {"suite_id": "nightly", "suite_name": "small", "suite_size": 3} | changes
    return kind(f"nightly.{number:03}-wit", **fields)


async def test_a_suite_is_one_pull_request_when_its_last_job_ends(one: Running, github: FakeGitHub) -> None:
    await one.ended(member(3))
    await one.ended(member(1, reason="it broke"))
    await one.settled("nightly.003-wit", "json")
    await one.settled("nightly.001-wit", "json")
    assert (await one.store.jobs.get("nightly.003-wit")).state is JobState.SCORED
    assert github.state.requests == []

    await one.ended(member(2))
    for number in (2, 3):
        job = await one.until(f"nightly.00{number}-wit", lambda job: job.state is JobState.EXPORTED)
        assert job.exports["github"].location == f"https://github.test/{REPO}/pull/1"
    assert (await one.settled("nightly.001-wit"))["github"].state is ExportState.DONE
    (pull,) = github.pulls
    assert pull.title == "mgym upload: small on tyxonq/homebrew_s2"
    assert pull.head_branch == "mgym/upload-nightly"
    records = json.loads(github.file(pull)[1])
    assert [record.get("outcome") for record in records] == ["error", None, None]
    assert {record["suite"]["id"] for record in records} == {"nightly"}
    await one.exported.until(lambda: {"nightly.002-wit", "nightly.003-wit"} <= set(one.exported.jobs))


@pytest.mark.parametrize("last", ["failed", "cancelled", "rejected"])
async def test_the_last_job_of_a_suite_may_end_in_any_way(one: Running, github: FakeGitHub, last: str) -> None:
    await one.ended(member(1))
    await one.ended(member(2))
    await one.settled("nightly.002-wit", "json")
    ends = {
        "failed": member(3, reason="it broke"),
        "cancelled": member(3, state=JobState.CANCELLED, result=None),
        "rejected": member(3, outcome="rejected", state=JobState.REJECTED, suite_name=None, suite_size=None),
    }
    await one.ended(ends[last])
    for number in (1, 2):
        await one.until(f"nightly.00{number}-wit", lambda job: job.state is JobState.EXPORTED)
    (pull,) = github.pulls
    assert len(json.loads(github.file(pull)[1])) == (2 if last == "rejected" else 3)


async def test_a_rejected_suite_request_is_not_one_of_the_suite_s_jobs(one: Running, github: FakeGitHub) -> None:
    await one.ended(failed_job("nightly", outcome="rejected", state=JobState.REJECTED, suite_id="nightly"))
    for number in (1, 2):
        await one.ended(member(number))
        await one.settled(f"nightly.00{number}-wit", "json")
    assert github.pulls == []
    await one.ended(member(3))
    await one.until("nightly.001-wit", lambda job: job.state is JobState.EXPORTED)
    assert len(json.loads(github.file(github.pulls[0])[1])) == 3


async def test_jobs_of_a_suite_of_unknown_size_are_exported_one_by_one(one: Running, github: FakeGitHub) -> None:
    for number in (1, 2):
        await one.ended(member(number, suite_size=None))
        await one.until(f"nightly.00{number}-wit", lambda job: job.state is JobState.EXPORTED)
    assert [pull.head_branch for pull in github.pulls] == ["mgym/upload-nightly.001-wit", "mgym/upload-nightly.002-wit"]


async def test_a_suite_that_was_refused_is_retried_by_any_of_its_jobs(one: Running, github: FakeGitHub) -> None:
    github.fail("POST", PULLS, 422, "no")
    for number in (1, 2, 3):
        await one.ended(member(number))
    for number in (1, 2, 3):
        job = await one.until(f"nightly.00{number}-wit", lambda job: job.state is JobState.EXPORTED)
        assert job.exports["github"].state is ExportState.FAILED
    await retry_export(one.store, one.bus, "nightly.002-wit", "github")
    await one.settled("nightly.002-wit")
    exports = [(await one.store.jobs.get(f"nightly.00{number}-wit")).exports["github"] for number in (1, 2, 3)]
    assert {export.state for export in exports} == {ExportState.DONE}
    assert len(github.pulls) == 1


async def test_exporters_that_end_a_suite_at_the_same_time_make_one_pull_request(
    github: FakeGitHub, mongo_url: str, mongo_database: str, tmp_path: Path
) -> None:
    async with exporters(github, mongo_url, mongo_database, tmp_path, count=4) as several:
        jobs = [member(number, suite_size=12) for number in range(1, 13)]
        for job in jobs:
            await several.store.records.add(job)
        await asyncio.gather(*(several.announce(job) for job in jobs))
        for job in jobs:
            await several.until(job.id, lambda job: job.state is JobState.EXPORTED)
    (pull,) = github.pulls
    assert len(json.loads(github.file(pull)[1])) == 12


class Crash(Exception):
    """The process might as well have died here."""


async def test_a_crash_before_or_after_any_write_loses_and_repeats_nothing(one: Running, github: FakeGitHub) -> None:
    """Break off at each call that changes something, once before and once after it; the message comes again."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger("critical"))  # tracebacks take their time
    calls, crash_at, after = 0, 0, False

    def breaking(call: Callable[..., Any]) -> Callable[..., Any]:
        async def broken(*args: Any, **kwargs: Any) -> Any:
            nonlocal calls
            calls += 1
            now = calls == crash_at
            if now and not after:
                raise Crash
            answer = await call(*args, **kwargs)
            if now:
                raise Crash
            return answer

        return broken

    publish = one.bus.publish
    for name in ("take_up", "begin", "settle"):
        setattr(one.store.exports, name, breaking(getattr(one.store.exports, name)))
    one.store.jobs.move = breaking(one.store.jobs.move)  # type: ignore[method-assign]
    one.bus.publish = breaking(publish)  # type: ignore[method-assign]
    count = 0
    while crash_at <= calls:
        crash_at, after = count // 2 + 1, bool(count % 2)
        suite = f"suite-{count}"
        jobs = [member(n, suite_id=suite, suite_size=2).model_copy(update={"id": f"{suite}.{n}"}) for n in (1, 2)]
        for job in jobs:
            await one.store.records.add(job)
        calls = 0
        await publish(JobScored(job_id=jobs[0].id))
        done = await one.until(jobs[0].id, lambda job: job.state is JobState.EXPORTED)
        await one.exported.until(lambda job_id=jobs[0].id: job_id in one.exported.jobs)  # type: ignore[misc]
        other = await one.store.jobs.get(jobs[1].id)
        assert other.state is JobState.SCORED  # its own message, and file, are still to come
        assert done.exports["github"].location == other.exports["github"].location
        await publish(JobScored(job_id=other.id))
        await one.until(other.id, lambda job: job.state is JobState.EXPORTED)
        assert {f"{job.id}.json" for job in jobs} <= {path.name for path in one.root.iterdir()}
        count += 1
        assert len(github.pulls) == count
        assert [entry.state for entry in done.history] == [JobState.SCORED, JobState.EXPORTED]
    assert count >= 12


@pytest.mark.parametrize(
    ("changes", "reason", "kind"),
    [
        ({"github_token": None}, "METRIQ_GITHUB_TOKEN", Permanent),
        ({"export_targets": "jsn"}, r"'jsn'; there are: json, github", NotFound),
    ],
)
async def test_an_exporter_that_cannot_work_says_so_and_does_not_start(
    github: FakeGitHub,
    mongo_url: str,
    mongo_database: str,
    tmp_path: Path,
    changes: dict[str, Any],
    reason: str,
    kind: type[Exception],
) -> None:
    with pytest.raises(kind, match=reason):
        async with exporters(github, mongo_url, mongo_database, tmp_path, **changes):
            pass


async def test_only_what_has_a_record_can_be_retried(one: Running) -> None:
    await one.store.records.add(ended_job("running", state=JobState.DISPATCHED, result=None))
    await one.store.records.add(failed_job("bad", outcome="rejected", state=JobState.REJECTED))
    with pytest.raises(Permanent, match="running is dispatched"):
        await retry_export(one.store, one.bus, "running", "json")
    with pytest.raises(NotFound, match="'ftp'; there are: json, github"):
        await retry_export(one.store, one.bus, "running", "ftp")
    with pytest.raises(NotFound, match="nobody"):
        await retry_export(one.store, one.bus, "nobody", "json")


async def test_one_of_a_suite_that_goes_as_a_whole_is_not_retried_before_all_have_ended(one: Running) -> None:
    await one.store.records.add(member(1))
    with pytest.raises(Permanent, match="suite nightly has not ended"):
        await retry_export(one.store, one.bus, "nightly.001-wit", "github")
    assert (await one.store.jobs.get("nightly.001-wit")).exports == {}


async def test_news_of_a_job_that_was_deleted_meanwhile_is_nothing_to_do(one: Running) -> None:
    for key in ("job.scored", "job.failed", "job.cancelled"):
        body = {"job_id": "gone", "outcome": "error", "reason": "it broke"}
        await one.exporter.handle(Delivery(key, json.dumps(body).encode()))


async def test_a_suite_does_not_wait_for_a_job_that_was_deleted(one: Running, github: FakeGitHub) -> None:
    failed = failed_job("nightly.001-wit", suite_id="nightly", suite_name="nightly", suite_size=3)
    await one.store.records.add(failed)
    await one.store.records.delete(failed.id)
    for number in (2, 3):
        await one.ended(member(number))
    for number in (2, 3):
        await one.until(f"nightly.00{number}-wit", lambda job: job.state is JobState.EXPORTED)
    assert len(github.pulls) == 1


async def test_a_job_of_a_suite_that_is_deleted_while_it_is_uploaded_does_not_stop_the_others(
    one: Running, github: FakeGitHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed = failed_job("nightly.001-wit", suite_id="nightly", suite_name="nightly", suite_size=3)
    await one.store.records.add(failed)
    settle = one.store.exports.settle

    async def deleted_before(job_ids: Sequence[str], *args: Any, **about: Any) -> Job | None:
        if failed.id in job_ids:
            await one.store.records.delete(failed.id)
        return await settle(job_ids, *args, **about)

    monkeypatch.setattr(one.store.exports, "settle", deleted_before)
    for number in (2, 3):
        await one.ended(member(number))
    for number in (2, 3):
        await one.until(f"nightly.00{number}-wit", lambda job: job.state is JobState.EXPORTED)
    assert len(github.pulls) == 1


async def test_a_target_that_no_service_has_by_default_can_be_asked_for(
    github: FakeGitHub, mongo_url: str, mongo_database: str, tmp_path: Path
) -> None:
    async with exporters(github, mongo_url, mongo_database, tmp_path, export_targets="json") as one:
        await one.ended(ended_job())
        await one.until("wit-1", lambda job: job.state is JobState.EXPORTED)
        assert github.state.requests == []
        await retry_export(one.store, one.bus, "wit-1", "github")
        assert (await one.settled("wit-1"))["github"].state is ExportState.DONE


async def published(running: System, job: Job) -> None:
    await running.store.records.add(job)
    await running.publish({"job_id": job.id}, key="job.scored")


def _refusal(job: Job) -> bool:
    return "github" in job.exports and "METRIQ_GITHUB_TOKEN" in (job.exports["github"].error or "")


async def test_killed_after_any_creation_the_exporter_makes_nothing_twice_and_logs_no_token(
    github: FakeGitHub, amqp_url: str, mongo_url: str, mongo_database: str, tmp_path: Path
) -> None:
    only = {"dispatcher": 0, "poller": 0, "scorer": 0, "exporter": 1}
    changes = environment(github) | {"github_pause_seconds": "0.3", "log_level": "debug"}
    async with system(amqp_url, mongo_url, mongo_database, tmp_path, counts=only, **changes) as started:
        (exporter,) = started.services
        for creation in ("/git/refs", "/contents/", "/pulls"):
            job = ended_job(f"killed-{creation.strip('/').replace('/', '-')}")
            already = len(github.state.writes())
            await published(started, job)
            async with asyncio.timeout(PATIENCE):
                # What it waits for happens in a server's thread.
                while not any(creation in path for _, path in github.state.writes()[already:]):  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
            exporter.kill()
            exporter.start()
            assert (await started.ended(job.id)).state is JobState.EXPORTED
        assert len(github.pulls) == 3
        assert all(len(pull.labels) == 2 for pull in github.pulls)
        github.state.tokens.clear()
        await published(started, ended_job("refused"))
        async with asyncio.timeout(PATIENCE):
            while not _refusal(await started.store.jobs.get("refused")):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        assert await exporter.terminate() == 0
        assert github.token(MAINTAINER) not in exporter.log.read_text()


async def test_a_message_with_a_path_for_an_id_is_refused(one: Running) -> None:
    for job_id in ("../escaped", "/tmp/escaped", "a/b"):
        await one.store.records.add(ended_job(job_id))
        with pytest.raises(Unreadable, match=r"\$\.job_id"):
            await one.exporter.handle(Delivery("job.scored", json.dumps({"job_id": job_id}).encode()))


async def test_a_suite_that_cannot_complete_is_listed_when_overdue_and_goes_as_it_is_when_an_operator_says_so(
    one: Running, github: FakeGitHub
) -> None:
    for number in (1, 2):
        await one.ended(member(number))
        await one.settled(f"nightly.00{number}-wit", "json")
    assert await one.store.catalogue.waiting_suites(10**9) == []
    (suite,) = await one.store.catalogue.waiting_suites(0)
    assert (suite.id, suite.waiting, suite.size) == ("nightly", 2, 3)
    assert {job.id for job in await close_suite(one.store, one.bus, "nightly", drop=False)} == {
        "nightly.001-wit",
        "nightly.002-wit",
    }
    for number in (1, 2):
        await one.until(f"nightly.00{number}-wit", lambda job: job.state is JobState.EXPORTED)
    assert len(github.pulls) == 1
    assert await one.store.catalogue.waiting_suites(0) == []
    with pytest.raises(Permanent, match="waits"):
        await close_suite(one.store, one.bus, "nightly", drop=False)


async def test_a_suite_that_is_dropped_is_uploaded_nowhere(one: Running, github: FakeGitHub) -> None:
    await one.ended(member(1))
    await one.settled("nightly.001-wit", "json")
    await close_suite(one.store, one.bus, "nightly", drop=True)
    exports = await one.settled("nightly.001-wit")
    assert exports["github"].state is ExportState.FAILED
    assert exports["github"].error == DROPPED
    assert github.pulls == []


async def test_a_rejected_job_costs_the_exporter_no_look_at_the_others_of_its_suite(
    one: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    async def suite(suite_id: str) -> list[Job]:
        asked.append(suite_id)
        return []

    monkeypatch.setattr(one.store.jobs, "suite", suite)
    for number in range(5):
        rejected = failed_job(f"r.{number}", outcome="rejected", state=JobState.REJECTED, suite_id="r", suite_size=5)
        await one.ended(rejected)
    await one.bus.idle()
    assert asked == []
