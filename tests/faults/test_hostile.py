"""Whatever strangers publish, no process ends, nothing goes round for ever, and who asks is told what is wrong."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import aio_pika

from metriq_gym.bus.rabbitmq.dead_letters import held_letters
from metriq_gym.store import Job, JobState
from tests.faults.hostile import Hostile, corpus
from tests.faults.report import Report
from tests.faults.scenario import Scenario, scenario

LONGEST_REASON = 2000
AT_ONCE = 20


async def test_every_hostile_message_is_rejected_or_dead_lettered_with_a_reason_and_the_next_job_runs(
    amqp_url: str, mongo_url: str, tmp_path: Path, report: Report
) -> None:
    messages = {f"hostile-{number}": message for number, message in enumerate(corpus())}
    of = {
        becomes: {each for each, message in messages.items() if message.becomes == becomes}
        for becomes in ("rejected", "failed", "exported", "dead")
    }
    async with scenario("hostile input", report, amqp_url, mongo_url, tmp_path) as running:
        running.reached = {JobState.REJECTED, JobState.FAILED, JobState.EXPORTED}
        await running.request("at-work", remote=True)
        await _publish_all(running, messages)
        await running.publish(_forged("at-work"), "job.completed")
        running.accepted |= of["rejected"] | of["failed"] | of["exported"]
        running.expected_dead = len(of["dead"])
        await running.request("after-all", remote=True)
        for _ in messages:
            running.fault()
        pids = [service.process and service.process.pid for service in running.system.services]
        await running.finish()
        assert [service.process and service.process.pid for service in running.system.services] == pids
        jobs = {job.id: job for job in await running.system.store.jobs.newest(limit=len(messages) + 10)}
        letters = await _letters(amqp_url)
    assert {each: jobs[each].state for each in of["exported"]} == dict.fromkeys(of["exported"], JobState.EXPORTED)
    ended = [
        *((each, JobState.REJECTED) for each in of["rejected"]),
        *((each, JobState.FAILED) for each in of["failed"]),
    ]
    assert {messages[each].name: fault for each, state in ended if (fault := _fault(jobs[each], state))} == {}
    assert letters.keys() == of["dead"]
    assert {messages[each].name: reason for each, reason in letters.items() if not _readable(reason, 300)} == {}


def _fault(job: Job, state: JobState) -> str | None:
    """Say what is not as it should be about the end of a job."""
    if job.state is not state or job.failure is None:
        return f"is {job.state}"
    for problem in job.failure.problems:
        if not problem["path"].startswith("$") or not _readable(problem["path"] + problem["message"], 1000):
            return f"not readable: {problem}"
    if (state is JobState.REJECTED and not job.failure.problems) or not _readable(
        job.failure.reason, LONGEST_REASON + 10
    ):
        return f"not readable: {job.failure}"
    return None


def _readable(text: str, longest: int) -> bool:
    """Whether a text can be shown on a terminal, and is worth it."""
    return 0 < len(text) <= longest and text.isprintable()


def _forged(job_id: str) -> dict[str, Any]:
    return {"job_id": job_id}


async def _publish_all(running: Scenario, messages: dict[str, Hostile]) -> None:
    exchange = await running.system.channel.get_exchange("metriq.events", ensure=False)
    slots = asyncio.Semaphore(AT_ONCE)

    async def publish(message_id: str, message: Hostile) -> None:
        properties = {"message_id": message_id, "delivery_mode": aio_pika.DeliveryMode.PERSISTENT, **message.properties}
        async with slots:
            await exchange.publish(aio_pika.Message(message.body, **properties), message.key, mandatory=True)

    await asyncio.gather(*(publish(*each) for each in messages.items()))


async def _letters(amqp_url: str) -> dict[str, str]:
    """Return the reasons of the dead letters by the ids of their messages."""
    async with held_letters(amqp_url) as held:
        return {str(each.letter.message_id): each.letter.reason for each in held}
