"""What becomes of one delivery: run its handler inside the sender's trace, log how it went, name the outcome."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Sequence
from enum import Enum, auto

import structlog

from metriq_gym import metrics, traceparent
from metriq_gym.bus.port import Delivery, Handler
from metriq_gym.errors import Transient

logger = structlog.get_logger()


class Outcome(Enum):
    """What the queue is to do with the delivery."""

    DONE = auto()
    """Forget it."""
    LATER = auto()
    """Deliver it again after a pause; this try does not count against the limit."""
    AGAIN = auto()
    """Deliver it again now; this try counts."""


_COUNTED_AS = {Outcome.DONE: "handled", Outcome.LATER: "postponed", Outcome.AGAIN: "returned"}


async def handle(handler: Handler, delivery: Delivery, queue: str) -> Outcome:
    """Run `handler` on a delivery of `queue` and name its `Outcome`. Raises only if our own task is cancelled."""
    with metrics.DELIVERY_SECONDS.labels(queue).time():
        outcome = await _handle(handler, delivery)
    metrics.DELIVERIES.labels(queue, _COUNTED_AS[outcome]).inc()
    return outcome


async def _handle(handler: Handler, delivery: Delivery) -> Outcome:
    started = time.perf_counter()

    def circumstances() -> dict[str, object]:
        # A request need not say which job it is about: then the handler finds out and binds it to the context.
        about = {"job_id": delivery.correlation_id} if delivery.correlation_id else {}
        return about | {
            "delivery": delivery.message_id,
            "routing_key": delivery.routing_key,
            "attempt": delivery.attempt,
            "duration_ms": round(1000 * (time.perf_counter() - started), 3),
        }

    with traceparent.continued(delivery.headers.get("traceparent")):
        try:
            await handler(delivery)
        except Transient as error:
            logger.warning("delivery.postponed", reason=str(error), **circumstances())
            return Outcome.LATER
        except (Exception, asyncio.CancelledError) as error:
            if isinstance(error, asyncio.CancelledError) and _cancelled():
                raise
            logger.exception("delivery.failed", **circumstances())
            return Outcome.AGAIN
        logger.info("delivery.handled", **circumstances())
        return Outcome.DONE


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
