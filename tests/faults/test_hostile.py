"""Whatever strangers publish, no process ends, nothing goes round for ever, and who asks is told what is wrong."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from copy import deepcopy
from importlib.resources import files
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import aio_pika
import bson
from hypothesis import given, settings
from hypothesis import strategies as st
from pamqp import encode

from metriq_gym.bus.identity import read_request
from metriq_gym.bus.port import Delivery
from metriq_gym.bus.rabbitmq import envelope
from metriq_gym.bus.rabbitmq.dead_letters import locked_letters
from metriq_gym.errors import InvalidRequest, Problem
from metriq_gym.jobs import Job, JobState
from services.dispatcher.request import check
from services.dispatcher.suites import fan_out
from tests.faults.hostile import GOOD, TEXTS, VALUES, Hostile, corpus
from tests.faults.report import LONG, Report
from tests.faults.scenario import Scenario, scenario

LONGEST_REASON = 2010
LONGEST_DEAD_REASON = 310
AT_ONCE = 20
MAX_BYTES = 2**20
FRAME_BYTES = 2**17
bounded = settings(max_examples=5000 if LONG else 200, derandomize=not LONG)


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
        await running.publish({"job_id": "at-work"}, "job.completed")
        running.accepted |= of["rejected"] | of["failed"] | of["exported"]
        running.expected_dead = len(of["dead"])
        await running.request("after-all", remote=True)
        running.uncounted = lambda: len(messages)
        pids = [service.process and service.process.pid for service in running.system.services]
        await running.finish()
        assert [service.process and service.process.pid for service in running.system.services] == pids
        jobs = {job.id: job for job in await running.system.store.catalogue.find(limit=len(messages) + 10)}
        letters = await _letters(amqp_url)
    assert {each: jobs[each].state for each in of["exported"]} == dict.fromkeys(of["exported"], JobState.EXPORTED)
    ended = [
        *((each, JobState.REJECTED) for each in of["rejected"]),
        *((each, JobState.FAILED) for each in of["failed"]),
    ]
    assert {messages[each].name: fault for each, state in ended if (fault := _fault(jobs[each], state))} == {}
    assert letters.keys() == of["dead"]
    assert {
        messages[each].name: reason for each, reason in letters.items() if not _readable(reason, LONGEST_DEAD_REASON)
    } == {}


def _fault(job: Job, state: JobState) -> str | None:
    """Say what is not as it should be about the end of a job."""
    if job.state is not state or job.failure is None:
        return f"is {job.state}"
    for problem in job.failure.problems:
        if not problem["path"].startswith("$") or not _readable(problem["path"] + problem["message"], 1000):
            return f"not readable: {problem}"
    if (state is JobState.REJECTED and not job.failure.problems) or not _readable(job.failure.reason, LONGEST_REASON):
        return f"not readable: {job.failure}"
    return None


def _readable(text: str, longest: int) -> bool:
    """Whether a text can be shown on a terminal, and is worth it."""
    return 0 < len(text) <= longest and text.isprintable()


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
    async with locked_letters(amqp_url) as held:
        return {str(each.letter.message_id): each.letter.reason for each in held}


def _shipped(folder: str) -> list[Any]:
    return [json.loads(each.read_text()) for each in (files("metriq_gym") / folder).iterdir() if each.is_file()]


CONFIGS = [*_shipped("schemas/examples"), *(each["config"] for each in _shipped("suites")[0]["benchmarks"])]
REQUESTS = [
    *(("job.requested", {"job_id": "j", **GOOD, "config": config}) for config in CONFIGS),
    *(("suite.requested", {"suite_id": "s", **GOOD, "suite": suite, "all": True}) for suite in _shipped("suites")),
]


@st.composite
def spoiled(draw: st.DrawFn) -> tuple[str, bytes]:
    """A good request of any kind with some of it replaced, renamed, added, or taken away."""
    key, good = draw(st.sampled_from(REQUESTS))
    body = deepcopy(good)
    for _ in range(draw(st.integers(1, 4))):
        _spoil(draw, body)
    encoding = draw(st.sampled_from([*["utf-8"] * 9, "utf-16"]))
    encoded = json.dumps(body, ensure_ascii=draw(st.booleans())).encode(encoding, "surrogatepass")
    return key, encoded[: draw(st.sampled_from([None] * 9 + [-1]))]


def _spoil(draw: st.DrawFn, document: Any) -> None:
    node, steps = document, list(_steps(document))
    while True:
        step = draw(st.sampled_from(steps))
        deeper = list(_steps(node[step]))
        if not deeper or draw(st.integers(0, 2)) == 0:
            break
        node, steps = node[step], deeper
    kept = node.pop(step)
    match draw(st.sampled_from(["replace", "rename", "remove"])):
        case "replace":
            kept = deepcopy(draw(st.sampled_from(VALUES) | st.text() | st.floats() | st.integers()))
        case "rename" if isinstance(node, dict):
            step = draw(st.sampled_from(TEXTS) | st.text(max_size=20))
        case _:
            return
    if isinstance(node, dict):
        node[step] = kept
    else:
        node.insert(step, kept)


def _steps(node: Any) -> Any:
    return node if isinstance(node, dict) else range(len(node)) if isinstance(node, list) else ()


@bounded
@given(spoiled())
def test_a_spoiled_request_is_refused_with_readable_reasons_or_is_one_that_can_be_stored(
    request: tuple[str, bytes],
) -> None:
    key, body = request
    delivery = Delivery(key, body)
    problems: Sequence[Problem]
    try:
        if key == "job.requested":
            configs, problems = [check(read_request(delivery), MAX_BYTES).config], ()
        else:
            configs, problems = [each.config for each in fan_out(read_request(delivery), MAX_BYTES)], ()
    except InvalidRequest as error:
        configs, problems = [], error.problems
    assert configs or problems
    for problem in problems:
        assert problem.path.startswith("$")
        assert problem.message
        assert str(problem).isprintable()
    for config in configs:
        bson.encode(config)


header_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text() | st.datetimes()
    | st.binary().map(bytearray) | st.sampled_from(["x" * 50_000, "\N{SNOWMAN}" * 900, "00-1-1-1", "2026-11-21"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=20), inner, max_size=4),
    max_leaves=20,
)  # fmt: skip
OURS = ("metriq-retry", "metriq-dead", "x-death", "x-delivery-count", "traceparent", "attempts", "failures", "queue")


@bounded
@given(st.dictionaries(st.sampled_from(OURS) | st.text(max_size=60), header_values, max_size=60))
def test_a_message_with_any_headers_is_read_tried_again_and_buried(headers: dict[str, Any]) -> None:
    message: Any = SimpleNamespace(
        body=b"{", headers=headers, routing_key="job.scored", message_id="m", correlation_id=None, content_type=None,
        content_encoding=None, timestamp=None, type=None, app_id=None, user_id=None, exchange="", redelivered=True,
    )  # fmt: skip
    delivery = envelope.read(message)
    assert delivery.attempt >= 1
    letter = envelope.read_letter(message)
    for copy in (
        envelope.to_retry(message, delivery),
        envelope.to_bury(message, letter),
        envelope.to_replay(message, letter),
    ):
        assert len(encode.field_table(copy.headers)) < FRAME_BYTES
