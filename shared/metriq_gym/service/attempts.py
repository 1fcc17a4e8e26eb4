"""One attempt at a delivery, and what its failure means for the job, before the queue hears of it.

The error's class says what kind of failure it is (`metriq_gym.errors`). What is written to the store here is written
before the message is settled; delivered again, it comes to the same.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import structlog

from metriq_gym.bus.dead_letters import in_a_line
from metriq_gym.bus.handling import is_given_up
from metriq_gym.bus.identity import job_of
from metriq_gym.bus.port import Bus, Delivery
from metriq_gym.bus.retry import POISON, TRANSIENT
from metriq_gym.errors import (
    Crowded,
    FailureClass,
    Lethal,
    NoMeans,
    NotFound,
    NotYet,
    Transient,
    Unreadable,
    UnreadableDocument,
    classify,
    means,
)
from metriq_gym.jobs import Failure, JobState
from metriq_gym.jobs.states import PLACED_TASKS, Stage
from metriq_gym.service import waiting
from metriq_gym.service.breaker import Breaker
from metriq_gym.service.letters import dead_letter
from metriq_gym.service.lifecycle import announce_again, fail
from metriq_gym.service.waiting import WAITING_SECONDS
from metriq_gym.store import Store
from metriq_gym.wording import duration

log = structlog.get_logger()

SUSPECT_FROM = 2
"""Messages whose process, or connection, has ended so many times are handled one at a time, in another order each time.
If one of them does it again, those before it are done by then and not blamed with it."""
SHUFFLE_SECONDS = 1.0
SETTLING_SECONDS = 0.1
"""How long an acknowledgement, which nothing confirms, may take to leave the process."""
HANDLING_SECONDS = 25 * 60.0
"""How long handling a message may take: longer than building or scoring may, and less than the 30 minutes after which
RabbitMQ takes a message for lost."""
SETTLED_SECONDS = HANDLING_SECONDS + WAITING_SECONDS + 60.0
"""A delivery that is in hand for longer is stuck: handling it was cut off by then, and settling it takes a minute."""
LETHAL_LETTERS = 3
"""After so many of its messages have ended their process time and again, a job is held. One would do where only one
message was in hand; with others it cannot be told whose fault it was, and theirs are tried again."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """How one service attempts a delivery.

    Parameters
    ----------
    stage:
        Where a job fails that fails here; None if it has its result by then and can fail no more.
    refuse:
        Lets a request end that never became a job, for the reason given; returns false if the delivery is none.
    """

    service: str
    stage: Stage | None
    store: Store
    bus: Bus
    breaker: Breaker
    refuse: Callable[[Delivery, str], Awaitable[bool]]
    _one_by_one: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def __call__(self, delivery: Delivery, handle: Callable[[Delivery], Awaitable[None]]) -> None:
        """Handle a delivery; raises what keeps the message from being done with."""
        if not self.breaker.lets_through:
            raise NotYet(f"the {self.service} has stopped")
        try:
            # Once may be chance, as in a roll-out.
            if delivery.returned > 1 and POISON.is_exhausted(delivery.failures + 1):
                raise Lethal(f"handling it ended the process, or its connection, {delivery.returned} times in a row")
            if delivery.returned < SUSPECT_FROM:
                await _in_time(handle, delivery)
            else:
                await asyncio.sleep(SHUFFLE_SECONDS * random.random())  # noqa: S311
                await self._alone()
                await _in_time(handle, delivery)
        except Crowded:
            self.breaker.crowded()
            raise
        except NoMeans as error:
            self.breaker.missed(str(error))
            raise
        except Exception as error:
            if not await self._ends(delivery, job_of(delivery), error):
                raise
        self.breaker.handled()

    async def _alone(self) -> None:
        """Return when no other of those that are handled one at a time is in hand, if that comes in time."""
        try:
            async with asyncio.timeout(WAITING_SECONDS):
                await self._one_by_one.acquire()
        except TimeoutError:
            raise NotYet("others that may have ended the process are handled first") from None
        if (in_hand := asyncio.current_task()) is not None:
            in_hand.add_done_callback(self._next)

    def _next(self, _: asyncio.Task[Any]) -> None:
        # Its task has settled the delivery: were the process ended before that has left it, it would be blamed as well.
        asyncio.get_running_loop().call_later(SETTLING_SECONDS, self._one_by_one.release)

    async def _ends(self, delivery: Delivery, job_id: str | None, error: Exception) -> bool:
        """See to the job of a delivery that failed; return whether it has ended, and the message with it."""
        if isinstance(error, (Unreadable, UnreadableDocument)):
            # Neither the service's fault nor the job's: a stranger's message, or a document for a version that can read
            # it.
            await self._announce_letter(delivery, error)
            return False
        match classify(error):
            case FailureClass.PERMANENT:
                if await self._end(delivery, job_id, str(error)):
                    return True
                await self._announce_letter(delivery, error)
            case FailureClass.TRANSIENT:
                tried, seconds = await self._note(delivery, job_id, error)
                if isinstance(error, Transient):
                    error.in_a_row = tried
                # A job's attempts are counted for all messages about it, of which anyone may publish any number.
                if TRANSIENT.is_exhausted(min(tried, delivery.postponed + 1), seconds):
                    spent = f" over {duration(seconds)}" if seconds else ""
                    return await self._end(delivery, job_id, f"given up after {tried} attempts{spent}: {error}")
            case FailureClass.POISON if not self.breaker.is_closed:
                # Then it counts for nothing: it is the service that has to be mended first.
                log.warning("service cannot go on yet", job_id=job_id, exc_info=error)
                self.breaker.failed()
                raise NotYet(f"the {self.service} has stopped: {in_a_line(error)}") from error
            case FailureClass.POISON if POISON.is_exhausted(delivery.failures + 1):
                self.breaker.buried()  # before anything is awaited: others that are in hand are to see it
                await self._announce_letter(delivery, error)
                if job_id is not None:
                    await self._hold(job_id, error)
        return False

    async def _announce_letter(self, delivery: Delivery, error: Exception) -> None:
        """Store what is told of a delivery that becomes a dead letter; while the store is away it does not become one.

        Raises `Transient`.
        """
        if is_given_up(delivery, error):
            await self.store.notices.add([dead_letter(self.service, delivery, error)])

    async def _hold(self, job_id: str, error: Exception) -> None:
        """See to the job of a message that becomes a dead letter."""
        reason = f"the {self.service} gave up a message: {in_a_line(error)}"
        hold_after = LETHAL_LETTERS if isinstance(error, Lethal) else 1
        try:
            await self.store.troubles.give_up(job_id, self.service, reason, hold_after=hold_after)
        except Transient as away:
            # The letter says the same, and the reconciler brings us back here.
            log.warning("job not held", job_id=job_id, reason=str(away))

    async def _note(self, delivery: Delivery, job_id: str | None, error: Exception) -> tuple[int, float]:
        """Return how many attempts in a row have failed, and over how many seconds."""
        tried = delivery.postponed + 1
        asked = error.retry_after if isinstance(error, Transient) else None
        if job_id is not None:
            noted = await self.store.troubles.failed_attempt(
                job_id,
                self.service,
                str(error),
                progress=await self.store.tasks.count(job_id, *PLACED_TASKS),
                next_seconds=max(TRANSIENT.pause(tried), asked or 0.0),
            )
            if noted is not None:
                return noted.count, noted.seconds
        return tried, 0.0

    async def _end(self, delivery: Delivery, job_id: str | None, reason: str) -> bool:
        if self.stage is None:
            return False
        if job_id is None:
            return await self.refuse(delivery, reason)
        failure = Failure(outcome="error", reason=reason, source=self.stage)
        try:
            job = await fail(self.store, job_id, failure, service=self.service)
        except NotFound:
            return await self.refuse(delivery, reason)
        if job.state is JobState.FAILED:
            await announce_again(self.store, self.bus, job)
        return True


async def _in_time(handle: Callable[[Delivery], Awaitable[None]], delivery: Delivery) -> None:
    """Handle a delivery, but not for ever: to be cut off is to a handler what a crash is."""
    try:
        async with asyncio.timeout(HANDLING_SECONDS) as limit:
            with waiting.bounded(WAITING_SECONDS, limit), means():
                await handle(delivery)
    except TimeoutError as error:
        if limit.expired():
            raise TimeoutError(f"not handled within {duration(HANDLING_SECONDS)}") from error
        raise
