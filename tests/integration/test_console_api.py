"""The HTTP API as a client without AMQP uses it, on a real store."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pyarrow.parquet
import pytest

from metriq_gym.jobs import JobState
from metriq_gym.messages import JobRequested, Message, SuiteRequested
from tests.support.console import REQUEST, WIT, ServedConsole, served_console
from tests.support.jobs import watch
from tests.support.patience import PATIENCE

SUITE = {"name": "Two", "benchmarks": [{"name": "a", "config": WIT}, {"name": "b", "config": WIT}]}


@pytest.fixture
async def console(mongo_url: str, mongo_database: str, tmp_path: Path) -> AsyncIterator[ServedConsole]:
    async with served_console(mongo_url, mongo_database, tmp_path) as served:
        yield served


async def exported(console: ServedConsole, job_id: str) -> None:
    async with asyncio.timeout(PATIENCE):
        async for _ in watch(console.store, job_id, until=lambda job: job.state is JobState.EXPORTED):
            pass


async def test_a_job_is_requested_followed_and_read_over_http(console: ServedConsole) -> None:
    accepted = await console.http.post("/jobs", json=REQUEST | {"job_id": "over-http"})
    assert accepted.status_code == 202
    assert accepted.headers["location"] == "/api/v1/jobs/over-http"
    await exported(console, "over-http")
    job = (await console.http.get(accepted.headers["location"].removeprefix("/api/v1"))).json()
    assert (job["id"], job["state"]) == ("over-http", "exported")
    assert [line["state"] for line in job["history"]][-1] == "exported"
    assert [task["state"] for task in job["tasks"]] == ["completed"]
    assert job["result"]["expectation_value"]["value"] > 0
    record = (await console.http.get("/jobs/over-http/record")).json()
    assert record["results"] == job["result"]
    [counts] = (await console.http.get("/jobs/over-http/counts")).json()
    assert sum(counts["counts"].values()) == counts["shots"] == 100
    [circuit] = (await console.http.get("/jobs/over-http/circuits")).json()
    assert circuit["qasm"].startswith("OPENQASM 3")
    assert "q_0" in circuit["drawing"]
    [device] = (await console.http.get("/devices")).json()
    assert (device["provider"], device["device"], device["num_qubits"]) == ("local", "aer_simulator", 30)


async def test_the_same_request_again_is_the_same_job(console: ServedConsole) -> None:
    headers = {"Idempotency-Key": "nightly 2026-11-28"}
    first = (await console.http.post("/jobs", json=REQUEST, headers=headers)).json()
    again = (await console.http.post("/jobs", json=REQUEST, headers=headers)).json()
    other = (await console.http.post("/jobs", json=REQUEST, headers={"Idempotency-Key": "another"})).json()
    assert first == again != other
    await exported(console, first["job_id"])
    await exported(console, other["job_id"])
    assert len((await console.http.get("/jobs")).json()["jobs"]) == 2


async def test_all_that_a_request_says_reaches_the_queue(
    console: ServedConsole, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[Message] = []

    async def publish(message: Message) -> None:
        sent.append(message)

    monkeypatch.setattr(console.bus, "publish", publish)
    said = {"prior": 2, "remarks": "a note", "group": "us", "force": True, "compilation": "3", "tags": ["tonight"]}
    of_suite = said | {"suite_id": "s", "suite": SUITE, "components": ["b"], "all": True}
    where = {"provider": "local", "device": "aer_simulator"}
    assert (await console.http.post("/jobs", json=REQUEST | said | {"job_id": "j"})).status_code == 202
    assert (await console.http.post("/suites", json=where | of_suite)).status_code == 202
    job, suite = sent
    assert job.model_dump() == JobRequested.model_validate(REQUEST | said | {"job_id": "j"}).model_dump()
    assert suite.model_dump() == SuiteRequested.model_validate(where | of_suite).model_dump()


async def test_a_job_of_a_suite_is_not_requested_alone(console: ServedConsole) -> None:
    answer = await console.http.post("/jobs", json=REQUEST | {"suite_id": "s", "suite_size": 3})
    assert answer.status_code == 422
    assert [each["path"] for each in answer.json()["errors"]] == ["$.suite_id", "$.suite_size"]


async def test_a_rejected_configuration_names_the_path_of_everything_wrong(console: ServedConsole) -> None:
    wrong = REQUEST | {"config": {"benchmark_name": "WIT", "num_qubits": 1, "shots": "many"}}
    answer = await console.http.post("/jobs", json=wrong)
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert (problem["title"], problem["status"]) == ("Unprocessable Entity", 422)
    assert {each["path"] for each in problem["errors"]} == {"$.config.num_qubits", "$.config.shots"}


async def test_what_is_no_request_at_all_names_its_paths(console: ServedConsole) -> None:
    answer = await console.http.post("/jobs", json={"device": "", "config": 1})
    assert {each["path"] for each in answer.json()["errors"]} == {"$.provider", "$.device", "$.config"}
    assert (await console.http.post("/jobs", content=b"{")).status_code == 422


HALF = '{"benchmark_name": "WIT", "x": [{"\\ud800": "\\udfff"}]}'


@pytest.mark.parametrize(
    ("path", "more"),
    [
        ("/jobs", f'"config": {HALF}'),
        ("/estimates", f'"config": {HALF}'),
        ("/suites", f'"suite": {{"name": "s", "benchmarks": [{{"name": "a", "config": {HALF}}}]}}'),
        ("/schedules", f'"name": "s", "cron": "@daily", "config": {HALF}'),
    ],
)
async def test_half_a_character_is_refused_wherever_it_is(console: ServedConsole, path: str, more: str) -> None:
    body = f'{{"provider": "local", "device": "aer_simulator", {more}}}'.encode()
    answer = await console.http.post(path, content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 422, answer.text
    assert answer.json()["errors"]


@pytest.mark.parametrize(
    "path", ["/jobs/none", "/jobs/none/record", "/suites/none", "/benchmarks/none/schema", "/none"]
)
async def test_what_is_not_there_is_a_problem_document(console: ServedConsole, path: str) -> None:
    answer = await console.http.get(path)
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"


async def test_pages_follow_each_other_without_gap_or_repetition(console: ServedConsole) -> None:
    ids = [f"job-{number:02}" for number in range(7)]
    for job_id in ids:
        await console.http.post("/jobs", json=REQUEST | {"job_id": job_id})
    await asyncio.gather(*(exported(console, job_id) for job_id in ids))
    for sort in ("newest", "oldest"):
        found: list[str] = []
        after = ""
        while True:
            page = (await console.http.get("/jobs", params={"limit": 3, "sort": sort, "after": after})).json()
            found += [job["id"] for job in page["jobs"]]
            if (after := page["next"]) is None:
                break
        assert sorted(found) == ids
        created = [(await console.store.jobs.get(job_id)).created_at for job_id in found]
        assert created == sorted(created, reverse=sort == "newest")


async def test_jobs_are_filtered_by_every_column(console: ServedConsole) -> None:
    await console.http.post(
        "/jobs", json=REQUEST | {"job_id": "one", "remarks": "the (first)", "tags": ["night", "cold"]}
    )
    await console.http.post("/jobs", json=REQUEST | {"job_id": "two", "device": "fake_manila", "config": WIT})
    await console.http.post("/jobs", json=REQUEST | {"job_id": "three", "device": "nowhere"})
    async with asyncio.timeout(PATIENCE):
        for job_id in ("two", "three"):
            async for _ in watch(console.store, job_id):
                pass
    await exported(console, "one")

    async def ids(**query: Any) -> set[str]:
        answer = await console.http.get("/jobs", params=query)
        return {job["id"] for job in answer.raise_for_status().json()["jobs"]}

    assert await ids(state="rejected") == {"three"}
    assert await ids(state=["rejected", "exported"]) >= {"one", "three"}
    assert await ids(benchmark="WIT") == {"one", "two", "three"}
    assert await ids(device="fake_manila") == {"two"}
    assert await ids(provider="local", device="aer_simulator") == {"one"}
    assert await ids(text="(FIRST)") == {"one"}
    assert await ids(text="tw") == {"two"}
    assert await ids(since="2100-01-01T00:00:00Z") == set()
    assert await ids(until="2100-01-01") == {"one", "two", "three"}
    assert await ids(suite="none") == set()
    assert await ids(held=True) == set()
    assert await ids(tag="cold") == await ids(tag=["night", "cold"]) == {"one"}
    assert await ids(tag=["night", "warm"]) == set()
    score = (await console.store.jobs.get("one")).result["score"]["value"]  # type: ignore[index]
    assert await ids(least_score=score) == await ids(most_score=score) == {"one"}
    assert await ids(least_score=score + 0.001) == await ids(most_score=score - 0.001) == set()
    assert (await console.http.get("/jobs", params={"least_score": "nan"})).status_code == 422


async def test_results_are_tidy_rows_in_every_format(console: ServedConsole) -> None:
    await console.http.post("/jobs", json=REQUEST | {"job_id": "one"})
    await exported(console, "one")
    rows = (await console.http.get("/results")).json()
    [row] = [each for each in rows if each["metric"] == "expectation_value"]
    result = (await console.store.jobs.get("one")).result or {}
    assert (row["value"], row["uncertainty"]) == tuple(result["expectation_value"].values())
    header, *lines = (await console.http.get("/results", params={"format": "csv"})).text.splitlines()
    assert header.startswith("job_id,benchmark_name,provider")
    assert len(lines) == len(rows)
    found = await console.http.get("/results", params={"format": "parquet", "metric": "expectation_value"})
    table = pyarrow.parquet.read_table(io.BytesIO(found.content))
    assert table.to_pylist() == [row]
    assert (await console.http.get("/results", params={"benchmark": "none"})).json() == []


async def test_an_estimate_is_answered_by_a_dispatcher_with_the_predicted_score(console: ServedConsole) -> None:
    wanted = {"provider": "local", "device": "aer_simulator", "config": WIT, "predict": True}
    answer = (await console.http.post("/estimates", json=wanted)).json()
    assert (answer["estimate"]["circuit_count"], answer["estimate"]["shots"]) == (1, 100)
    assert answer["predicted_by"] == "local/aer_simulator"
    assert 0 < answer["predicted"]["expectation_value"]["value"] <= 1
    assert (await console.http.get("/jobs")).json()["jobs"] == []


async def test_an_estimate_of_what_cannot_run_says_why(console: ServedConsole) -> None:
    answer = await console.http.post("/estimates", json={"provider": "local", "device": "nowhere", "config": WIT})
    assert answer.status_code == 422
    [mistake] = answer.json()["errors"]
    assert mistake["path"] == "$.device"
    assert "nowhere" in mistake["message"]


async def test_a_suite_is_requested_and_looked_at(console: ServedConsole) -> None:
    wanted = {"suite_id": "s", "provider": "local", "device": "aer_simulator", "suite": SUITE}
    accepted = await console.http.post("/suites", json=wanted)
    assert (accepted.status_code, accepted.json()["jobs"]) == (202, 2)
    await exported(console, "s.001-a")
    await exported(console, "s.002-b")
    found = (await console.http.get("/suites/s")).json()
    assert (found["size"], found["ended"], found["suite_name"]) == (2, 2, "Two")


async def test_a_finished_job_is_deleted_and_its_id_stays_taken(console: ServedConsole) -> None:
    await console.http.post("/jobs", json=REQUEST | {"job_id": "one"})
    await exported(console, "one")
    assert (await console.http.post("/jobs/one/cancel")).status_code == 409
    assert (await console.http.delete("/jobs/one")).status_code == 204
    assert (await console.http.get("/jobs/one")).status_code == 404
    again = await console.http.post("/jobs", json=REQUEST | {"job_id": "one"})
    assert again.status_code == 422
    assert again.json()["errors"][0]["path"] == "$.job_id"


async def test_status_says_how_the_work_stands(console: ServedConsole) -> None:
    await console.http.post("/jobs", json=REQUEST | {"job_id": "one"})
    await exported(console, "one")
    await console.store.parked.park("tyxonq", "HTTP 401", 60)
    found = (await console.http.get("/status")).json()
    assert [(each["provider"], each["reason"]) for each in found["parked"]] == [("tyxonq", "HTTP 401")]
    assert [(each["state"], each["count"]) for each in found["jobs"]] == [("exported", 1)]
    assert (found["held"], found["dead_letters"]) == ([], 0)


async def moves(stream: httpx.Response, until: str) -> list[dict[str, Any]]:
    """Return the moves of jobs that a stream tells of, up to one into a state."""
    found: list[dict[str, Any]] = []
    async with asyncio.timeout(PATIENCE):
        async for line in stream.aiter_lines():
            if line.startswith("id: "):
                last = line.removeprefix("id: ")
            elif line.startswith("data: "):
                event = json.loads(line.removeprefix("data: "))
                if event.get("moved"):
                    found.append(event | {"id": last})
                    if event["state"] == until:
                        return found
    raise AssertionError("the stream ended")


STATES = ["dispatching", "dispatched", "completed", "scored", "exported"]


async def test_events_tell_every_move_of_a_job_as_it_happens(console: ServedConsole) -> None:
    async with console.http.stream("GET", "/jobs/one/events") as stream:
        await console.http.post("/jobs", json=REQUEST | {"job_id": "other"})
        await console.http.post("/jobs", json=REQUEST | {"job_id": "one"})
        told = await moves(stream, "exported")
    assert [event["state"] for event in told] == STATES
    assert {event["job_id"] for event in told} == {"one"}


@pytest.mark.parametrize("restarted", [False, True])
async def test_a_viewer_that_comes_back_gets_what_it_has_missed(console: ServedConsole, restarted: bool) -> None:
    """From the memory of the process, or after a restart from the store."""
    async with console.http.stream("GET", "/events") as stream:
        await console.http.post("/jobs", json=REQUEST | {"job_id": "one"})
        first = (await moves(stream, "dispatching"))[-1]
    await exported(console, "one")
    if restarted:
        await console.restart()
    async with console.http.stream("GET", "/events", headers={"Last-Event-ID": first["id"]}) as stream:
        told = await moves(stream, "exported")
    assert [event["state"] for event in told] == STATES[1:]


async def test_an_event_that_there_never_was_resets_the_viewer(console: ServedConsole) -> None:
    async with console.http.stream("GET", "/events", headers={"Last-Event-ID": "00"}) as stream:
        async with asyncio.timeout(PATIENCE):
            async for line in stream.aiter_lines():
                if line == "event: reset":
                    break


async def test_many_viewers_share_one_change_stream(console: ServedConsole) -> None:
    opened = 0
    real = console.store.changes._open

    def counted(*args: Any, **options: Any) -> Any:
        nonlocal opened
        opened += 1
        return real(*args, **options)

    console.store.changes._open = counted  # type: ignore[method-assign]
    async with asyncio.TaskGroup() as group:

        async def view() -> None:
            async with console.http.stream("GET", "/events") as stream:
                assert (await moves(stream, "exported"))[-1]["job_id"] == "one"

        for _ in range(20):
            group.create_task(view())
        while console.viewers < 20:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
        await console.http.post("/jobs", json=REQUEST | {"job_id": "one"})
    assert opened == 0


async def test_what_can_be_asked_of_a_path_is_told(console: ServedConsole) -> None:
    told = await console.http.options("/jobs")
    assert (told.status_code, told.headers["allow"]) == (204, "GET, HEAD, OPTIONS, POST")
    refused = await console.http.patch("/jobs", json={})
    assert (refused.status_code, refused.headers["allow"]) == (405, "GET, HEAD, OPTIONS, POST")
    assert refused.headers["content-type"] == "application/problem+json"
    assert (await console.http.get("/jobs/x/cancel")).headers["allow"] == "OPTIONS, POST"


@pytest.mark.parametrize(
    ("path", "status"), [("/jobs", 200), ("/events", 200), ("/jobs/nothing", 404), ("/jobs/x/cancel", 405)]
)
async def test_a_head_is_answered_as_a_get_without_its_body(console: ServedConsole, path: str, status: int) -> None:
    head = await console.http.head(path)
    assert (head.status_code, head.content) == (status, b"")
    if path != "/events":
        assert head.headers["content-type"] == (await console.http.get(path)).headers["content-type"]
