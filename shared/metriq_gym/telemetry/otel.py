"""Spans by OpenTelemetry's SDK, which reads its own variables (``OTEL_…``) for whatever is not said here."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from secrets import token_hex
from threading import Thread

from opentelemetry import context, trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_INSTANCE_ID, SERVICE_NAME, SERVICE_NAMESPACE, SERVICE_VERSION, Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.semconv.attributes.error_attributes import ERROR_TYPE
from opentelemetry.semconv.schemas import Schemas
from opentelemetry.trace import Link, SpanKind, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from metriq_gym import __version__
from metriq_gym.telemetry import traceparent
from metriq_gym.telemetry.tracing import Attributes, Kind

FLUSH_SECONDS = 5.0
"""How long a service that ends waits for what is left to be sent."""
_KINDS = {
    "internal": SpanKind.INTERNAL,
    "client": SpanKind.CLIENT,
    "producer": SpanKind.PRODUCER,
    "consumer": SpanKind.CONSUMER,
}
_propagator = TraceContextTextMapPropagator()


def to(endpoint: str) -> SpanProcessor:
    """Return what sends spans in batches to an OTLP receiver; `endpoint` is its address without a signal's path."""
    return BatchSpanProcessor(OTLPSpanExporter(endpoint=f"{endpoint.rstrip('/')}/v1/traces"))


class Spans:
    """Makes the spans of one process. `tracing` says what the methods do."""

    def __init__(self, processor: SpanProcessor, service: str) -> None:
        resource = Resource.create(
            {
                SERVICE_NAMESPACE: "metriq-gym",
                SERVICE_NAME: service,
                SERVICE_VERSION: __version__,
                SERVICE_INSTANCE_ID: token_hex(8),
            }
        )
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._provider.add_span_processor(processor)
        self._tracer = self._provider.get_tracer("metriq_gym", __version__, schema_url=Schemas.V1_44_0.value)

    def close(self) -> None:
        """Send what is left. A receiver that is away must not keep a service from ending in time."""
        closing = Thread(target=self._provider.shutdown, daemon=True)
        closing.start()
        closing.join(FLUSH_SECONDS)

    @contextmanager
    def continued(self, header: object) -> Iterator[None]:
        token = context.attach(_context(header))
        try:
            yield
        finally:
            context.detach(token)

    @contextmanager
    def span(
        self, name: str, kind: Kind, attributes: Attributes, links: Sequence[str], began: datetime | None
    ) -> Iterator[None]:
        with self._tracer.start_as_current_span(
            name,
            kind=_KINDS[kind],
            attributes=attributes,
            links=[Link(trace.get_current_span(_context(link)).get_span_context()) for link in links],
            start_time=None if began is None else int(began.timestamp() * 1e9),
            record_exception=False,  # the log has it, after redaction
            set_status_on_exception=False,
        ):
            try:
                yield
            except BaseException as error:
                self.failed(type(error).__name__)
                raise

    def annotate(self, attributes: Attributes) -> None:
        trace.get_current_span().set_attributes(attributes)

    def failed(self, error_type: str) -> None:
        span = trace.get_current_span()
        span.set_attribute(ERROR_TYPE, error_type)
        span.set_status(StatusCode.ERROR)

    def current(self) -> str:
        carrier: dict[str, str] = {}
        _propagator.inject(carrier)
        return carrier.get("traceparent") or traceparent.current()

    def ids(self) -> dict[str, str]:
        found = trace.get_current_span().get_span_context()
        if not found.is_valid:
            return {}
        return {"trace_id": trace.format_trace_id(found.trace_id), "span_id": trace.format_span_id(found.span_id)}


def _context(header: object) -> context.Context:
    """Return the context that a header names, or one without a trace."""
    carrier = {"traceparent": header} if isinstance(header, str) else {}
    return _propagator.extract(carrier, context=context.Context())
