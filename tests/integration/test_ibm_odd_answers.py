"""One odd value in IBM's answers, whatever it is, costs no more than what it is about, and never reaches the store."""

from __future__ import annotations

import asyncio
import copy
import json
import math
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import bson
import pytest
import pytest_asyncio

from metriq_gym.errors import SubmissionAmbiguous, Transient
from metriq_gym.packing import pack_circuits
from metriq_gym.providers.ibm import client
from metriq_gym.providers.ibm.plugin import IBMSettings
from metriq_gym.providers.ibm.provider import IBMProvider
from metriq_gym.providers.provider import Device, Ended, Finished, NotNow, Submission, Unclear, Waiting
from metriq_gym.testing.contract import known
from tests.ibm.server import CRN, KEY, IBMCloud, serving
from tests.support.patience import PATIENCE

VALUES: dict[str, Any] = {
    "nothing": None,
    "a truth": True,
    "a number": 7,
    "below zero": -1,
    "not a number": math.nan,
    "endless": math.inf,
    "many digits": 10**400,
    "a text": "x",
    "an empty text": "",
    "a long text": "x" * 100_000,
    "half a character": "\ud83d",
    "a list": [1, "a"],
    "an object": {"a": 1},
    "nested": json.loads("[" * 300 + "]" * 300),
}
odd = pytest.mark.parametrize("value", VALUES.values(), ids=VALUES)


@pytest.fixture(scope="module")
def cloud() -> Iterator[IBMCloud]:
    with serving() as served:
        yield served


@pytest_asyncio.fixture
async def provider(cloud: IBMCloud) -> AsyncIterator[IBMProvider]:
    cloud.spoil, cloud.held = lambda _, document: document, False
    opened = IBMProvider.from_settings(IBMSettings(token=KEY, instance=CRN, url=cloud.url))
    yield opened
    await opened.aclose()


@pytest.fixture(scope="module")
def source(cloud: IBMCloud) -> str:
    async def encoded() -> str:
        opened = IBMProvider.from_settings(IBMSettings(token=KEY, instance=CRN, url=cloud.url))
        compiled = opened.compiler(await opened.device("ibm_lagos"), [known()[0][0]], 1)
        await opened.aclose()
        return opened.encoder(pack_circuits(compiled))

    return asyncio.run(encoded())


@pytest.fixture
def sent(source: str) -> Submission:
    return Submission("ibm_lagos", source, 10, "tag")


def spoil(cloud: IBMCloud, address: str, value: Any, *path: str | int) -> None:
    """Put a value where the answers of an address have something else, or in place of them."""

    def spoilt(parts: list[str], document: Any) -> Any:
        if "/".join(parts) != address:
            return document
        if not path:
            return json.dumps(value)
        whole = json.loads(document) if isinstance(document, str) else copy.deepcopy(document)
        inner = whole
        for name in path[:-1]:
            inner = inner[name]
        inner[path[-1]] = value
        return json.dumps(whole)

    cloud.spoil = spoilt


def storable(device: Device) -> None:
    bson.encode({"metadata": dict(device.metadata), "status": device.status, "qubits": device.num_qubits})
    assert all(math.isfinite(each) for each in device.metadata.values() if isinstance(each, float))
    assert len(json.dumps(dict(device.metadata))) < 3000


@odd
@pytest.mark.parametrize("path", [(), ("state",), ("status",), ("state", "status"), ("state", "reason"), ("tags",)])
@pytest.mark.parametrize("fault", [None, "task_fails"])
async def test_an_odd_job_is_not_understood_or_ends_in_words(
    provider: IBMProvider, cloud: IBMCloud, sent: Submission, fault: str | None, path: tuple[str, ...], value: Any
) -> None:
    cloud.fault = fault
    task_id = await provider.submit(sent)
    cloud.fault = None
    spoil(cloud, f"jobs/{task_id}", value, *path)
    said = (await provider.progress({task_id: 10}, PATIENCE))[task_id]
    assert isinstance(said, Finished | Ended | Unclear), said
    words = "" if isinstance(said, Finished) else said.error if isinstance(said, Ended) else said.reason
    assert len(words) < 1000
    assert words.isprintable()


@odd
@pytest.mark.parametrize("path", [(), ("position_in_queue",), ("estimated_start_time",)])
async def test_an_odd_place_is_no_place(
    provider: IBMProvider, cloud: IBMCloud, sent: Submission, path: tuple[str, ...], value: Any
) -> None:
    task_id = await provider.submit(sent)
    cloud.held = True
    spoil(cloud, f"jobs/{task_id}/metrics", value, *path)
    said = (await provider.progress({task_id: 10}, PATIENCE))[task_id]
    assert isinstance(said, Waiting), said
    bson.encode({"position": said.position, "starts_at": said.starts_at})
    assert said.position is None or 0 <= said.position < 2**31


@odd
@pytest.mark.parametrize("path", [(), ("usage",), ("usage", "qpu_charge_time_seconds")])
async def test_odd_seconds_cost_no_counts(
    provider: IBMProvider, cloud: IBMCloud, sent: Submission, path: tuple[str, ...], value: Any
) -> None:
    task_id = await provider.submit(sent)
    spoil(cloud, f"jobs/{task_id}/metrics", value, *path)
    said = (await provider.progress({task_id: 10}, PATIENCE))[task_id]
    assert isinstance(said, Finished), said
    assert said.counts == {"0:001": 10}
    assert said.seconds is None or 0 <= said.seconds < 1e9


@odd
@pytest.mark.parametrize("path", [(), ("__value__",), ("__value__", "pub_results")])
async def test_odd_results_are_not_understood(
    provider: IBMProvider, cloud: IBMCloud, sent: Submission, path: tuple[str, ...], value: Any
) -> None:
    task_id = await provider.submit(sent)
    spoil(cloud, f"jobs/{task_id}/results", value, *path)
    said = (await provider.progress({task_id: 10}, PATIENCE))[task_id]
    assert isinstance(said, Finished | Unclear), said
    assert not isinstance(said, Finished) or not said.counts, "there are none"


@odd
async def test_a_submission_that_is_answered_with_no_id_is_in_doubt(
    provider: IBMProvider, cloud: IBMCloud, sent: Submission, value: Any
) -> None:
    spoil(cloud, "jobs", value, "id")
    try:
        assert await provider.submit(sent) == "x"
    except SubmissionAmbiguous:
        return


def endless() -> Iterator[bytes]:
    while True:
        yield b" " * 2**20


def drop_by_drop() -> Iterator[bytes]:
    while True:
        yield b" "
        time.sleep(0.05)


@pytest.mark.parametrize("body", [endless, drop_by_drop])
async def test_an_answer_that_never_ends_costs_no_thread(
    provider: IBMProvider,
    cloud: IBMCloud,
    sent: Submission,
    monkeypatch: pytest.MonkeyPatch,
    body: Callable[[], Iterator[bytes]],
) -> None:
    task_id = await provider.submit(sent)
    cloud.spoil = lambda _, __: body()
    with monkeypatch.context() as impatient:
        impatient.setattr(client, "ANSWER_SECONDS", math.inf if body is endless else 0.5)
        for _ in range(2):
            said = await provider.progress({task_id: 10}, PATIENCE)
            assert isinstance(said[task_id], NotNow), said
        with pytest.raises(Transient, match="longer"):
            await provider.devices()
        with pytest.raises(SubmissionAmbiguous, match="longer"):
            await provider.submit(sent)
    cloud.spoil = lambda _, document: document
    assert isinstance((await provider.progress({task_id: 10}, PATIENCE))[task_id], Finished)


@odd
@pytest.mark.parametrize("field", ["qubits", "status", "is_simulator", "name"])
async def test_an_odd_device_hides_no_other(provider: IBMProvider, cloud: IBMCloud, field: str, value: Any) -> None:
    spoil(cloud, "backends", value, "devices", 0, field)
    found = {each.id: each for each in await provider.devices()}
    assert "ibm_sherbrooke" in found
    for each in found.values():
        storable(each)


@odd
@pytest.mark.parametrize(
    "path",
    [
        ("last_update_date",),
        ("general",),
        ("qubits", 0, 0, "value"),
        ("qubits", 1, 1, "unit"),
        ("gates", 0, "parameters", 0, "value"),
    ],
)
async def test_an_odd_calibration_is_left_out_or_refused(
    provider: IBMProvider, cloud: IBMCloud, path: tuple[str | int, ...], value: Any
) -> None:
    spoil(cloud, "backends/ibm_lagos/properties", value, *path)
    try:
        storable(await provider.device("ibm_lagos"))
    except Transient as error:
        assert len(str(error)) < 1000  # noqa: PT017


@odd
@pytest.mark.parametrize("path", [("count",), ("jobs", 0), ("jobs", 0, "id"), ("jobs", 0, "status")])
async def test_an_odd_row_of_jobs_hides_no_other(
    provider: IBMProvider, cloud: IBMCloud, sent: Submission, path: tuple[str | int, ...], value: Any
) -> None:
    ours = await provider.submit(sent)
    await provider.submit(sent)  # the newest is listed first
    spoil(cloud, "jobs", value, *path)
    assert ours in (await provider.listing()).ids
