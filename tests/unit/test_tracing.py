"""Spans: named by the conventions, joined into one trace, and nothing at all where nobody wants them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.semconv._incubating.attributes import messaging_attributes
from opentelemetry.trace import SpanKind, StatusCode, format_span_id, format_trace_id

from metriq_gym.bus.handling import handle
from metriq_gym.bus.memory import MemoryBus
from metriq_gym.bus.port import POLLER, SCORER, Delivery
from metriq_gym.bus.retry import TRANSIENT
from metriq_gym.errors import MetriqGymError, Transient
from metriq_gym.messages import JobCompleted, JobDispatched
from metriq_gym.telemetry import tracing
from metriq_gym.telemetry.otel import Spans
from tests.support.handlers import Recorder

GIVEN = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> Iterator[InMemorySpanExporter]:
    """The spans that were made and have ended."""
    exporter = InMemorySpanExporter()
    spans = Spans(SimpleSpanProcessor(exporter), "test")
    monkeypatch.setattr(tracing, "_spans", spans)
    yield exporter
    spans.close()


def named(made: InMemorySpanExporter, name: str) -> ReadableSpan:
    (span,) = [each for each in made.get_finished_spans() if each.name == name]
    return span


def header(span: ReadableSpan) -> str:
    assert span.context is not None
    return f"00-{format_trace_id(span.context.trace_id)}-{format_span_id(span.context.span_id)}-01"


@pytest.mark.slow
def test_without_an_address_opentelemetry_is_not_even_imported() -> None:
    code = (
        "import sys, services.embedded\n"
        "from metriq_gym.telemetry import tracing\n"
        "with tracing.exported(None, 'x'), tracing.continued(None), tracing.span('y'):\n"
        "    tracing.annotate({'a': 1}); tracing.failed('b')\n"
        "assert not [name for name in sys.modules if name.startswith('opentelemetry')]"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_an_address_without_the_extra_is_an_error_that_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "metriq_gym.telemetry.otel", None)
    with pytest.raises(MetriqGymError, match="extra `otel`"), tracing.exported("http://127.0.0.1:4318", "x"):
        pass


@pytest.mark.slow
def test_a_receiver_that_is_away_keeps_no_service_from_ending() -> None:
    with tracing.exported("http://127.0.0.1:9", "x"), tracing.span("y"):
        pass


async def test_a_message_and_its_handling_are_spans_of_the_senders_trace(made: InMemorySpanExporter) -> None:
    async with MemoryBus() as bus:
        scorer = Recorder()
        await bus.consume(SCORER, scorer, prefetch=1)

        async def poll(_: Delivery) -> None:
            await bus.publish(JobCompleted(job_id="a"))

        with tracing.continued(GIVEN):
            await bus.publish(JobDispatched(job_id="a"))
        await bus.consume(POLLER, poll, prefetch=1)
        await scorer.received(1)
        await bus.idle()

    chain = [
        "send metriq.events:job.dispatched",
        "process metriq.events:job.dispatched:metriq.poller",
        "send metriq.events:job.completed",
        "process metriq.events:job.completed:metriq.scorer",
    ]
    parent = GIVEN.split("-")[2]
    for name, kind in zip(chain, [SpanKind.PRODUCER, SpanKind.CONSUMER] * 2, strict=True):
        span = named(made, name)
        assert span.kind is kind
        assert span.parent is not None
        assert format_span_id(span.parent.span_id) == parent
        trace_id, parent = header(span).split("-")[1:3]
        assert trace_id == GIVEN.split("-")[1]
    assert scorer.deliveries[0].headers["traceparent"] == header(named(made, chain[2]))


async def test_what_a_span_says_of_a_message_has_the_names_of_the_conventions(made: InMemorySpanExporter) -> None:
    delivery = Delivery("job.dispatched", b"12345", message_id="m", correlation_id="j", attempt=2)
    await handle(Recorder(), delivery, POLLER.name, TRANSIENT.pauses)
    span = named(made, "process metriq.events:job.dispatched:metriq.poller")
    assert span.attributes == {
        messaging_attributes.MESSAGING_SYSTEM: "rabbitmq",
        messaging_attributes.MESSAGING_OPERATION_NAME: "process",
        messaging_attributes.MESSAGING_OPERATION_TYPE: "process",
        messaging_attributes.MESSAGING_DESTINATION_NAME: "metriq.events:job.dispatched:metriq.poller",
        messaging_attributes.MESSAGING_RABBITMQ_DESTINATION_ROUTING_KEY: "job.dispatched",
        messaging_attributes.MESSAGING_MESSAGE_ID: "m",
        messaging_attributes.MESSAGING_MESSAGE_CONVERSATION_ID: "j",
        messaging_attributes.MESSAGING_MESSAGE_BODY_SIZE: 5,
        "metriq.delivery.attempt": 2,
    }
    assert span.status.status_code is StatusCode.UNSET


@pytest.mark.parametrize(("error", "outcome"), [(Transient("away"), "postponed"), (ValueError("bug"), "returned")])
async def test_a_delivery_that_comes_again_is_a_span_that_failed(
    made: InMemorySpanExporter, error: Exception, outcome: str
) -> None:
    def fail(_: Delivery) -> None:
        raise error

    await handle(Recorder(fail), Delivery("job.dispatched", b""), POLLER.name, TRANSIENT.pauses)
    span = named(made, "process metriq.events:job.dispatched:metriq.poller")
    assert span.status.status_code is StatusCode.ERROR
    assert span.attributes is not None
    assert span.attributes["error.type"] == outcome


def test_what_raised_is_named_and_not_quoted(made: InMemorySpanExporter) -> None:
    with pytest.raises(ValueError, match="secret"), tracing.span("work"):
        raise ValueError("secret")
    span = named(made, "work")
    assert span.attributes == {"error.type": "ValueError"}
    assert "secret" not in span.to_json()


def test_a_span_can_have_begun_before_and_link_to_other_traces(made: InMemorySpanExporter) -> None:
    began = datetime.now(UTC) - timedelta(hours=5)
    with tracing.span("poll"):
        found_by = tracing.current()
        with tracing.continued(GIVEN), tracing.span("wait", links=[found_by], began=began):
            pass
    wait, poll = named(made, "wait"), named(made, "poll")
    assert [format_span_id(link.context.span_id) for link in wait.links] == [header(poll).split("-")[2]]
    assert header(wait).split("-")[1] == GIVEN.split("-")[1]
    assert wait.start_time is not None
    assert wait.end_time is not None
    assert wait.end_time - wait.start_time >= 5 * 3600 * 10**9


@pytest.mark.parametrize("junk", [None, "", "junk", b"00-", 7, f"00-{'0' * 32}-b7ad6b7169203331-01", "x" * 10_000])
def test_junk_starts_a_new_trace(made: InMemorySpanExporter, junk: object) -> None:
    with tracing.continued(GIVEN), tracing.continued(junk), tracing.span("work"):
        assert tracing.ids()["trace_id"] == tracing.current().split("-")[1] != GIVEN.split("-")[1]
        assert tracing.ids()["span_id"] == tracing.current().split("-")[2]
    assert named(made, "work").parent is None


def test_a_trace_that_its_sender_does_not_sample_stays_unsampled(made: InMemorySpanExporter) -> None:
    with tracing.continued(GIVEN[:-2] + "00"), tracing.span("work"):
        assert tracing.current().split("-")[1] == GIVEN.split("-")[1]
        assert tracing.current().endswith("-00")
    assert not made.get_finished_spans()
