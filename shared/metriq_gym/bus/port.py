"""What the services need of a message queue: publish with confirmation, consume at least once.

A handler's end decides what becomes of its delivery:

- it returns: acknowledged;
- it raises `Transient`: delivered again after a pause, or after ``retry_after`` where that is longer, as often as it
  takes, and other deliveries take its place meanwhile;
- it raises `Unreadable`: a dead letter at once;
- it raises anything else: delivered again after the first pause, as often as the policy for poison allows; then it
  becomes a dead letter, which says why;
- its process dies: delivered again at once, which counts as well.

`metriq_gym.bus.retry` has the pauses and the bounds.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol

from metriq_gym.messages import Message

if TYPE_CHECKING:
    from metriq_gym.bus.dead_letters import DeadLetter


@dataclass(frozen=True, slots=True)
class Queue:
    """A service's queue and the routing keys it is bound to, with AMQP's wildcards ``*`` and ``#``."""

    name: str
    routing_keys: tuple[str, ...]
    lane: int = 0
    """Which lane of its service it is: 0 for the one that is bound to routing keys."""

    @property
    def home(self) -> str:
        """The name of the queue that is bound to its service's routing keys."""
        return self.name.removesuffix(f".lane-{self.lane}")


DISPATCHER = Queue(
    "metriq.dispatcher",
    (
        "job.requested",
        "job.cancel_requested",
        "job.resume_requested",
        "suite.requested",
        "estimate.requested",
        "schedule.requested",
        "schedule.change_requested",
    ),
)
POLLER = Queue("metriq.poller", ("job.dispatched",))
SCORER = Queue("metriq.scorer", ("job.completed",))
EXPORTER = Queue("metriq.exporter", ("job.scored", "job.failed", "job.cancelled"))
QUEUES = (DISPATCHER, POLLER, SCORER, EXPORTER)
LANES = tuple(Queue(f"{DISPATCHER.name}.lane-{number}", (), number) for number in (1, 2, 3))
"""Where requests wait of which their publisher has many, the more the later; the dispatcher puts them there."""
LANE_EXCHANGE = "metriq.lanes"
"""Reaches a lane by its name, and no other queue."""
EVENTS = "metriq.events"
"""The exchange that every message is published to."""
DEAD_LETTERS = "metriq.dead"


@dataclass(frozen=True, slots=True)
class QueueState:
    """A queue as it is now."""

    name: str
    exists: bool
    messages: int = 0
    consumers: int = 0


@dataclass(frozen=True, slots=True)
class Delivery:
    """One delivery of one message. The body is whatever was published, by anyone: check it."""

    routing_key: str
    body: bytes
    message_id: str | None = None
    correlation_id: str | None = None
    attempt: int = 1
    """1 on the first delivery, as far as the queue can tell; every retry of either kind adds one."""
    failures: int = 0
    """How many of the attempts before this one count as poison."""
    returned: int = 0
    """How many of these, the last ones in a row, ended without a word: with the process, or with its connection."""
    postponed: int = 0
    """How many of the attempts before this one failed for a passing reason of their own, not for want of a server."""
    failing_since: datetime | None = None
    """When the first attempt failed in an unexpected way."""
    wait: float = 0.0
    """Seconds that have to pass before it is handled; the queue sees to that."""
    headers: Mapping[str, Any] = field(default_factory=dict)
    user_id: str | None = None
    """The publisher's user, if the message says so: then the broker has made sure of it."""
    lane: int = 0
    """Which of its service's lanes it waited in."""


Handler = Callable[[Delivery], Awaitable[None]]


class Subscription(Protocol):
    """A running consumer."""

    @property
    def healthy(self) -> bool:
        """Whether deliveries are arriving, or would if there were any and it may take them."""

    @property
    def gone(self) -> bool:
        """Whether it will not come back by itself, as it does when it was only the queue that was away."""

    @property
    def unsettled_seconds(self) -> float:
        """For how long the delivery that has been in hand for longest has been; 0 when none is."""

    def admit(self, prefetch: int) -> None:
        """Handle at most so many deliveries at once from now on; with 0, take none until told otherwise.

        It takes a moment until the queue knows: a few more deliveries may come.
        """

    async def stop(self) -> None:
        """Take no more deliveries and return once those in hand are settled.

        Cancelling this cancels their handlers; their deliveries come again.
        """


class LockedLetter(Protocol):
    """A dead letter that no other client can take meanwhile."""

    @property
    def letter(self) -> DeadLetter:
        """What it says."""

    async def drop(self) -> None:
        """Remove it for good."""


class Bus(Protocol):
    """A message queue. Use it as an asynchronous context manager."""

    async def __aenter__(self) -> Bus:
        """Connect and declare the exchange, the queues of all services and the dead-letter queue."""

    async def __aexit__(self, *_: object) -> None:
        """Flush what was published and disconnect."""

    @property
    def connected(self) -> bool:
        """Whether the queue can be reached now."""

    @property
    def refused(self) -> bool:
        """Whether it cannot be reached since it does not let this user in."""

    async def publish(self, message: Message) -> None:
        """Publish and return once the queue has safely taken it.

        Raises `Unroutable` when a message that must have a consumer reached no queue, and `Transient` when
        the confirmation did not come: it may or may not have been taken, so publish again.
        """

    async def set_aside(self, delivery: Delivery, lane: Queue) -> None:
        """Put a delivery that is in hand into a lane, and return once the queue has safely taken it.

        Raises what `publish` raises. The delivery is to be settled as handled then; until it is, it is in both places.
        """

    async def waiting(self) -> Mapping[str, int]:
        """Return how many messages wait in each queue; those that are being handled do not. Raises `Transient`."""

    async def consumers(self) -> Mapping[str, int]:
        """Return how many replicas take messages from each service's queue. Raises `Transient`."""

    async def consume(self, queue: Queue, handler: Handler, *, prefetch: int) -> Subscription:
        """Call `handler` for each delivery of `queue`, at most `prefetch` at once."""

    def old_letters(self, before: datetime, *, most: int) -> AbstractAsyncContextManager[Sequence[LockedLetter]]:
        """Lock the dead letters that were given up before a time, of the `most` that come first.

        What stays may come behind the others the next time, so that each has its turn. Raises `Transient`, and
        `Permanent` where this user may not read them.
        """
