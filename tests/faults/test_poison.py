"""Messages that end their process, that never come to an end, or that raise what nobody expects."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from pathlib import Path

import httpx

from metriq_gym.bus.port import DEAD_LETTERS
from metriq_gym.bus.rabbitmq.dead_letters import locked_letters
from metriq_gym.jobs import JobState
from tests.faults.doomed import Ailment, Orders, doom
from tests.faults.evidence import drained
from tests.faults.report import LONG, Report
from tests.faults.scenario import Scenario, scenario
from tests.support.plain import plain_client
from tests.support.system import ServiceProcess

POISON: dict[str, Ailment] = {"job.completed kills": "kills", "job.scored raises": "raises"}
if LONG:
    POISON["job.dispatched blocks"] = "blocks"
"""Message, by its routing key and job → what comes of handling it."""
ENDED = r"(Lethal: handling it ended|delivery limit:) the process,? or its connection"
"""Said by the service, or by the broker if another message ended the process just then."""
REASONS: Mapping[Ailment, str] = {"kills": ENDED, "blocks": ENDED, "raises": "RuntimeError: nobody expected this"}
PROBE_SECONDS = 10
"""How long whoever looks after the processes waits for an answer."""
GIVEN_UP_SECONDS = 600 if LONG else 300


async def test_poison_is_dead_lettered_its_neighbours_go_on_and_once_mended_it_is_replayed(
    amqp_url: str, mongo_url: str, tmp_path: Path, report: Report
) -> None:
    async with scenario("poison", report, amqp_url, mongo_url, tmp_path, orders=Orders(poison=POISON)) as running:
        ailing = [service for service in running.system.services if service.name != "dispatcher"]
        orchestrators = [asyncio.create_task(_keep_alive(running, service)) for service in ailing]
        await running.request_many(3, prefix="before")
        for ailment in POISON.values():
            await running.request(ailment)
        await running.request_many(3, prefix="after")
        running.accepted -= set(POISON.values())
        await running.all_ended()
        reasons = await _letters(running)
        for message, ailment in POISON.items():
            assert re.search(REASONS[ailment], reasons[message])
        held = await running.system.store.jobs.get("raises")
        assert held.held == "the exporter gave up a message: RuntimeError: nobody expected this"
        for orchestrator in orchestrators:
            orchestrator.cancel()
        await asyncio.wait(orchestrators)
        for service in ailing:
            service.kill()
            doom(service, Orders())
        await asyncio.gather(*(service.ready() for service in ailing))
        await running.replay_letters()
        running.accepted |= set(POISON.values())
        await running.all_ended()
        # What was in hand with poison once too often is given up only when its service is back: perhaps since then.
        while (await drained(amqp_url))[DEAD_LETTERS]:
            await running.replay_letters()
        await running.finish()
        assert running.witness.states() == dict.fromkeys(running.accepted, JobState.EXPORTED)


async def _keep_alive(running: Scenario, service: ServiceProcess) -> None:
    """Start a service again whenever it has ended or does not answer, as an orchestrator does."""
    async with plain_client(timeout=PROBE_SECONDS) as client:
        while True:
            assert service.process is not None
            if service.process.poll() is None:
                try:
                    await client.get(f"http://127.0.0.1:{service.port}/livez")
                except httpx.ConnectError:
                    pass  # it has yet to begin
                except httpx.TransportError:
                    service.kill()
            if service.process.poll() is not None:
                running.fault()
                service.start()
            await asyncio.sleep(0.1)


async def _letters(running: Scenario) -> dict[str, str]:
    """Return the reasons of dead letters by routing key and job, once there are those of all poison.

    Of a job that was in hand with it there may be some as well, though it has gone on since.
    """
    async with asyncio.timeout(GIVEN_UP_SECONDS):
        while True:
            async with locked_letters(running.amqp_url) as held:
                letters = [each.letter for each in held]
            found = {f"{each.routing_key} {each.job_id}": each.reason for each in letters}
            if found.keys() >= POISON.keys():
                return found
            await asyncio.sleep(1)
