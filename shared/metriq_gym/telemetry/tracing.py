"""Traces: which request a message, a job and a log line belong to.

Every message carries a W3C trace context and every job that of its dispatch, so that one trace goes from the request to
the export, however long a provider takes. Spans are made, and OpenTelemetry is imported, only inside `exported`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Literal

from metriq_gym.errors import MetriqGymError
from metriq_gym.telemetry import traceparent
from metriq_gym.telemetry.harmless import around, harmless

if TYPE_CHECKING:
    from metriq_gym.telemetry.otel import Spans

Kind = Literal["internal", "client", "producer", "consumer"]
Attributes = Mapping[str, str | int]

_spans: Spans | None = None


@contextmanager
def exported(endpoint: str | None, service: str) -> Iterator[None]:
    """While inside, make spans and send them by OTLP over HTTP to `endpoint`, if there is one; on leaving, the rest."""
    global _spans
    if endpoint is None:
        yield
        return
    try:
        from metriq_gym.telemetry.otel import Spans, to
    except ModuleNotFoundError as error:
        raise MetriqGymError(f"METRIQ_OTLP_ENDPOINT needs the extra `otel` ({error})") from error
    _spans = Spans(to(endpoint), service)
    try:
        yield
    finally:
        with harmless():
            _spans.close()
        _spans = None


@contextmanager
def continued(header: object) -> Iterator[None]:
    """While inside, spans and messages belong to the trace that `header` names (any other value starts a new one)."""
    with around(lambda: (_spans or traceparent).continued(header)):
        yield


@contextmanager
def span(
    name: str,
    kind: Kind = "internal",
    attributes: Attributes | None = None,
    *,
    links: Sequence[str] = (),
    began: datetime | None = None,
) -> Iterator[None]:
    """Make a span of what goes on inside; it fails if an exception leaves it.

    `links` are the trace contexts of other work that this has to do with; `began` says when it began, if before.
    """
    spans = _spans
    if spans is None:
        yield
        return
    with around(lambda: spans.span(name, kind, attributes or {}, links, began)):
        yield


def current() -> str:
    """Return a ``traceparent`` for what is going on now, be it a span or only a trace."""
    if _spans is not None:
        with harmless():
            return _spans.current()
    return traceparent.current()


def annotate(attributes: Attributes) -> None:
    """Add to what is known of the span that is under way."""
    if _spans is not None:
        with harmless():
            _spans.annotate(attributes)


def failed(error_type: str) -> None:
    """Say that the span under way did not succeed, though no exception leaves it."""
    if _spans is not None:
        with harmless():
            _spans.failed(error_type)


def ids() -> dict[str, str]:
    """Return ``trace_id`` and, where there are spans, ``span_id`` of what is going on now; nothing outside a trace."""
    if _spans is not None:
        with harmless():
            return _spans.ids()
    return traceparent.ids()
