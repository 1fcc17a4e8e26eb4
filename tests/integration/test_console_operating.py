"""What an operator decides over HTTP: about held jobs, about dead letters, and about records to bring once more."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, get_args

import pytest

from metriq_gym.bus.dead_letters import DeadLetter
from metriq_gym.bus.port import SCORER
from metriq_gym.exporters.targets import TARGETS
from metriq_gym.jobs import ExportState, JobState, Task, TaskState
from metriq_gym.messages import JobRequested, JobResumeRequested, JobScored, Message
from services.console.jobs import Target
from tests.support.console import ServedConsole, served_console
from tests.support.jobs import AT, ended_job


@pytest.fixture
async def console(mongo_url: str, mongo_database: str, tmp_path: Path) -> AsyncIterator[ServedConsole]:
    """One without any other service."""
    async with served_console(mongo_url, mongo_database, tmp_path, services=False) as served:
        yield served


@pytest.fixture
def published(console: ServedConsole, monkeypatch: pytest.MonkeyPatch) -> list[Message]:
    """What the console has published."""
    found: list[Message] = []

    async def publish(message: Message) -> None:
        found.append(message)

    monkeypatch.setattr(console.bus, "publish", publish)
    return found


async def in_doubt(console: ServedConsole) -> None:
    """Have a job that is held since its only submission may have been accepted."""
    job = ended_job("j", state=JobState.DISPATCHING, result=None, held="may have been accepted", target="homebrew_s2")
    where = {"provider": "tyxonq", "device": "homebrew_s2", "run": 0, "first": 0, "circuit_count": 1}
    more = {"state": TaskState.UNKNOWN, "shots": 10, "seed": 1, "intended_at": AT}
    task = Task.model_validate({"_id": "j:0", "job_id": "j"} | where | more)
    await console.store.jobs._jobs.insert_one(job.model_dump(by_alias=True, exclude_defaults=True))
    await console.store.tasks._tasks.insert_one(task.model_dump(by_alias=True, exclude_defaults=True))


async def resolve(console: ServedConsole, **decision: str) -> tuple[int, dict[str, Any]]:
    answer = await console.http.post("/jobs/j/resolve", json=decision)
    return answer.status_code, answer.json()


async def test_a_submission_in_doubt_is_adopted_and_the_job_goes_on(
    console: ServedConsole, published: list[Message]
) -> None:
    await in_doubt(console)
    assert (await resolve(console, decision="adopt"))[0] == 409
    assert published == []
    status, job = await resolve(console, decision="adopt", provider_job_id="theirs")
    assert (status, job.get("held"), job["state"]) == (200, None, "dispatching")
    [task] = await console.store.catalogue.outline("j")
    assert (task.provider_job_id, task.state) == ("theirs", TaskState.SUBMITTED)
    assert [(type(each), each.correlation_id) for each in published] == [(JobRequested, "j")]


async def test_a_held_job_is_given_up_once(console: ServedConsole, published: list[Message]) -> None:
    await in_doubt(console)
    status, job = await resolve(console, decision="fail", reason="the device is gone")
    assert (status, job["state"], job["failure"]["reason"]) == (200, "failed", "the device is gone")
    status, problem = await resolve(console, decision="resubmit")
    assert (status, problem["title"]) == (409, "Conflict")
    assert (await resolve(console, decision="perhaps"))[1]["errors"][0]["path"] == "$.decision"


async def test_a_record_is_brought_once_more(console: ServedConsole, published: list[Message]) -> None:
    exports = {"json": {"state": "done", "location": "/gone", "at": AT}}
    job = ended_job("done", state=JobState.EXPORTED, exports=exports)
    await console.store.jobs._jobs.insert_one(job.model_dump(by_alias=True, exclude_defaults=True))
    assert (await console.http.post("/jobs/done/upload", json={"target": "json"})).status_code == 202
    assert [(type(each), each.correlation_id) for each in published] == [(JobScored, "done")]
    assert (await console.store.jobs.get("done")).exports["json"].state is ExportState.PENDING
    assert (await console.http.post("/jobs/none/upload")).status_code == 404
    wrong = await console.http.post("/jobs/done/upload", json={"target": "elsewhere"})
    assert wrong.json()["errors"][0]["path"] == "$.target"


async def test_dead_letters_are_listed_replayed_and_dropped(console: ServedConsole) -> None:
    body = b'{"job_id": "j"}'
    for name in ("j/job.completed", "other/job.completed"):
        console.bus.dead_letters.append(
            DeadLetter(SCORER.name, "job.completed", body, name, "job.completed", "j", "it broke", "", None, None, 10)
        )
    listed = (await console.http.get("/dead-letters")).json()
    assert [(each["id"], each["reason"], each["body"]) for each in listed] == [
        ("j/job.completed", "it broke", body.decode()),
        ("other/job.completed", "it broke", body.decode()),
    ]
    assert (await console.http.post("/dead-letters/j/job.completed/replay")).json() == {"letters": 1}
    assert (await console.bus.waiting())[SCORER.name] == 1
    assert (await console.http.delete("/dead-letters/other/job.completed")).json() == {"letters": 1}
    assert console.bus.dead_letters == []
    for answer in (
        await console.http.post("/dead-letters/j/job.completed/replay"),
        await console.http.delete("/dead-letters/j/job.completed"),
    ):
        assert answer.status_code == 404
        assert answer.json()["title"] == "Not Found"


async def test_a_job_that_failed_goes_on_and_no_other(console: ServedConsole, published: list[Message]) -> None:
    jobs = [ended_job("failed", state=JobState.FAILED, result=None, resumed=1), ended_job("fine")]
    await console.store.jobs._jobs.insert_many([job.model_dump(by_alias=True, exclude_defaults=True) for job in jobs])
    for name, status in (("failed", 202), ("fine", 409), ("none", 404)):
        assert (await console.http.post(f"/jobs/{name}/resume")).status_code == status
    form = {"act": "resume", "job": ["failed", "fine"]}
    assert (await console.http.post(f"{console.url}/jobs/selected", data=form)).headers["location"].endswith("not=1")
    assert "/jobs/failed/resume" in (await console.http.get(f"{console.url}/jobs/failed")).text
    assert "/jobs/fine/resume" not in (await console.http.get(f"{console.url}/jobs/fine")).text
    assert (await console.http.post(f"{console.url}/jobs/failed/resume")).status_code == 303
    assert published == [JobResumeRequested(job_id="failed", resumed=1)] * 3


async def test_each_export_that_failed_is_tried_again_by_itself(
    console: ServedConsole, published: list[Message]
) -> None:
    failed = {"state": ExportState.FAILED, "error": "no space left", "at": AT}
    exports = {"json": failed, "webhook": failed, "github": {"state": ExportState.DONE, "at": AT}}
    job = ended_job("j", state=JobState.EXPORTED, exports=exports)
    await console.store.jobs._jobs.insert_one(job.model_dump(by_alias=True, exclude_defaults=True))
    page = (await console.http.get(f"{console.url}/jobs/j")).text
    assert re.findall('name="target" value="([^"]*)"', page) == ["json", "webhook"]
    answer = await console.http.post(f"{console.url}/jobs/j/upload", data={"target": "json"})
    assert answer.status_code == 303
    assert (await console.http.post("/jobs/j/upload", json={"target": "webhook"})).status_code == 202
    assert len(published) == 2
    states = {target: export.state for target, export in (await console.store.jobs.get("j")).exports.items()}
    assert states == {"json": ExportState.PENDING, "webhook": ExportState.PENDING, "github": ExportState.DONE}
    assert (await console.http.post(f"{console.url}/jobs/j/upload", data={"target": "<b>"})).status_code == 404


def test_whatever_records_are_brought_to_may_be_named() -> None:
    assert set(get_args(Target)) == set(TARGETS)
