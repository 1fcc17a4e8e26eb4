"""The TyxonQ client against a service that gives the documented answers, odd ones, hostile ones and none."""

from __future__ import annotations

import asyncio
import json
import pickle
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from typing import Any

import httpx
import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr, ValidationError

from metriq_gym.errors import FailureClass, MetriqGymError, Permanent, SubmissionAmbiguous, Transient, classify
from metriq_gym.providers.provider import TryLater
from metriq_gym.providers.tyxonq import client as client_module
from metriq_gym.providers.tyxonq import transport
from metriq_gym.providers.tyxonq.calibration import Calibration
from metriq_gym.providers.tyxonq.client import TyxonQClient
from metriq_gym.providers.tyxonq.device_string import DeviceString
from metriq_gym.providers.tyxonq.errors import (
    AuthenticationFailed,
    NoAnswer,
    ProtocolError,
    RateLimited,
    TyxonQRefused,
    Unreachable,
)
from metriq_gym.providers.tyxonq.models import TaskDetail, TaskRequest, TaskRow
from metriq_gym.telemetry.metrics import REGISTRY
from tests.support.tyxonq import HOMEBREW, TOKEN, URL, Answer, Service, ok

BELL = TaskRequest(device=DeviceString("homebrew_s2", 3), source="OPENQASM 2.0;", shots=100, remarks="job:0", prior=2)
ACCEPTED = {"id": "job_1", "job_name": "job_1", "status": "排队中", "user_id": "7", "success": True, "error": None}
DETAIL = {
    "success": True,
    "task": {
        "id": "job_1",
        "queue": "quregenai.lab",
        "device": "homebrew_s2?o=3",
        "qubits": 2,
        "depth": 3,
        "state": "completed",
        "shots": 100,
        "at": 1754275505649825,
        "ts": {"completed": 1754275505649825, "pending": 1754275502265270, "scheduled": 1754275502260031},
        "md5": "f31a82f44a53bc8fa6e08ef0c6a34d53",
        "runAt": 1754275488761744,
        "runDur": 2532053,
        "atChip": 1754275446369691,
        "durChip": 120185,
        "result": {"00": 33, "01": 2, "10": 4, "11": 61},
        "task_type": "quantum_api",
    },
}
ROW = {
    "task_id": "17",
    "task_type": "quantum_api",
    "status": "completed",
    "parameters": "",
    "result": "",
    "job_name": "job_1",
    "device": "homebrew_s2?o=3",
    "created_at": "",
    "updated_at": "",
    "completed_at": "",
}

Call = Callable[[TyxonQClient], Awaitable[Any]]
READS: dict[str, Call] = {
    "devices": lambda client: client.devices(),
    "detail": lambda client: client.detail("job_1"),
    "list": lambda client: client.list_tasks(),
}
CALLS: dict[str, Call] = {**READS, "submit": lambda client: client.submit(BELL)}
reads = pytest.mark.parametrize("call", READS.values(), ids=READS)
calls = pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)


def html(status: int) -> httpx.Response:
    return httpx.Response(status, html="<h1>gateway</h1>")


def truncated(status: int = 200) -> httpx.Response:
    return httpx.Response(status, content=b'{"success": true, "id": "jo', headers={"content-type": "application/json"})


# What is asked for


async def test_every_endpoint_is_posted_to_with_the_bearer_token() -> None:
    for call, answer, path in (
        (READS["devices"], {"devices": []}, "api/v1/devices/list"),
        (READS["detail"], DETAIL, "api/v1/tasks/detail"),
        (READS["list"], {"tasks": []}, "api/v1/tasks/api_key/list"),
        (CALLS["submit"], ACCEPTED, "api/v1/tasks/submit_task"),
    ):
        service = Service(ok(answer))
        await call(service.client())
        (request,) = service.requests
        assert (request.method, str(request.url)) == ("POST", URL + path)
        assert request.headers["authorization"] == f"Bearer {TOKEN}"
        assert request.headers["content-type"] == "application/json"


async def test_base_url_may_lack_the_slash_at_its_end() -> None:
    service = Service(ok({"devices": []}))
    async with TyxonQClient(SecretStr(TOKEN), URL[:-1], transport=httpx.MockTransport(service)) as client:
        await client.devices()
    assert str(service.requests[0].url) == URL + "api/v1/devices/list"


async def test_submission_sends_every_documented_field_that_is_set() -> None:
    service = Service(ok(ACCEPTED))
    await service.client().submit(BELL)
    assert service.bodies == [
        {
            "device": "homebrew_s2?o=3",
            "shots": 100,
            "source": "OPENQASM 2.0;",
            "lang": "OPENQASM",
            "version": "1",
            "prior": 2,
            "remarks": "job:0",
        }
    ]


@pytest.mark.parametrize("wrong", [{"shots": 0}, {"shots": 1_000_001}, {"prior": 0}, {"prior": 11}, {"source": ""}])
def test_submission_outside_the_documented_bounds_cannot_be_made(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        TaskRequest(**{"device": BELL.device, "source": "x", "shots": 1} | wrong)


async def test_list_leaves_filtering_by_device_to_the_caller_unless_asked() -> None:
    service = Service(ok({"tasks": []}))
    client = service.client()
    await client.list_tasks()
    await client.list_tasks(device="homebrew_s2")
    assert service.bodies == [
        {"task_type": "quantum_api"},
        {"task_type": "quantum_api", "device": "homebrew_s2"},
    ]


# Answers that are understood


async def test_devices_need_no_success_field_and_keep_what_is_unknown() -> None:
    (device,) = await Service(ok({"devices": [HOMEBREW | {"memo": "quiet today"}]})).client().devices()
    assert (device.id, device.qubits, device.state) == ("homebrew_s2", 13, "running")
    assert device.calibration.metadata() == {
        "t1_us": 84.44615173339844,
        "t2_us": 45.41538619995117,
        "single_qubit_gate_error": 0.0007843076923076923,
        "cz_gate_error": 0.009009666666666666,
        "readout_error_0": 0.016538461538461537,
        "readout_error_1": 0.04118461538461538,
    }
    assert device.model_extra == {"memo": "quiet today"}


@pytest.mark.parametrize(
    "row", [{"id": "d"}, {"id": "d", "T1": None, "Err": None}, {"id": "d", "Err": {"Readout": {}}}]
)
async def test_device_without_calibration_is_still_a_device(row: dict[str, Any]) -> None:
    (device,) = await Service(ok({"devices": [row]})).client().devices()
    assert device.calibration.metadata() == {}


async def test_task_detail_holds_every_documented_field() -> None:
    task = await Service(ok(DETAIL)).client().detail("job_1")
    assert task.model_dump(by_alias=True, exclude={"err"}) == DETAIL["task"]
    assert task.model_extra == {}


async def test_list_rows_carry_the_task_id_in_job_name() -> None:
    listed = await Service(ok({"tasks": [ROW | {"remarks": "job:0", "new": 1}]})).client().list_tasks()
    (row,) = listed.tasks
    assert (row.job_name, row.status, row.device, row.remarks) == ("job_1", "completed", "homebrew_s2?o=3", "job:0")
    assert row.model_extra == {"new": 1}
    assert not listed.says_there_is_more


@pytest.mark.parametrize("sign", [{"total": 2}, {"count": 2}, {"has_more": True}, {"next": "page-2"}])
async def test_list_that_is_visibly_one_page_says_so(sign: dict[str, Any]) -> None:
    listed = await Service(ok({"tasks": [ROW], **sign})).client().list_tasks()
    assert listed.says_there_is_more


async def test_accepted_submission_gives_the_id_whatever_the_localised_status() -> None:
    submitted = await Service(ok(ACCEPTED)).client().submit(BELL)
    assert (submitted.id, submitted.status) == ("job_1", "排队中")


async def test_failed_task_is_an_answer_even_if_success_is_false() -> None:
    task = await Service(ok({"success": False, "task": {"id": "job_1", "err": "line 3"}})).client().detail("job_1")
    assert task.err == "line 3"


# Refusals, in every shape


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        ({"success": False, "error": "no such gate"}, "no such gate"),
        ({"error": {"code": 3, "text": "no such gate"}}, "no such gate"),
        ({"detail": "no such gate"}, "no such gate"),
        ({"detail": [{"loc": ["shots"], "msg": "too few"}, "and more"]}, "too few.*; and more"),
        ({"err": "no such gate"}, "no such gate"),
        ({"success": False}, "without a reason"),
        ({"success": False, "message": "no such gate"}, "no such gate"),
        ({"success": False, "code": 400, "msg": "no such gate"}, "400: no such gate"),
    ],
)
@calls
async def test_refusal_with_status_200_is_an_error_with_its_reason(
    call: Call, document: dict[str, Any], reason: str
) -> None:
    service = Service(ok(document))
    with pytest.raises(TyxonQRefused, match=reason):
        await call(service.client())
    assert len(service.requests) == 1


@calls
@pytest.mark.parametrize(
    "named",
    [
        lambda code: {"success": False, "code": code, "message": "no"},
        lambda code: {"status": code, "detail": "no"},
        lambda code: {
            "error": {"code": code, "message": "no"},
            "tasks": None,
            "devices": None,
            "task": None,
            "id": None,
        },
    ],
)
async def test_an_error_within_a_success_is_taken_by_the_status_that_it_names(
    call: Call, named: Callable[[int], dict[str, Any]]
) -> None:
    with pytest.raises(RateLimited):
        await Service(ok(named(429))).client().submit(BELL)
    for code, error in ((401, AuthenticationFailed), (503, Unreachable), (429, RateLimited)):
        expected = SubmissionAmbiguous if call is CALLS["submit"] and code == 503 else error
        client = Service(ok(named(code))).client()
        with pytest.raises(expected, match=f"{code}.*no"):
            await call(client)
        assert (client.credential.trouble is not None) == (code == 401)


async def test_what_was_asked_for_is_no_error_whatever_number_stands_beside_it() -> None:
    assert (await Service(ok(ACCEPTED | {"code": 429})).client().submit(BELL)).id == "job_1"
    assert (await Service(ok(DETAIL | {"status": 500})).client().detail("job_1")).state == "completed"
    assert await Service(ok({"tasks": [], "code": 404})).client().list_states() == ()
    assert await Service(ok({"devices": [], "code": 404})).client().devices() == ()


@calls
@pytest.mark.parametrize("status", [400, 405, 413, 422])
async def test_client_errors_are_final(call: Call, status: int) -> None:
    service = Service(httpx.Response(status, json={"detail": "no"}))
    with pytest.raises(TyxonQRefused, match=str(status)) as caught:
        await call(service.client())
    assert isinstance(caught.value, Permanent)
    assert len(service.requests) == 1


@calls
@pytest.mark.parametrize("status", [401, 402, 403])
async def test_what_concerns_the_credential_parks_all_of_its_work(call: Call, status: int) -> None:
    """Also where a gateway says it."""
    for answer in (httpx.Response(status, json={"detail": "no"}), html(status), truncated(status)):
        service = Service(answer)
        client = service.client()
        for _ in range(3):
            with pytest.raises(AuthenticationFailed, match=str(status)) as caught:
                await call(client)
        assert classify(caught.value) is FailureClass.WAITING
        assert len(service.requests) == 1
        assert client.credential.trouble is not None
        assert str(status) in client.credential.trouble.reason


@pytest.mark.parametrize("body", [{"json": {"detail": "no such device"}}, {"html": "<h1>nginx</h1>"}])
@pytest.mark.parametrize("status", [404, 407, 421, 423, 425])
async def test_a_submission_that_the_service_is_away_for_was_not_accepted_and_is_sent_later(
    status: int, body: dict[str, Any]
) -> None:
    service = Service(httpx.Response(status, headers={"retry-after": "3"}, **body))
    with pytest.raises(TryLater, match=str(status)) as caught:
        await service.client().submit(TaskRequest(device=DeviceString("d"), source="x", shots=1))
    assert caught.value.retry_after == 3
    assert len(service.requests) == 1


@pytest.mark.parametrize("body", [{"json": {"detail": "it exists"}}, {"html": "<h1>nginx</h1>"}])
@pytest.mark.parametrize("status", [408, 409])
async def test_a_submission_that_collides_may_have_been_accepted(status: int, body: dict[str, Any]) -> None:
    service = Service(httpx.Response(status, **body))
    with pytest.raises(SubmissionAmbiguous, match=str(status)):
        await service.client().submit(TaskRequest(device=DeviceString("d"), source="x", shots=1))
    assert len(service.requests) == 1


@calls
@pytest.mark.parametrize("status", [400, 405, 422])
async def test_a_gateways_page_is_no_answer_of_the_service_and_refuses_nothing(call: Call, status: int) -> None:
    for answer in (html(status), truncated(status)):
        with pytest.raises(NoAnswer, match=str(status)) as caught:
            await call(Service(answer).client())
        assert isinstance(caught.value, Transient)


# Reads are asked again


@reads
@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(500),
        httpx.Response(503, json={"error": "busy"}),
        httpx.Response(429),
        httpx.Response(408),
        httpx.ConnectError("refused"),
        httpx.ReadTimeout("slow"),
        httpx.RemoteProtocolError("server disconnected"),
        html(200),
        html(502),
        truncated(),
        ok([1]),
        ok({"unexpected": 1}),
        httpx.Response(302, headers={"location": "https://elsewhere.test/"}),
    ],
    ids=str,
)
async def test_reads_are_tried_three_times_and_then_the_error_is_transient(call: Call, answer: Answer) -> None:
    service = Service(answer)
    with pytest.raises(Transient):
        await call(service.client())
    assert len(service.requests) == 3
    assert len(service.pauses) == 2
    assert {request.url.host for request in service.requests} == {"tyxonq.test"}


async def test_read_that_succeeds_at_last_is_answered() -> None:
    service = Service(httpx.Response(500), httpx.ReadError("reset"), ok({"devices": [HOMEBREW]}))
    assert [device.id for device in await service.client().devices()] == ["homebrew_s2"]


@pytest.mark.parametrize(
    ("header", "seconds"),
    [("7", 7), ("0.5", 0.5), ("-3", 0), ("Fri, 20 Nov 2026 12:00:05 GMT", 5), ("Fri, 20 Nov 2026 11:00:00 GMT", 0)],
)
async def test_read_waits_at_least_as_long_as_the_service_asks(header: str, seconds: float) -> None:
    service = Service(httpx.Response(429, headers={"retry-after": header}), ok({"tasks": []}))
    await service.client().list_tasks()
    (pause,) = service.pauses
    assert seconds <= pause <= seconds + 1


@pytest.mark.parametrize(
    ("header", "seconds"),
    [("60", 60.0), ("1e300", 3600.0), ("Fri, 20 Nov 2026 12:02:00 GMT", 120.0)],
)
@pytest.mark.parametrize("status", [429, 503])
async def test_long_pause_is_left_to_the_caller(header: str, seconds: float, status: int) -> None:
    service = Service(httpx.Response(status, headers={"retry-after": header}))
    with pytest.raises(TryLater) as caught:
        await service.client().detail("job_1")
    assert caught.value.retry_after == seconds
    assert len(service.requests) == 1
    assert pickle.loads(pickle.dumps(caught.value)).retry_after == seconds


async def test_a_date_to_try_again_is_by_the_clock_of_who_gave_it() -> None:
    dates = {"date": "Fri, 20 Nov 2026 12:05:00 GMT", "retry-after": "Fri, 20 Nov 2026 12:07:00 GMT"}
    with pytest.raises(TryLater) as caught:
        await Service(httpx.Response(503, headers=dates)).client().detail("job_1")
    assert caught.value.retry_after == 120


FAR_OFF = f"Fri, 20 Nov 2026 12:00:00 +{'9' * 24}"


@pytest.mark.parametrize("header", ["", "soon", "nan", "Fri, 99 Nov 2026", FAR_OFF])
async def test_retry_after_that_makes_no_sense_is_ignored(header: str) -> None:
    service = Service(httpx.Response(429, headers={"retry-after": header}))
    with pytest.raises(RateLimited) as caught:
        await service.client().detail("job_1")
    assert caught.value.retry_after is None


async def test_headers_that_make_no_sense_are_no_answer() -> None:
    odd = [(b"content-type", b"\xff\xfe"), (b"location", b"http://[::1"), (b"date", FAR_OFF.encode())]
    for status in (200, 302, 429):
        answer = httpx.Response(status, headers=[*odd, (b"retry-after", b"Fri, 20 Nov 2026 12:00:00 GMT")])
        with pytest.raises(Transient):
            await Service(answer).client().devices()


# Submissions are sent once


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(500, json={"success": False, "error": "boom"}),
        html(502),
        httpx.Response(408),
        httpx.Response(302, headers={"location": "/login"}),
        httpx.ReadTimeout("slow"),
        httpx.WriteTimeout("slow"),
        httpx.ReadError("reset"),
        httpx.WriteError("broken pipe"),
        httpx.RemoteProtocolError("disconnected"),
        html(200),
        truncated(),
        ok({}),
        ok([]),
        ok({"success": True, "id": ""}),
        ok({"success": True, "id": None}),
        ok({"success": True, "id": 5}),
        ok({"success": True, "id": "job 1"}),
        ok({"success": True, "id": "j" * 300}),
        ok({"success": True, "job_name": "job_1"}),
        ok({"success": True, "id": "job_1", "error": "but"}),
        ok({"success": False, "id": "job_1"}),
        ok({"success": False, "id": "job_1", "code": 429}),
        ok({"success": False, "code": 500, "message": "boom"}),
    ],
    ids=str,
)
async def test_submission_with_a_doubtful_answer_is_ambiguous_and_never_sent_again(answer: Answer) -> None:
    service = Service(answer)
    with pytest.raises(SubmissionAmbiguous) as caught:
        await service.client().submit(BELL)
    assert len(service.requests) == 1
    assert not isinstance(caught.value, Transient | Permanent)


@pytest.mark.parametrize(
    "failure", [httpx.ConnectError("refused"), httpx.ConnectTimeout("no route"), httpx.PoolTimeout("busy")]
)
async def test_submission_that_never_left_is_certainly_not_accepted(failure: Exception) -> None:
    service = Service(failure)
    with pytest.raises(Unreachable, match=type(failure).__name__):
        await service.client().submit(BELL)
    assert len(service.requests) == 1


async def test_submission_turned_away_by_the_rate_limit_is_certainly_not_accepted() -> None:
    service = Service(httpx.Response(429, headers={"retry-after": "3"}))
    with pytest.raises(RateLimited) as caught:
        await service.client().submit(BELL)
    assert caught.value.retry_after == 3
    assert len(service.requests) == 1


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (ok(ACCEPTED), "answered"),
        (ok({"success": False, "error": "no credit"}), "refused"),
        (httpx.Response(400, json={"detail": "bad"}), "refused"),
        (httpx.Response(401), "unauthorized"),
        (httpx.Response(429, headers={"retry-after": "3"}), "rate_limited"),
        (httpx.Response(503), "unavailable"),
        (httpx.Response(408), "unavailable"),
        (httpx.Response(200, text="<html>"), "not_understood"),
        (httpx.Response(302), "not_understood"),
        (httpx.ReadTimeout("slow"), "no_answer"),
        (httpx.ConnectError("refused"), "not_sent"),
    ],
)
async def test_calls_are_counted_by_what_came_of_them(answer: Answer, outcome: str) -> None:
    def counted() -> float:
        labels = {"provider": "tyxonq", "operation": "submit", "outcome": outcome}
        return REGISTRY.get_sample_value("metriq_provider_calls_total", labels) or 0

    before = counted()
    with suppress(MetriqGymError):
        await Service(answer).client().submit(BELL)
    assert counted() == before + 1


async def test_pauses_that_the_service_asks_for_are_measured() -> None:
    def waited() -> float:
        return (
            REGISTRY.get_sample_value("metriq_rate_limit_wait_seconds_sum", {"peer": "tyxonq", "limit": "theirs"}) or 0
        )

    before = waited()
    with suppress(MetriqGymError):
        await Service(httpx.Response(429, headers={"retry-after": "3"})).client().submit(BELL)
    assert waited() == before + 3


# Hostile answers


@reads
@pytest.mark.parametrize(
    "body",
    [
        b"[" * 100_000,
        b'{"devices":' + b"[" * 5000,
        b'{"devices": ' + b"9" * 10_000 + b"}",
        b"\xff\xfe{}",
        b'"text"',
        b"null",
        b"",
    ],
    ids=lambda body: repr(body[:20]),
)
async def test_body_that_is_no_json_object_is_a_protocol_error(call: Call, body: bytes) -> None:
    answer = httpx.Response(200, content=body, headers={"content-type": "application/json"})
    with pytest.raises(ProtocolError):
        await call(Service(answer).client())


@pytest.mark.parametrize(
    "row",
    [
        {"id": "d", "qubits": "13"},
        {"id": "d", "qubits": 0},
        {"id": "d", "qubits": -1},
        {"id": "d", "qubits": 10**30},
        {"id": "d", "qubits": 5, "T2": 10**400},
        {"id": "d", "qubits": 1.5},
        {"id": "d", "qubits": 5, "T1": -1},
        {"id": "d", "qubits": 5, "T1": "84"},
        {"id": "d", "qubits": 5, "Err": {"SQ": 1.5}},
        {"id": "d", "qubits": 5, "Err": {"CZ": -0.1}},
        {"id": "d", "qubits": 5, "Err": {"Readout": {"F0": True}}},
        {"id": "d", "qubits": 5, "Err": "none"},
        {"id": ""},
        {"id": 3},
        {"qubits": 13},
        "d",
        None,
    ],
    ids=str,
)
async def test_a_device_that_makes_no_sense_costs_no_other_device_anything(row: object) -> None:
    """It is left out if its id is the matter, else what makes no sense of it is taken for missing; logged once."""
    before = REGISTRY.get_sample_value("metriq_provider_oddities_total", {"provider": "tyxonq", "field": "device"}) or 0
    with structlog.testing.capture_logs() as logs:
        for _ in range(2):
            *odd, good = await Service(ok({"devices": [row, HOMEBREW]})).client().devices()
    assert good.calibration.t1_us == HOMEBREW["T1"]
    assert len(logs) <= 1
    if odd:
        assert odd[0].calibration == Calibration()
        assert odd[0].qubits in (None, 5)
    else:
        after = REGISTRY.get_sample_value("metriq_provider_oddities_total", {"provider": "tyxonq", "field": "device"})
        assert after == before + 2


async def test_endless_answer_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        while True:
            sent += 2**20
            yield b" " * 2**20

    monkeypatch.setattr(client_module, "READ_ATTEMPTS", 1)
    answer = httpx.Response(200, content=endless(), headers={"content-type": "application/json"})
    with pytest.raises(ProtocolError, match=f"more than {transport.MAX_BYTES:,} bytes"):
        await Service(answer).client().devices()
    assert sent < transport.MAX_BYTES + 2 * 2**20


async def test_compressed_answer_is_not_unpacked() -> None:
    headers = {"content-type": "application/json", "content-encoding": "gzip"}

    def bomb(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, headers=headers, stream=httpx.ByteStream(b"\x1f\x8b"))

    client = TyxonQClient(SecretStr(TOKEN), URL, transport=httpx.MockTransport(bomb), sleep=no_pause)
    with pytest.raises(ProtocolError, match="gzip"):
        await client.devices()


async def no_pause(seconds: float) -> None:
    """Go on at once."""


@pytest.mark.parametrize(("call", "error"), [(READS["devices"], Unreachable), (CALLS["submit"], SubmissionAmbiguous)])
async def test_body_that_drips_for_ever_is_given_up(
    call: Call, error: type[MetriqGymError], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def drip() -> AsyncIterator[bytes]:
        while True:
            yield b" "
            await asyncio.sleep(0.001)

    for name, value in (("READ_SECONDS", 0.05), ("SUBMIT_SECONDS", 0.05), ("READ_ATTEMPTS", 1)):
        monkeypatch.setattr(client_module, name, value)
    answer = httpx.Response(200, content=drip(), headers={"content-type": "application/json"})
    with pytest.raises(error, match=r"within 0\.05 s"):
        await call(Service(answer).client())


async def test_another_tasks_answer_is_not_taken_for_the_one_asked_for() -> None:
    with pytest.raises(ProtocolError, match=r"job_2.*job_1"):
        await Service(ok(DETAIL)).client().detail("job_2")


ENVELOPE = ["task", "tasks", "devices", "success", "error", "err", "detail", "id", "qubits"]
NAMES = [*TaskDetail.model_fields, *TaskRow.model_fields, "T1", "Err", "SQ", "Readout", "F0", *ENVELOPE]
names = st.sampled_from(NAMES)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(names, inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(names, json_values, max_size=6), st.sampled_from([200, 200, 200, 404, 500]))
def test_no_answer_causes_anything_but_a_declared_error(document: dict[str, Any], status: int) -> None:
    async def check() -> None:
        for call in CALLS.values():
            client = Service(httpx.Response(status, content=json.dumps(document), headers=HEADERS)).client()
            with suppress(MetriqGymError):
                await call(client)

    asyncio.run(check())


HEADERS = {"content-type": "application/json; charset=utf-8"}

# How much at once


async def test_requests_under_way_are_bounded() -> None:
    busy = most = 0

    async def answer(request: httpx.Request) -> httpx.Response:
        nonlocal busy, most
        busy += 1
        most = max(most, busy)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        busy -= 1
        return ok({"devices": []})

    client = TyxonQClient(SecretStr(TOKEN), URL, concurrency=3, transport=httpx.MockTransport(answer))
    await asyncio.gather(*(client.devices() for _ in range(20)))
    assert most == 3


# The token


LEAKY: list[Answer] = [
    httpx.Response(401, json={"detail": f"invalid token {TOKEN}"}),
    httpx.Response(403, json={"error": "x" * 495 + TOKEN}),
    httpx.Response(422, content=json.dumps({"detail": [TOKEN]}).replace("/", "\\/"), headers=HEADERS),
    httpx.Response(429, json={"err": {"header": f"Bearer {TOKEN}"}}),
    httpx.Response(500, json={"error": TOKEN}),
    httpx.Response(200, json={"success": False, "error": TOKEN}),
    httpx.Response(200, headers={"content-type": TOKEN}),
    ok({"success": True, "id": f"{TOKEN} {TOKEN}", "devices": TOKEN, "tasks": TOKEN}),
    httpx.ReadError(f"reset while reading {TOKEN}"),
    httpx.ConnectError(f"refused {TOKEN}"),
]


@calls
@pytest.mark.parametrize("answer", LEAKY, ids=range(len(LEAKY)))
async def test_no_error_shows_the_token_even_if_the_service_quotes_it(call: Call, answer: Answer) -> None:
    client = Service(answer).client()
    with structlog.testing.capture_logs() as logs, pytest.raises(MetriqGymError) as caught:
        await call(client)
    error = caught.value
    locals_too = structlog.tracebacks.ExceptionDictTransformer(show_locals=True, locals_max_string=10_000)
    ours = [
        frame
        for stack in locals_too((type(error), error, error.__traceback__))
        for frame in stack["frames"]
        if "metriq_gym" in frame["filename"] or "httpx" in frame["filename"] or "httpcore" in frame["filename"]
    ]
    assert ours
    for shown in (str(error), repr(error), "".join(traceback.format_exception(error)), str(logs), str(ours)):
        assert TOKEN not in shown
        assert TOKEN[:8] not in shown


async def test_stored_error_of_a_task_does_not_quote_the_token() -> None:
    task = await Service(ok({"task": {"id": "job_1", "err": f"token {TOKEN}"}})).client().detail("job_1")
    assert task.err == "token ***"


def test_client_does_not_show_the_token() -> None:
    client = TyxonQClient(SecretStr(TOKEN), URL)
    assert TOKEN not in f"{client} {vars(client)} {[each.headers for each in client._connections._all]!r}"


@pytest.mark.parametrize("token", ["", "  ", "two words", "line\nbreak", "schlüssel"])
def test_token_that_cannot_be_one_is_refused_without_showing_it(token: str) -> None:
    with pytest.raises(Permanent, match="METRIQ_TYXONQ_TOKEN") as caught:
        TyxonQClient(SecretStr(token), URL)
    if token.strip():
        assert token not in str(caught.value)


@pytest.mark.parametrize(
    "url", ["", "tyxonq.test", "ftp://tyxonq.test/", "https://user:secret@tyxonq.test/", "https://"]
)
def test_base_url_that_cannot_be_one_is_refused(url: str) -> None:
    with pytest.raises(Permanent, match="METRIQ_TYXONQ_BASE_URL") as caught:
        TyxonQClient(SecretStr(TOKEN), url)
    assert "secret" not in str(caught.value)
