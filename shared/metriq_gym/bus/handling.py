"""What becomes of one delivery: run its handler inside the sender's trace, log how it went, name the outcome."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import structlog

from metriq_gym.bus.failures import FailureClass, classify
from metriq_gym.bus.port import DELIVERY_LIMIT, WAITING_PAUSES, Delivery, Handler
from metriq_gym.bus.spans import processing
from metriq_gym.errors import Transient, Unreadable
from metriq_gym.messages import SuiteRequested
from metriq_gym.telemetry import metrics, tracing

logger = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Done:
    """Forget the delivery."""


@dataclass(frozen=True, slots=True)
class Again:
    """Deliver it again after `pause` seconds, jittered, with what the next attempt is to know."""

    pause: float
    failures: int
    failing_since: datetime | None
    postponed: int


@dataclass(frozen=True, slots=True)
class Dead:
    """Give it up."""

    error: BaseException
    at: datetime


Outcome = Done | Again | Dead
"""What the queue is to do with the delivery."""


async def handle(handler: Handler, delivery: Delivery, queue: str, pauses: Sequence[float]) -> Outcome:
    """Run `handler` on a delivery of `queue` and say what follows. Raises only if our own task is cancelled."""
    with (
        structlog.contextvars.bound_contextvars(**_subject(delivery)),
        processing(delivery, queue),
        metrics.DELIVERY_SECONDS.labels(queue).time(),
    ):
        outcome = await _handle(handler, delivery, pauses)
        what_became = _counted_as(outcome, delivery)
        if not isinstance(outcome, Done):
            tracing.failed(what_became)
    metrics.DELIVERIES.labels(queue, what_became).inc()
    return outcome


def _subject(delivery: Delivery) -> dict[str, str]:
    """Return the id of what a delivery is about, for logs. A request need not say: then its handler does."""
    if not delivery.correlation_id:
        return {}
    name = "suite_id" if delivery.routing_key == SuiteRequested.routing_key else "job_id"
    return {name: delivery.correlation_id}


def _counted_as(outcome: Outcome, delivery: Delivery) -> str:
    match outcome:
        case Done():
            return "handled"
        case Again(failures=failures):
            return "postponed" if failures == delivery.failures else "returned"
        case Dead():
            return "given_up"


async def _handle(handler: Handler, delivery: Delivery, pauses: Sequence[float]) -> Outcome:
    started = time.perf_counter()

    def circumstances() -> dict[str, object]:
        return _subject(delivery) | {
            "delivery": delivery.message_id,
            "routing_key": delivery.routing_key,
            "attempt": delivery.attempt,
            "duration_ms": round(1000 * (time.perf_counter() - started), 3),
        }

    try:
        await handler(delivery)
    except Transient as error:
        logger.warning("delivery.postponed", reason=str(error), **circumstances())
        return _postponed(delivery, error, pauses)
    except (Exception, asyncio.CancelledError) as error:
        if isinstance(error, asyncio.CancelledError) and _cancelled():
            raise
        logger.exception("delivery.failed", **circumstances())
        return _failed(delivery, error, pauses)
    logger.info("delivery.handled", **circumstances())
    return Done()


def _postponed(delivery: Delivery, error: Transient, pauses: Sequence[float]) -> Again:
    if classify(error) is FailureClass.TRANSIENT:
        postponed = delivery.postponed + 1
        pause = retry_pause(pauses, postponed)
    else:
        postponed = delivery.postponed
        pause = retry_pause(pauses[:WAITING_PAUSES], delivery.attempt)
    return Again(pause, delivery.failures, delivery.failing_since, postponed)


def _failed(delivery: Delivery, error: BaseException, pauses: Sequence[float]) -> Outcome:
    now = datetime.now(UTC)
    failures = delivery.failures + 1
    if failures >= DELIVERY_LIMIT or isinstance(error, Unreadable):
        return Dead(error, now)
    return Again(pauses[0], failures, delivery.failing_since or now, delivery.postponed)


async def ended(handlers: set[asyncio.Task[None]]) -> None:
    """Return when no handler is left; if the wait is cancelled, so are they, to hand back what they do."""
    try:
        while handlers:
            await asyncio.wait(handlers)
    except asyncio.CancelledError:
        for handler in handlers:
            handler.cancel()
        while handlers:
            await asyncio.wait(handlers)
        raise


def retry_pause(pauses: Sequence[float], attempt: int) -> float:
    """Return the seconds, before jitter, from a try that failed for now (1 is the first) to the next."""
    return pauses[min(attempt, len(pauses)) - 1]


def jittered(seconds: float) -> float:
    """Return a random time between half of `seconds` and all, so that what failed together comes back apart."""
    return seconds * random.uniform(0.5, 1.0)  # noqa: S311


def _cancelled() -> bool:
    """Whether it is our own task that is cancelled, not something that the handler awaited."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
