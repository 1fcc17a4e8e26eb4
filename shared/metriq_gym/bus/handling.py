"""What becomes of one delivery: run its handler inside the sender's trace, log how it went, name the outcome."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import structlog

from metriq_gym.bus.port import Delivery, Handler
from metriq_gym.bus.retry import LONGEST_WAIT, POISON, WAITING, RetryPolicy, jittered
from metriq_gym.bus.spans import processing
from metriq_gym.errors import FailureClass, Transient, Unreadable, classify
from metriq_gym.messages import SuiteRequested
from metriq_gym.telemetry import metrics, tracing
from metriq_gym.telemetry.harmless import around, harmless

logger = structlog.get_logger()

_LATER = 1.1
"""What was told to wait for the same time comes back spread over a tenth more."""


@dataclass(frozen=True, slots=True)
class Done:
    """Forget the delivery."""


@dataclass(frozen=True, slots=True)
class Again:
    """Deliver it again.

    Parameters
    ----------
    delivery:
        As the next attempt gets it.
    pause:
        Which of the queue's pauses it waits in, in seconds.
    seconds:
        How long it waits there: at most `pause`.
    """

    delivery: Delivery
    pause: float
    seconds: float


@dataclass(frozen=True, slots=True)
class Dead:
    """Give it up."""

    error: BaseException
    at: datetime


Outcome = Done | Again | Dead
"""What the queue is to do with the delivery."""


async def handle(handler: Handler, delivery: Delivery, queue: str, pauses: Sequence[float]) -> Outcome:
    """Run `handler` on a delivery of `queue` and say what follows. Raises only if our own task is cancelled.

    What is logged, counted and traced of it decides over nothing. A delivery that still has to wait is sent on unseen:
    it costs its service nothing until it is due.
    """
    if delivery.wait > 0:
        return _waiting(delivery, delivery.wait, pauses)
    with (
        around(lambda: structlog.contextvars.bound_contextvars(**_subject(delivery))),
        around(lambda: processing(delivery, queue)),
        around(lambda: metrics.DELIVERY_SECONDS.labels(queue).time()),
    ):
        outcome = await _handle(handler, delivery, pauses)
        what_became = _counted_as(outcome, delivery)
        with harmless():
            if not isinstance(outcome, Done):
                tracing.failed(what_became)
    with harmless():
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
        case Again(after):
            return "postponed" if after.failures == delivery.failures else "returned"
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
        with harmless():
            logger.warning("delivery.postponed", reason=str(error), **circumstances())
        return _postponed(delivery, error, pauses)
    except (Exception, asyncio.CancelledError) as error:
        if isinstance(error, asyncio.CancelledError) and _cancelled():
            raise
        with harmless():
            logger.exception("delivery.failed", **circumstances())
        return _failed(delivery, error, pauses)
    with harmless():
        logger.info("delivery.handled", **circumstances())
    return Done()


def _postponed(delivery: Delivery, error: Transient, pauses: Sequence[float]) -> Again:
    after = replace(delivery, attempt=delivery.attempt + 1)
    if classify(error) is FailureClass.TRANSIENT:
        after = replace(after, postponed=error.in_a_row or delivery.postponed + 1)
        pause = RetryPolicy(pauses).pause(after.postponed)
    else:
        pause = RetryPolicy(pauses[: len(WAITING.pauses)]).pause(delivery.attempt)
    if error.retry_after is not None and error.retry_after > pause:
        return _waiting(after, min(error.retry_after, LONGEST_WAIT) * random.uniform(1.0, _LATER), pauses)  # noqa: S311
    return Again(after, pause, jittered(pause))


def _waiting(delivery: Delivery, seconds: float, pauses: Sequence[float]) -> Again:
    """Wait for so long in all, by as many of the pauses as that takes, the longest first."""
    pause = max((each for each in pauses if each <= seconds), default=min(pauses))
    return Again(replace(delivery, wait=max(0.0, seconds - pause)), pause, pause)


def is_given_up(delivery: Delivery, error: BaseException) -> bool:
    """Whether a delivery becomes a dead letter when handling it ends with an error."""
    if isinstance(error, Transient):
        return False
    return POISON.is_exhausted(delivery.failures + 1) or isinstance(error, Unreadable)


def _failed(delivery: Delivery, error: BaseException, pauses: Sequence[float]) -> Outcome:
    now = datetime.now(UTC)
    if is_given_up(delivery, error):
        return Dead(error, now)
    since = delivery.failing_since or now
    after = replace(delivery, attempt=delivery.attempt + 1, failures=delivery.failures + 1, failing_since=since)
    return Again(after, pauses[0], jittered(pauses[0]))


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


def _cancelled() -> bool:
    """Whether it is our own task that is cancelled, not something that the handler awaited."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
