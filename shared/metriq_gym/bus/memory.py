"""The message queue inside one process, for the embedded runtime and for tests; what it holds ends with it."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Self

from metriq_gym.bus.dead_letters import DeadLetter, given_up
from metriq_gym.bus.handling import Again, Dead, Done, Outcome, ended, handle
from metriq_gym.bus.in_hand import InHand
from metriq_gym.bus.port import DEAD_LETTERS, LANES, QUEUES, Delivery, Handler, Queue
from metriq_gym.bus.retry import TRANSIENT
from metriq_gym.bus.spans import sending
from metriq_gym.errors import Unavailable, Unroutable
from metriq_gym.messages import Message


class _Queue:
    """What waits for one service. A place is taken from publishing until the message is done with."""

    def __init__(self, capacity: int) -> None:
        self.places = asyncio.Semaphore(capacity)
        self.ready: asyncio.Queue[Delivery] = asyncio.Queue()


class MemoryBus:
    """A `Bus` in memory. `dead_letters` holds what was given up."""

    def __init__(
        self,
        *,
        queues: Sequence[Queue] = (*QUEUES, *LANES),
        capacity: int = 10_000,
        retry_pauses: Sequence[float] = TRANSIENT.pauses,
        patience: float = 30.0,
    ) -> None:
        """A queue takes `capacity` messages; publishing to a full one waits for at most `patience` seconds."""
        self._bindings = {queue.name: queue.routing_keys for queue in queues}
        self._homes = {queue.name: queue.home for queue in queues}
        self._queues = {queue.name: _Queue(capacity) for queue in queues}
        self._retry_pauses = tuple(retry_pauses)
        self._patience = patience
        self._subscriptions: list[MemorySubscription] = []
        self._connected = False
        self._pending = 0
        self._none_pending = asyncio.Event()
        self._none_pending.set()
        self.dead_letters: list[DeadLetter] = []

    async def __aenter__(self) -> Self:
        self._connected = True
        return self

    async def __aexit__(self, *_: object) -> None:
        for subscription in self._subscriptions:
            await subscription.stop()
        self._connected = False

    @property
    def connected(self) -> bool:
        return self._connected

    @property
    def refused(self) -> bool:
        return False

    async def publish(self, message: Message) -> None:
        with sending(message) as traceparent:
            await self._publish(message, traceparent)

    async def _publish(self, message: Message, traceparent: str) -> None:
        delivery = Delivery(
            routing_key=message.routing_key,
            body=message.encoded(),
            message_id=message.message_id,
            correlation_id=message.correlation_id,
            headers={"traceparent": traceparent},
        )
        bound = list(self._bound(message.routing_key))
        if message.has_consumer and not bound:
            raise Unroutable(f"No queue is bound to receive {message.routing_key}.")
        for name in bound:
            await self._take(name, delivery)

    async def set_aside(self, delivery: Delivery, lane: Queue) -> None:
        await self._take(lane.name, delivery)

    async def _take(self, name: str, delivery: Delivery) -> None:
        queue = self._queues[name]
        try:
            await asyncio.wait_for(queue.places.acquire(), self._patience)
        except TimeoutError as error:
            raise Unavailable(f"{name} has been full for {self._patience:g} s.") from error
        self._put(queue, delivery)

    async def replay(self, letter: DeadLetter) -> None:
        """Give a dead letter to the service that gave it up once more."""
        queue = self._queues[letter.queue]
        await queue.places.acquire()
        self._put(queue, Delivery(letter.routing_key, letter.body, letter.message_id, letter.job_id))

    async def idle(self) -> None:
        """Return when everything that was published has been handled, and what its handlers published as well.

        Deliveries that wait to be tried again later are not waited for.
        """
        await self._none_pending.wait()

    async def consume(self, queue: Queue, handler: Handler, *, prefetch: int) -> MemorySubscription:
        subscription = MemorySubscription(self, queue, handler, prefetch)
        self._subscriptions.append(subscription)
        return subscription

    async def waiting(self) -> dict[str, int]:
        waiting = {name: queue.ready.qsize() for name, queue in self._queues.items()}
        return {**waiting, DEAD_LETTERS: len(self.dead_letters)}

    @asynccontextmanager
    async def old_letters(self, before: datetime, *, most: int) -> AsyncIterator[list[MemoryLetter]]:
        old = [each for each in self.dead_letters[:most] if each.was_given_up(before)]
        yield [MemoryLetter(each, self.dead_letters) for each in old]

    async def consumers(self) -> dict[str, int]:
        taking = Counter(each.queue for each in self._subscriptions if not each.gone)
        return {name: taking[name] for name in self._queues if self._bindings[name]}

    def _bound(self, routing_key: str) -> Iterator[str]:
        words = routing_key.split(".")
        for name, patterns in self._bindings.items():
            if any(_matches(pattern.split("."), words) for pattern in patterns):
                yield name

    def _put(self, queue: _Queue, delivery: Delivery) -> None:
        self._pending += 1
        self._none_pending.clear()
        queue.ready.put_nowait(delivery)

    def _settle(self, name: str, delivery: Delivery, outcome: Outcome | None) -> None:
        """Carry out an outcome; None stands for a handler that was cut short."""
        queue = self._queues[name]
        match outcome:
            case Again(after, _, seconds):
                asyncio.get_running_loop().call_later(seconds, self._put, queue, after)
            case Dead(error, at):
                self.dead_letters.append(given_up(self._homes[name], delivery, error, at, delivery.routing_key))
                queue.places.release()
            case Done():
                queue.places.release()
            case None:
                self._put(queue, replace(delivery, attempt=delivery.attempt + 1))
        self._pending -= 1
        if not self._pending:
            self._none_pending.set()


@dataclass(frozen=True, slots=True)
class MemoryLetter:
    """A dead letter of a `MemoryBus`."""

    letter: DeadLetter
    _letters: list[DeadLetter]

    async def drop(self) -> None:
        """Remove it for good."""
        self._letters.remove(self.letter)


class MemorySubscription:
    """A consumer of one queue of a `MemoryBus`."""

    def __init__(self, bus: MemoryBus, queue: Queue, handler: Handler, prefetch: int) -> None:
        self._bus = bus
        self._name = queue.name
        self._lane = queue.lane
        self._handler = handler
        self._in_hand = InHand()
        self._stopped = False
        self._prefetch = prefetch
        self._taking = asyncio.create_task(self._take())

    @property
    def queue(self) -> str:
        return self._name

    @property
    def healthy(self) -> bool:
        return not self._taking.done()

    @property
    def gone(self) -> bool:
        return self._stopped or (self._prefetch > 0 and self._taking.done())

    @property
    def unsettled_seconds(self) -> float:
        return self._in_hand.longest_seconds

    def admit(self, prefetch: int) -> None:
        if not self._stopped and prefetch != self._prefetch:
            self._prefetch = prefetch
            self._taking.cancel()
            self._taking = asyncio.create_task(self._take())

    async def stop(self) -> None:
        self._stopped = True
        self._taking.cancel()
        await asyncio.wait([self._taking])
        await ended(self._in_hand.tasks)

    async def _take(self) -> None:
        ready = self._bus._queues[self._name].ready
        while self._prefetch:
            while len(self._in_hand.tasks) >= self._prefetch:
                await asyncio.wait(self._in_hand.tasks, return_when=asyncio.FIRST_COMPLETED)
            # Nothing is awaited between here and the task, so stopping cannot lose what was taken.
            self._in_hand.take(self._handle(await ready.get()))

    async def _handle(self, delivery: Delivery) -> None:
        outcome = None
        delivery = replace(delivery, lane=self._lane)
        try:
            outcome = await handle(self._handler, delivery, self._bus._homes[self._name], self._bus._retry_pauses)
        finally:
            self._bus._settle(self._name, delivery, outcome)


def _matches(pattern: Sequence[str], words: Sequence[str]) -> bool:
    """AMQP topic matching: ``*`` is exactly one word, ``#`` any number of them."""
    match pattern:
        case []:
            return not words
        case ["#", *rest]:
            return any(_matches(rest, words[start:]) for start in range(len(words) + 1))
        case [first, *rest]:
            return bool(words) and first in ("*", words[0]) and _matches(rest, words[1:])
    raise AssertionError(pattern)
