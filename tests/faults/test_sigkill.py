"""The crash points again, in real processes that end by SIGKILL exactly there, while jobs of all kinds keep coming."""

from __future__ import annotations

import asyncio
import subprocess
from itertools import count, takewhile
from pathlib import Path

import aio_pika

from metriq_gym.jobs import TERMINAL
from tests.faults.case import Outcome
from tests.faults.doomed import Orders, doom
from tests.faults.points import Point
from tests.faults.report import LONG, Report
from tests.faults.scenario import TRIVIAL, Scenario, scenario
from tests.support.patience import PATIENCE
from tests.support.system import ServiceProcess

"""How long a process may take to come by its point."""
IN_SHORT = 3
"""Points in each service in the short form."""
DEATHS = 5
"""In a row; what was in hand of a process that ended is given up as lethal when that has happened nine times."""
FLOWS = ("local", "remote", "suite", "rejected", "cancelled", "task fails") if LONG else ("remote",)
"""Those that need nothing but jobs and the provider to come about."""


async def test_processes_killed_at_chosen_points_lose_and_repeat_nothing(
    amqp_url: str, mongo_url: str, tmp_path: Path, report: Report, clean: dict[str, Outcome]
) -> None:
    async with scenario("crash points, SIGKILL", report, amqp_url, mongo_url, tmp_path) as running:
        running.reached = set(TERMINAL)
        # Two submissions that are lost at the same time, in a list without remarks, are for an operator to tell apart.
        running.may_be_held = True
        enough = asyncio.Event()
        coming = asyncio.create_task(_jobs_of_all_kinds(running, enough))
        chains = (
            _kill_in_turn(running, service, _points(running, service.name, clean))
            for service in running.system.services
        )
        missed = [point for chain in await asyncio.gather(*chains) for point in chain]
        enough.set()
        await coming
        await running.all_ended()
        # A message that was in hand of one process after another that was killed is no different from a lethal one.
        await running.replay_letters()
        await running.finish()
        assert len(missed) <= len(running.faults) / 5, missed


def _points(running: Scenario, service: str, clean: dict[str, Outcome]) -> list[Point]:
    """Return the points of a service: the first call of each name, in the long form before and after, else some."""
    passed = dict.fromkeys(point for name in FLOWS for point in clean[name].passed[service] if point.number == 1)
    if LONG:
        return list(passed)
    return running.random.sample([point for point in passed if point.side == "after"], IN_SHORT)


async def _kill_in_turn(running: Scenario, service: ServiceProcess, points: list[Point]) -> list[str]:
    """Let each process of a service die at the next point, the last one live; return the points none came by."""
    missed = []
    for number, point in enumerate(points):
        service.kill()
        if number % DEATHS == DEATHS - 1:
            await _work_off(running, service)
        doom(service, Orders(kill_at=str(point)))
        assert service.process is not None
        try:
            await asyncio.to_thread(service.process.wait, PATIENCE)
        except subprocess.TimeoutExpired:
            missed.append(f"{service.name} {point}")
        else:
            running.fault()
    service.kill()
    doom(service, Orders())
    await service.ready()
    return missed


async def _work_off(running: Scenario, service: ServiceProcess) -> None:
    """Let a process that is not told to die do what those before it had in hand."""
    doom(service, Orders())
    await service.ready()
    queue = f"metriq.{service.name}"
    async with await aio_pika.connect(running.amqp_url) as connection:
        channel = await connection.channel()
        while (await channel.declare_queue(queue, passive=True)).declaration_result.message_count:  # noqa: ASYNC110
            await asyncio.sleep(0.1)
    await service.terminate()


async def _jobs_of_all_kinds(running: Scenario, enough: asyncio.Event) -> None:
    for number in takewhile(lambda _: not enough.is_set(), count()):
        await running.request(f"local-{number}")
        await running.request(f"remote-{number}", remote=True)
        if LONG:
            await _unusual(running, number)
        await asyncio.sleep(2)


async def _unusual(running: Scenario, number: int) -> None:
    """Request what does not end with a record of a result, or is more than one job."""
    await running.request(f"rejected-{number}", config={"shots": 0})
    await running.request(f"cancelled-{number}", remote=True)
    await running.publish({"job_id": f"cancelled-{number}"}, "job.cancel_requested")
    benchmarks = [{"name": name, "config": TRIVIAL} for name in ("one", "two")]
    body = {"suite_id": f"suite-{number}", "provider": "local", "device": "aer_simulator"}
    await running.publish({**body, "suite": {"name": "Two", "benchmarks": benchmarks}}, "suite.requested")
    running.accepted |= {f"suite-{number}.001-one", f"suite-{number}.002-two"}
    running.sandbox.add_fault("task_fails", "submit", times=1)
