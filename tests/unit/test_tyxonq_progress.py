"""Asking TyxonQ how tasks are doing: every kind of answer, in little time, and not too many questions."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from metriq_gym.errors import Permanent, Transient
from metriq_gym.providers.provider import Compiled, Ended, Finished, NotNow, Overview, Progress, Unclear, Waiting
from metriq_gym.providers.tyxonq import progress
from metriq_gym.providers.tyxonq.client import TyxonQClient
from metriq_gym.providers.tyxonq.errors import Unreachable
from metriq_gym.providers.tyxonq.pace import Pace
from metriq_gym.providers.tyxonq.progress import STRIKES, overview_of, progress_of
from metriq_gym.providers.tyxonq.provider import TyxonQProvider
from tests.support.tyxonq import TOKEN, URL, Service, ok

Tell = Callable[[str], httpx.Response]


class Cloud:
    """Answers by task, and knows how often it was asked."""

    def __init__(self, tell: Tell) -> None:
        self.asked: list[str] = []
        self._tell = tell

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(json.loads(request.content)["task_id"])
        return self._tell(self.asked[-1])

    def client(self, **options: Any) -> TyxonQClient:
        return TyxonQClient(SecretStr(TOKEN), URL, transport=httpx.MockTransport(self), **options)


async def said(answer: httpx.Response) -> Progress:
    client = Cloud(lambda _: answer).client()
    return (await progress_of(client, {"t": 10}, 5))["t"]


def told(**task: Any) -> httpx.Response:
    return ok({"success": True, "task": task})


@pytest.mark.parametrize("state", ["scheduled", "pending", "running", "active", "hold", "Running "])
async def test_a_task_under_way_is_waiting(state: str) -> None:
    assert await said(told(state=state)) == Waiting()


async def test_a_completed_task_is_finished_with_counts_and_seconds() -> None:
    answer = told(state="completed", result={"01": 4, "10": 6}, runDur=2_500_000)
    assert await said(answer) == Finished({"01": 4, "10": 6}, 2.5)


async def test_a_failed_task_has_ended_for_the_reason_given() -> None:
    assert await said(told(state="failed", err="syntax error in line 3")) == Ended("syntax error in line 3")


@pytest.mark.parametrize("device", ["homebrew_s2?o=3&dry", "homebrew_s2", None])
@pytest.mark.parametrize("result", [None, {}, "OPENQASM 2.0;", {"00": 10}, {"qasm": "OPENQASM 2.0;"}])
async def test_a_dry_run_is_compiled_whatever_it_is_answered_with(result: Any, device: str | None) -> None:
    answer = told(id="t", state="completed", device=device, result=result, depth=3, qubits=2, strange={"a.b": [1, 2]})
    client = Cloud(lambda _: answer).client()
    compiled = (await progress_of(client, {"t": 0}, 5))["t"]
    assert isinstance(compiled, Compiled)
    assert list(compiled.said)[:2] == ["qubits", "depth"]
    assert compiled.said.keys() - {"device", "result"} == {"qubits", "depth", "strange"}
    assert json.dumps(compiled.said)


@pytest.mark.parametrize(
    "odd",
    [
        {"runDur": 10**400},
        {"runDur": 1e999},
        {"device": ["homebrew_s2"]},
        {"device": "d" * 5000},
        {"err": [[], [""]]},
        {"err": " "},
        {"depth": 10**400},
        {"ts": [[[{}]]]},
        {"": None, "$memo": {"a.b\0": 10**400}},
    ],
    ids=lambda odd: str(odd)[:40],
)
async def test_what_is_odd_beside_the_counts_costs_no_result_that_was_paid_for(odd: dict[str, Any]) -> None:
    text = json.dumps({"success": True, "task": {"id": "t", "state": "completed", "result": {"0": 10}, **odd}})
    text = text.replace("Infinity", "1e999")
    answer = httpx.Response(200, content=text, headers={"content-type": "application/json"})
    assert await said(answer) == Finished({"0": 10}, None)


async def test_what_is_said_of_one_task_costs_the_others_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def counts_of(task: Any, shots: int) -> dict[str, int]:
        return {"0": 10} if task.id == "good" else {}[task.id]

    monkeypatch.setattr(progress, "counts_of", counts_of)
    client = Cloud(lambda name: told(id=name, state="completed", result={"0": 10})).client()
    answers = await progress_of(client, {"odd": 10, "good": 10}, 5)
    assert answers["good"] == Finished({"0": 10}, None)
    assert isinstance(answers["odd"], Unclear)


async def test_a_task_that_was_to_be_run_is_not_finished_without_counts() -> None:
    assert isinstance(await said(told(state="completed", device="homebrew_s2?o=3&dry", result=None)), Unclear)


@pytest.mark.parametrize("state", ["failed", "error"])
async def test_a_dry_run_that_fails_ends_with_its_error(state: str) -> None:
    client = Cloud(lambda _: told(state=state, err="no such gate")).client()
    assert (await progress_of(client, {"t": 0}, 5))["t"] == Ended("no such gate")


HOSTILE = {
    "unknown state": told(state="meditating"),
    "no state": told(),
    "no task": ok({"success": True}),
    "another task": told(id="u", state="completed", result={"0": 1}),
    "no counts": told(state="completed", result=None),
    "more counts than shots": told(state="completed", result={"0": 11}),
    "negative counts": told(state="completed", result={"0": -1}),
    "no bitstrings": told(state="completed", result={"up": 3}),
    "bitstrings of two lengths": told(state="completed", result={"0": 3, "11": 3}),
    "refused": httpx.Response(404, json={"detail": "there is no such task"}),
    "refused in other words": ok({"err": "no"}),
}


@pytest.mark.parametrize("answer", HOSTILE.values(), ids=HOSTILE)
async def test_what_is_not_understood_is_unclear(answer: httpx.Response) -> None:
    assert isinstance(await said(answer), Unclear)


NO_ANSWERS = {
    "a list": ok([1, 2]),
    "no JSON": httpx.Response(200, content=b'{"task": {"sta', headers={"content-type": "application/json"}),
    "a page": httpx.Response(200, html="<h1>Welcome</h1>"),
    "a gateway's page": httpx.Response(404, html="<h1>nginx</h1>"),
    "elsewhere": httpx.Response(307, headers={"location": "https://example.org"}),
}


@pytest.mark.parametrize("answer", NO_ANSWERS.values(), ids=NO_ANSWERS)
async def test_what_is_no_answer_of_the_service_says_nothing_about_the_task(answer: httpx.Response) -> None:
    assert isinstance(await said(answer), NotNow)


@pytest.mark.parametrize("status", [401, 403, 500, 502, 503, 504, 408])
async def test_a_service_in_trouble_cannot_be_asked_now(status: int) -> None:
    assert isinstance(await said(httpx.Response(status, html="<h1>no</h1>")), NotNow)


async def test_a_pause_that_the_service_asks_for_is_passed_on_without_asking_again() -> None:
    cloud = Cloud(lambda _: httpx.Response(429, headers={"Retry-After": "7"}, json={}))
    client = cloud.client(concurrency=1)
    (answer,) = (await progress_of(client, {f"t{n}": 1 for n in range(20)}, 5)).values()
    assert isinstance(answer, NotNow)
    assert answer.retry_after == 7
    assert len(cloud.asked) == 1


async def test_a_service_that_is_down_is_asked_a_few_times_only() -> None:
    cloud = Cloud(lambda _: httpx.Response(503))
    client, clock = cloud.client(concurrency=1), iter(range(0, 1000, 10))
    client.pace = Pace(lambda: next(clock))
    answers = await progress_of(client, {f"t{n}": 1 for n in range(100)}, 5)
    assert len(cloud.asked) == len(answers) == STRIKES


async def test_one_task_that_always_fails_does_not_keep_the_others_from_being_asked_about() -> None:
    cloud = Cloud(lambda task_id: httpx.Response(500) if task_id.endswith("7") else told(state="running"))
    answers = await progress_of(cloud.client(concurrency=3), {f"t{n}": 1 for n in range(40)}, 5)
    assert len(answers) == 40
    assert sum(isinstance(each, NotNow) for each in answers.values()) == 4


async def slow(request: httpx.Request) -> httpx.Response:
    if json.loads(request.content)["task_id"] != "quick":
        await asyncio.sleep(60)
    return told(state="running")


async def test_an_answer_that_never_comes_is_told_from_what_there_was_no_time_for() -> None:
    client = TyxonQClient(SecretStr(TOKEN), URL, transport=httpx.MockTransport(slow), concurrency=2)
    said = await progress_of(client, {"quick": 1, "slow": 1, "slower": 1, "slowest": 1}, 2)
    assert said.keys() == {"quick", "slow", "slower"}
    assert said["quick"] == Waiting()
    for answer in (said["slow"], said["slower"]):
        assert isinstance(answer, NotNow)
        assert "no whole answer within 1.5 s" in answer.reason


async def test_the_list_tells_who_waits_and_who_has_ended_and_nothing_of_unknown_states() -> None:
    states = {"a": "pending", "b": "completed", "c": "failed", "d": "meditating", "e": "Running", "f": None}
    rows = [{"job_name": name, "status": status, "device": 7} for name, status in states.items()]
    service = Service(ok({"tasks": [*rows, {"status": "pending"}, {"job_name": None}]}))
    overview = await overview_of(service.client())
    assert overview == Overview(frozenset({"a", "e"}), frozenset({"b", "c"}))
    assert service.bodies == [{"task_type": "quantum_api"}]


async def test_rows_that_make_no_sense_cost_the_others_nothing() -> None:
    rows = [{"job_name": "a", "status": "pending"}, {"job_name": ["x"]}, {"job_name": "b", "status": 7}, None, 3]
    overview = await overview_of(Service(ok({"tasks": rows})).client())
    assert overview == Overview(frozenset({"a"}), frozenset())


async def test_a_task_that_is_listed_twice_is_asked_about() -> None:
    rows = [{"job_name": "a", "status": status} for status in ("completed", "running")]
    overview = await overview_of(Service(ok({"tasks": rows})).client())
    assert overview == Overview(frozenset(), frozenset({"a"}))


@pytest.mark.parametrize("answer", [ok({"error": "no"}), httpx.Response(404, json={"detail": "no"})], ids=str)
async def test_a_list_that_is_refused_ends_no_job(answer: httpx.Response) -> None:
    with pytest.raises(Transient, match="no"):
        await TyxonQProvider(Service(answer).client()).listing()


@pytest.mark.parametrize("answer", [httpx.Response(500), ok({"tasks": 7}), ok({}), ok({"err": "no"})])
async def test_a_list_of_no_use_is_asked_for_once(answer: httpx.Response) -> None:
    service = Service(answer)
    with pytest.raises((Transient, Permanent)):
        await TyxonQProvider(service.client()).overview()
    assert len(service.requests) == 1


async def test_a_submission_that_gets_no_turn_is_certainly_not_sent() -> None:
    from metriq_gym.providers.tyxonq import client as module
    from metriq_gym.providers.tyxonq.device_string import DeviceString
    from metriq_gym.providers.tyxonq.models import TaskRequest

    service = Service(ok({"id": "x"}))
    client = service.client(concurrency=1)
    await client._slots.acquire()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "SLOT_SECONDS", 0.01)
        with pytest.raises(Unreachable, match="not its turn"):
            await client.submit(TaskRequest(device=DeviceString("d"), source="x", shots=1))
    assert not service.requests
    client._slots.release()
    assert (await client.submit(TaskRequest(device=DeviceString("d"), source="x", shots=1))).id == "x"


async def test_no_more_requests_are_sent_than_the_operator_allows() -> None:
    cloud = Cloud(lambda _: told(state="running"))
    client = cloud.client(requests_per_second=20)
    began = time.monotonic()
    answers = await progress_of(client, {f"t{n}": 1 for n in range(1000)}, 0.5)
    flowed_in = 20 * (time.monotonic() - began)  # however long a busy machine makes of half a second
    assert 0 < len(answers) <= 20 + flowed_in + 1


async def test_a_service_that_answers_one_request_a_second_gets_few_more_and_no_task_is_in_doubt() -> None:
    """Virtual time: the loop's clock does not matter."""
    seconds, free_at, refused = 0.0, 0.0, 0

    async def sleep(pause: float) -> None:
        nonlocal seconds
        seconds += pause
        await asyncio.sleep(0)

    def tell(_: str) -> httpx.Response:
        nonlocal free_at, refused
        if seconds < free_at:
            refused += 1
            return httpx.Response(429, json={})
        free_at = seconds + 1.0
        return told(state="completed", result={"0": 10})

    client = Cloud(tell).client(concurrency=1)
    client.pace = Pace(lambda: seconds, sleep)
    left = {f"t{n}": 10 for n in range(30)}
    while left:
        for task_id, answer in (await progress_of(client, left, 60)).items():
            if isinstance(answer, Finished):
                del left[task_id]
            else:
                assert answer == NotNow("TyxonQ answered with HTTP 429")
    assert seconds < 90
    assert refused < 30
