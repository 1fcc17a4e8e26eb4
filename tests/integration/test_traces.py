"""One trace from a request to its export, through real services and a real broker, and the wait at a provider in it."""

from __future__ import annotations

import secrets
from contextlib import suppress
from pathlib import Path

from metriq_gym.jobs import JobState
from tests.sandbox.fixture import SandboxControl
from tests.support.otlp import ReceivedSpan, Receiver, otlp_receiver
from tests.support.system import SERVICES, WIT, System, request, system

REQUESTED = "process metriq.events:job.requested:metriq.dispatcher"
DISPATCHED = "process metriq.events:job.dispatched:metriq.poller"
COMPLETED = "process metriq.events:job.completed:metriq.scorer"
SCORED = "process metriq.events:job.scored:metriq.exporter"
ON_ITS_WAY = {
    (REQUESTED, None),
    ("build circuits", REQUESTED),
    ("send metriq.events:job.dispatched", REQUESTED),
    (DISPATCHED, "send metriq.events:job.dispatched"),
    ("send metriq.events:job.completed", REQUESTED),
    (COMPLETED, "send metriq.events:job.completed"),
    ("score", COMPLETED),
    ("send metriq.events:job.scored", COMPLETED),
    (SCORED, "send metriq.events:job.scored"),
    ("export json", SCORED),
    ("send metriq.events:job.exported", SCORED),
}
"""The spans of every job, and what each is inside of."""


def described(trace: list[ReceivedSpan]) -> set[tuple[str, str | None]]:
    """The same of a trace that has arrived; the span of the request's sender is not ours."""
    names = {span.span_id: span.name for span in trace}
    return {(span.name, names.get(span.parent_id)) for span in trace}


async def traced(
    running: System, receiver: Receiver, job_id: str, expected: set[tuple[str, str | None]], **changes: object
) -> dict[str, ReceivedSpan]:
    """Run a job inside a trace, and return its spans by name once those that are expected have arrived."""
    trace_id = secrets.token_hex(16)
    body = request(job_id, config={**WIT, "shots": 100}) | changes
    await running.publish(body, traceparent=f"00-{trace_id}-{secrets.token_hex(8)}-01")
    assert (await running.ended(job_id)).state is JobState.EXPORTED
    with suppress(TimeoutError):
        await receiver.until(lambda: described(receiver.trace(trace_id)) >= expected)
    assert described(receiver.trace(trace_id)) == expected
    return {span.name: span for span in receiver.trace(trace_id)}


async def test_one_trace_goes_from_the_request_to_the_export(
    amqp_url: str, mongo_url: str, mongo_database: str, tmp_path: Path, tyxonq_sandbox: SandboxControl
) -> None:
    sent_soon = {name: {"OTEL_BSP_SCHEDULE_DELAY": "100"} for name in SERVICES}
    async with (
        otlp_receiver() as receiver,
        system(
            amqp_url,
            mongo_url,
            mongo_database,
            tmp_path,
            own=sent_soon,
            otlp_endpoint=receiver.url,
            tyxonq_token=tyxonq_sandbox.token,
            tyxonq_base_url=tyxonq_sandbox.url,
            reconcile_seconds=60,
        ) as running,
    ):
        local = await traced(
            running, receiver, "local", ON_ITS_WAY | {("run local", REQUESTED), ("wait local", REQUESTED)}
        )
        remote = await traced(
            running,
            receiver,
            "remote",
            ON_ITS_WAY | {("submit tyxonq", REQUESTED), ("wait tyxonq", REQUESTED)},
            provider="tyxonq",
            device="homebrew_s2",
        )

    assert {span.service for span in local.values()} == set(SERVICES)
    assert not [span for span in (*local.values(), *remote.values()) if span.failed]
    wait, submit = remote["wait tyxonq"], remote["submit tyxonq"]
    assert wait.attributes["metriq.job.id"] == "remote"
    assert wait.ended > wait.began >= submit.ended - 1  # one is the store's time, the other a service's

    # The poll that found the result was for many jobs, so it is a trace of its own: each links to the other.
    ((poll_trace, poll_span),) = wait.links
    (poll,) = [span for span in receiver.trace(poll_trace) if span.span_id == poll_span]
    assert poll.name == "poll tyxonq"
    assert poll.trace_id != wait.trace_id
    assert poll.links == [(wait.trace_id, wait.parent_id)]
