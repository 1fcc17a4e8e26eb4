"""One odd value in an answer, whatever it is, does not cost the rest of the answer."""

from __future__ import annotations

import asyncio
import json

import bson
import httpx
import pytest
from pydantic import SecretStr

from metriq_gym.providers.provider import (
    Ambiguous,
    Finished,
    LostSubmission,
    NotAccepted,
    Overview,
    Submission,
    Unclear,
)
from metriq_gym.providers.tyxonq.client import TyxonQClient
from metriq_gym.providers.tyxonq.document import MAX_DEPTH, read_document
from metriq_gym.providers.tyxonq.errors import ProtocolError
from metriq_gym.providers.tyxonq.provider import TyxonQProvider
from tests.support.tyxonq import HOMEBREW, NOW, TOKEN, URL, Service, ok


def nested(levels: int) -> str:
    return "[" * levels + "]" * levels


VALUES: dict[str, bytes] = {
    "not a number": b"NaN",
    "endless": b"Infinity",
    "endless below": b"-Infinity",
    "too large a number": b"1e999",
    "too many digits": b"9" * 5000,
    "many digits": b"9" * 500,
    "half a character": rb'"\ud83d"',
    "the other half": rb'"\udc00 beside it"',
    "half a name": rb'{"\ud83d": 1}',
    "Latin-1": b'"caf\xe9"',
    "bytes that are no text": b'"\xff\xfe\x00"',
    "a tab": b'"a\tb"',
    "a line feed": b'"a\nb"',
    "a NUL": rb'"a\u0000b"',
    "nested": nested(300).encode(),
    "nested very deeply": nested(20_000).encode(),
    "objects in objects": b'{"a":' * 500 + b"1" + b"}" * 500,
    "nested in a text": json.dumps(nested(5000)).encode(),
    "a brace in a text": rb'"}]\"{[" ',
    "names that are none": b'{"": 1, "$where": 2, "a.b": {"c.d": 3}}',
    "a truth": b"true",
    "nothing": b"null",
    "an empty text": b'""',
    "a long text": b'"' + b"x" * 100_000 + b'"',
}


def answer(name: str, *rows: bytes) -> httpx.Response:
    body = b'{"' + name.encode() + b'": [' + b", ".join(rows) + b"]}"
    return httpx.Response(200, content=body, headers={"content-type": "application/json"})


@pytest.mark.parametrize("value", VALUES.values(), ids=VALUES)
@pytest.mark.parametrize("field", ["id", "qubits", "T1", "Err", "state", "memo"])
async def test_an_odd_device_does_not_hide_the_others_and_can_be_stored(field: str, value: bytes) -> None:
    odd = b'{"id": "theirs", "qubits": 3, "' + field.encode() + b'": ' + value + b"}"
    provider = TyxonQProvider(Service(answer("devices", odd, json.dumps(HOMEBREW).encode())).client())
    device = await provider.device("homebrew_s2")
    assert (device.num_qubits, device.status) == (13, "online")
    for each in await provider.devices():
        assert json.dumps(each.metadata, allow_nan=False)
        assert bson.encode({"metadata": dict(each.metadata), "status": each.status})


OURS = {"job_name": "ours", "status": "completed", "device": "homebrew_s2?o=3", "created_at": NOW.isoformat()}
LOST = LostSubmission(Submission("homebrew_s2?o=3", "qreg q[1];", 100, "j:0"), (NOW, NOW))


@pytest.mark.parametrize("value", VALUES.values(), ids=VALUES)
@pytest.mark.parametrize("field", ["job_name", "status", "created_at", "parameters", "shots", "memo"])
async def test_an_odd_row_hides_no_task_and_leaves_a_lost_submission_to_be_told(field: str, value: bytes) -> None:
    odd = b'{"device": "other", "' + field.encode() + b'": ' + value + b"}"
    provider = TyxonQProvider(Service(answer("tasks", odd, json.dumps(OURS).encode())).client())
    assert "ours" in (await provider.overview()).ended
    before = await provider.listing()
    assert bson.encode({"ids": sorted(before.ids)})
    now = await provider.listing()
    assert now.ids == before.ids
    assert isinstance(await provider.match(now, before.ids, LOST, []), NotAccepted)


@pytest.mark.parametrize("value", VALUES.values(), ids=VALUES)
@pytest.mark.parametrize("field", ["result", "state", "runDur", "qubits", "memo"])
async def test_an_odd_detail_is_a_doubt_about_that_task_alone(field: str, value: bytes) -> None:
    good = b'{"task": {"id": "good", "state": "completed", "result": {"0": 50}}}'
    odd = (
        b'{"task": {"id": "odd", "state": "completed", "result": {"0": 50}, "' + field.encode() + b'": ' + value + b"}}"
    )
    told = {"good": good, "odd": odd}

    def service(request: httpx.Request) -> httpx.Response:
        content = told[json.loads(request.content)["task_id"]]
        return httpx.Response(200, content=content, headers={"content-type": "application/json"})

    transport = httpx.MockTransport(service)
    provider = TyxonQProvider(TyxonQClient(SecretStr(TOKEN), URL, concurrency=1, transport=transport))
    progress = await provider.progress({"odd": 50, "good": 50}, 60)
    assert progress["good"] == Finished({"0": 50}, None)
    assert isinstance(progress["odd"], Unclear | Finished)
    assert isinstance(progress["odd"], Unclear) or field not in ("result", "state")


async def test_of_two_rows_for_one_device_the_one_that_says_how_many_qubits_it_has_is_it() -> None:
    good = json.dumps(HOMEBREW).encode()
    for odd in (b'{"id": "homebrew_s2", "qubits": 0}', b'{"id": "homebrew_s2", "qubits": "13", "state": "off"}'):
        for rows in ((good, odd), (odd, good)):
            device = await TyxonQProvider(Service(answer("devices", *rows)).client()).device("homebrew_s2")
            assert (device.num_qubits, device.status) == (13, "online")


@pytest.mark.parametrize("qubits", [13, 13.0])
async def test_a_number_of_qubits_may_be_written_with_a_point(qubits: float) -> None:
    (device,) = await TyxonQProvider(Service(ok({"devices": [HOMEBREW | {"qubits": qubits}]})).client()).devices()
    assert repr(device.num_qubits) == "13"


async def test_null_in_place_of_a_list_of_tasks_is_an_empty_one_and_proves_of_none_that_it_was_not_accepted() -> None:
    provider = TyxonQProvider(Service(ok({"tasks": None})).client())
    assert await provider.overview() == Overview(frozenset(), frozenset())
    listing = await provider.listing()
    assert listing.ids == frozenset()
    assert isinstance(await provider.match(listing, [], LOST, []), Ambiguous)
    empty = await TyxonQProvider(Service(ok({"tasks": []})).client()).listing()
    assert isinstance(await provider.match(empty, [], LOST, []), NotAccepted)


@pytest.mark.parametrize("refusal", [ok({"error": "busy"}), httpx.Response(404, json={"detail": "moved"})])
async def test_to_be_refused_the_list_of_devices_says_nothing_against_a_device(refusal: httpx.Response) -> None:
    provider = TyxonQProvider(Service(refusal).client())
    with pytest.raises(ProtocolError, match=r"busy|moved"):
        await provider.device("homebrew_s2")
    with pytest.raises(ProtocolError, match=r"busy|moved"):
        await provider.devices()


@pytest.mark.parametrize("text", ["", "{", "[1,", '{"a": tru}', "<html>", '{"a": "b', "NaN,", "\x00"])
async def test_what_is_no_json_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="line"):
        await read_document(text)


async def test_what_is_sound_is_read_as_it_is() -> None:
    sound = {"a": [1, 2.5, None, True, "ü 😀"], "b": {"c": nested(MAX_DEPTH), "d": {}}}
    odd = {**sound, "odd": float("nan")}
    assert await read_document(json.dumps(odd)) == {**sound, "odd": None}
    kept, cut = await asyncio.gather(
        read_document(f"[NaN, {nested(MAX_DEPTH - 1)}]"), read_document(f"[{nested(2000)}, 7]")
    )
    assert kept == [None, json.loads(nested(MAX_DEPTH - 1))]
    assert cut[1] == 7
