"""SIGTERM lets a service finish what it has in hand, a second one does not; nothing is lost or done twice by either."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import pytest

from metriq_gym.jobs import JobState
from tests.support.jobs import watch
from tests.support.patience import PATIENCE
from tests.support.system import SERVICES, ServiceProcess, System, request

pytestmark = pytest.mark.asyncio(loop_scope="module")
GRACE = 3600
"""Seconds that are never over before a test is: what ends before the gate opens was told to end at once."""

STATES = ["dispatching", "dispatched", "completed", "scored", "exported"]


async def appeared(path: Path) -> None:
    async with asyncio.timeout(PATIENCE):
        while not path.exists():  # noqa: ASYNC110, ASYNC240  (another process's file)
            await asyncio.sleep(0.02)


async def with_work_in_hand(running: System, name: str, job_id: str, folder: Path) -> ServiceProcess:
    """The service, at work on a job that does not end before there is a file ``go``."""
    (service,) = running.named(name)
    await service.terminate()
    service.environment = {**service.environment, "METRIQ_GRACE_SECONDS": str(GRACE)}
    service.module = ("tests.support.waiting", name, str(folder))
    service.start()
    await service.ready()
    await running.publish(request(job_id))
    await appeared(folder / "in-hand")
    return service


async def as_before(service: ServiceProcess) -> None:
    service.module = ()
    service.start()
    await service.ready()


async def exported_once(running: System, job_id: str) -> None:
    job = await running.ended(job_id)
    assert job.state is JobState.EXPORTED
    assert [each.state for each in job.history] == STATES
    assert job_id in running.exported()


@pytest.mark.parametrize("name", SERVICES)
async def test_after_sigterm_work_in_hand_is_finished_and_nothing_new_is_begun(
    running: System, name: str, tmp_path: Path
) -> None:
    service = await with_work_in_hand(running, name, f"once-{name}", tmp_path)
    assert service.process is not None
    service.process.terminate()
    await running.publish(request(f"next-{name}"))
    if name != "dispatcher":  # it has got as far as to this service
        state = JobState(STATES[SERVICES.index(name)])
        async with asyncio.timeout(PATIENCE):
            async for _ in watch(running.store, f"next-{name}", until=lambda job: job.state is state):
                pass
    assert service.process.poll() is None
    before = (await running.store.jobs.get(f"once-{name}")).state
    (tmp_path / "go").touch()
    assert await asyncio.to_thread(service.process.wait, PATIENCE) == 0
    after = (await running.store.jobs.get(f"once-{name}")).state
    assert STATES.index(after) > STATES.index(before)
    await as_before(service)
    for job_id in (f"once-{name}", f"next-{name}"):
        await exported_once(running, job_id)


@pytest.mark.parametrize("name", SERVICES)
async def test_a_second_sigterm_stops_at_once_and_the_work_is_done_by_the_next(
    running: System, name: str, tmp_path: Path
) -> None:
    service = await with_work_in_hand(running, name, f"twice-{name}", tmp_path)
    assert service.process is not None
    service.process.terminate()
    await asyncio.sleep(0.5)
    assert service.process.poll() is None
    service.process.terminate()
    code = await asyncio.to_thread(service.process.wait, PATIENCE)
    # A record is written in a thread, which cannot be cancelled.
    assert code == (128 + signal.SIGTERM if name == "exporter" else 0)
    await as_before(service)
    await exported_once(running, f"twice-{name}")
