"""Jobs on IBM's devices through all services: run once, found again, and said what they cost."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from metriq_gym.errors import SubmissionAmbiguous
from metriq_gym.jobs import JobState, TaskState
from metriq_gym.messages import JobCancelRequested
from metriq_gym.packing import pack_circuits
from metriq_gym.providers.ibm.plugin import IBMSettings
from metriq_gym.providers.ibm.provider import IBMProvider
from metriq_gym.providers.provider import CredentialTrouble, Submission, TryLater, Waiting
from metriq_gym.testing import memory_system
from metriq_gym.testing.contract import known
from tests.ibm.server import CRN, KEY, USAGE_SECONDS, IBMCloud, serving
from tests.support.patience import PATIENCE

WIT = {"benchmark_name": "WIT", "shots": 200}


@pytest.fixture
def cloud(monkeypatch: pytest.MonkeyPatch) -> Iterator[IBMCloud]:
    with serving() as served:
        monkeypatch.setenv("METRIQ_IBM_TOKEN", KEY)
        monkeypatch.setenv("METRIQ_IBM_INSTANCE", CRN)
        monkeypatch.setenv("METRIQ_IBM_URL", served.url)
        yield served


async def submission(provider: IBMProvider, tag: str = "tag") -> Submission:
    device = await provider.device("ibm_lagos")
    compiled = provider.compiler(device, [circuit for circuit, _ in known()], 1)
    return Submission("ibm_lagos", provider.encoder(pack_circuits(compiled)), 10, tag)


async def test_a_benchmark_runs_through_all_services(cloud: IBMCloud, tmp_path: Path) -> None:
    async with memory_system(tmp_path) as system:
        job = await system.run(WIT, "ibm", "ibm_sherbrooke")
    assert job.result is not None, job.failure
    assert job.runtime_seconds == USAGE_SECONDS
    (sent,) = cloud.jobs.values()
    assert sent["program"] == {"id": "sampler"}
    platform = json.loads((tmp_path / f"{job.id}.json").read_text())["platform"]
    assert (platform["provider"], platform["device"]) == ("ibm", "ibm_sherbrooke")
    assert platform["device_metadata"]["num_qubits"] == 127
    assert platform["device_metadata"]["median_two_qubit_error"] == pytest.approx(0.0075, abs=1e-4)


async def test_a_submission_whose_answer_is_lost_is_adopted_by_its_tag(cloud: IBMCloud, tmp_path: Path) -> None:
    cloud.script = {"POST /jobs": deque(["lost_answer"])}
    async with memory_system(tmp_path, settle_seconds=0.05) as system:
        job = await system.run(WIT, "ibm", "ibm_sherbrooke")
    assert job.result is not None, job.failure
    assert len(cloud.jobs) == 1
    assert cloud.calls["POST /jobs"] == 1


async def test_an_error_of_the_server_after_a_submission_is_in_doubt_and_sent_once(cloud: IBMCloud) -> None:
    provider = IBMProvider.from_settings(IBMSettings())
    sent = await submission(provider)
    cloud.fault = "error_after"
    with pytest.raises(SubmissionAmbiguous, match="HTTP 502"):
        await provider.submit(sent)
    assert cloud.calls["POST /jobs"] == 1
    await provider.aclose()


async def test_tasks_of_a_device_share_a_batch_which_is_closed(cloud: IBMCloud) -> None:
    provider = IBMProvider.from_settings(IBMSettings(mode="batch"))
    for tag in ("first", "second"):
        await provider.submit(await submission(provider, tag))
    (batch,) = cloud.sessions.values()
    assert (batch["mode"], batch["backend"], batch["instance"]) == ("batch", "ibm_lagos", CRN)
    assert [job["session_id"] for job in cloud.jobs.values()] == [batch["id"]] * 2
    await provider.aclose()
    assert not batch["open"]


async def test_a_task_that_waits_has_its_place_and_time(cloud: IBMCloud) -> None:
    cloud.held = True
    provider = IBMProvider.from_settings(IBMSettings())
    task_id = await provider.submit(await submission(provider))
    said = (await provider.progress({task_id: 10}, 30.0))[task_id]
    assert isinstance(said, Waiting)
    assert said.position == 4
    assert said.starts_at is not None
    await provider.aclose()


async def test_a_job_in_the_queue_has_its_place_in_the_store(cloud: IBMCloud, tmp_path: Path) -> None:
    cloud.held = True
    async with memory_system(tmp_path) as system:
        running = asyncio.create_task(system.run(WIT, "ibm", "ibm_sherbrooke", job_id="held"))
        async with asyncio.timeout(PATIENCE):
            while (found := await system.store.catalogue.next_start("held")) is None:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        cloud.held = False
        assert (await running).result is not None
    assert found[0] == 4
    assert found[1] is not None


@pytest.mark.parametrize("trouble", [None, "busy", "down"])
async def test_what_a_cancelled_job_has_in_the_queue_is_cancelled(
    cloud: IBMCloud, tmp_path: Path, trouble: str | None
) -> None:
    cloud.held = True
    async with memory_system(tmp_path) as system:
        running = asyncio.create_task(system.run(WIT, "ibm", "ibm_sherbrooke", job_id="held"))
        async with asyncio.timeout(PATIENCE):
            while TaskState.SUBMITTED not in await system.store.tasks.states("held"):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            cloud.fault, cloud.retry_after = trouble, "0"
            await system.bus.publish(JobCancelRequested(job_id="held"))
            assert (await running).state is JobState.CANCELLED
            cloud.fault = None
            (sent,) = cloud.jobs.values()
            while sent["status"] != "Cancelled":  # noqa: ASYNC110
                await asyncio.sleep(0.01)


async def test_a_key_in_a_file_is_read_again(cloud: IBMCloud, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "key").write_text("old-key\n")
    monkeypatch.delenv("METRIQ_IBM_TOKEN")
    monkeypatch.setenv("METRIQ_IBM_TOKEN_FILE", str(tmp_path / "key"))
    provider = IBMProvider.from_settings(IBMSettings())
    with pytest.raises(CredentialTrouble, match="METRIQ_IBM_TOKEN"):
        await provider.devices()
    assert provider.trouble is not None
    (tmp_path / "key").write_text(f"{KEY}\n")
    assert {device.id for device in await provider.devices()} == {"ibm_lagos", "ibm_sherbrooke"}
    assert provider.trouble is None
    await provider.aclose()


def test_an_instance_by_name_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="CRN"):
        IBMSettings(instance="my-instance")


ODD: list[Any] = [
    None,
    7,
    "job",
    [],
    {},
    {"id": None, "name": 5},
    {"id": "x", "tags": 5, "state": {}},
    {"name": "toy", "qubits": 2},
]


async def test_a_row_that_cannot_be_read_costs_no_other(cloud: IBMCloud) -> None:
    provider = IBMProvider.from_settings(IBMSettings())
    cloud.odd = ODD
    assert {device.id for device in await provider.devices()} == {"toy", "ibm_lagos", "ibm_sherbrooke"}
    task_id = await provider.submit(await submission(provider))
    assert (await provider.listing()).ids == {"x", task_id}
    assert (await provider.overview()).ended == {task_id}
    await provider.aclose()


@pytest.mark.parametrize(
    ("asked", "seconds"), [("9" * 400, 3600.0), ("\u00b2", None), ("-5", 0.0), ("soon", None), ("2", 2.0)]
)
async def test_a_pause_is_believed_within_bounds(cloud: IBMCloud, asked: str, seconds: float | None) -> None:
    provider = IBMProvider.from_settings(IBMSettings())
    await provider.devices()
    cloud.retry_after, cloud.fault = asked, "busy"
    with pytest.raises(TryLater) as raised:
        await provider.devices()
    assert raised.value.retry_after == seconds
    await provider.aclose()
