"""The one pattern all services follow: settings → connect → consume → drain on SIGTERM.

A service is a queue and a handler; `main` runs one or several in this process until it is told to stop.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
import socket
import threading
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, ClassVar, TypeVar

import structlog
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, wait_random_exponential

from metriq_gym.bus.port import Bus, Delivery, Queue, Subscription
from metriq_gym.errors import MetriqGymError, Refused, Transient, Unreadable
from metriq_gym.jobs.states import Stage
from metriq_gym.service import oddities
from metriq_gym.service.attempts import SETTLED_SECONDS, Attempt
from metriq_gym.service.breaker import LEAST_LETTERS, Breaker
from metriq_gym.service.lag import lag_measured
from metriq_gym.service.lockout import Lockout
from metriq_gym.service.loop import Loop
from metriq_gym.service.pool import Pool
from metriq_gym.service.subscriptions import Subscriptions
from metriq_gym.service.turns import LANE
from metriq_gym.service.watchdog import watched
from metriq_gym.settings import Settings
from metriq_gym.store import Store
from metriq_gym.telemetry import logs, tracing
from metriq_gym.wording import duration

if TYPE_CHECKING:
    from metriq_gym.service.health import Check, Measure

T = TypeVar("T")

log = structlog.get_logger()

LAST_SECONDS = 5.0
"""What is left, after the grace period or a second signal, to hand back what is in hand and to close."""


@dataclass(frozen=True, slots=True)
class Context:
    """What a service works with."""

    settings: Settings
    bus: Bus
    store: Store
    pool: Pool
    instance: str = field(default_factory=lambda: f"{socket.gethostname()}-{secrets.token_hex(4)}")
    """Names this process among all that run the same service."""
    letters_to_stop: float = LEAST_LETTERS
    """How many dead letters, when most of what it gets becomes one, stop a service."""

    async def bus_connected(self) -> bool:
        """Whether the message queue can be reached now."""
        return self.bus.connected


class Service(ABC):
    """A queue, a handler, and the loops beside them."""

    name: ClassVar[str]
    queue: ClassVar[Queue]
    lanes: ClassVar[Sequence[Queue]] = ()
    """More queues of the same messages, which are taken from at the same pace."""
    default_port: ClassVar[int]
    stage: ClassVar[Stage | None] = None
    """Where a job fails that fails here; None if it can fail no more."""
    uses_workers: ClassVar[bool] = True
    """Whether the handler runs anything in the pool."""

    def __init__(self, context: Context) -> None:
        self.settings = context.settings
        self.bus = context.bus
        self.store = context.store
        self.pool = context.pool
        self.instance = context.instance
        oddities.heed()
        workers = self.pool.size + 1 if self.uses_workers else None
        self.breaker = Breaker(self.queue.name, self.settings.prefetch, context.letters_to_stop, workers)
        self._attempting = Attempt(self.name, self.stage, self.store, self.bus, self.breaker, self.refuse)
        self._subscription: Subscription | None = None

    @abstractmethod
    async def handle(self, delivery: Delivery) -> None:
        """Do what the message asks, publish what follows, and return: only then is it acknowledged."""

    async def attempt(self, delivery: Delivery) -> None:
        """Handle a delivery, and see to its job where that fails for good."""
        LANE.set(delivery.lane)  # in the delivery's own task
        await self._attempting(delivery, self._handle_its_own)

    async def _handle_its_own(self, delivery: Delivery) -> None:
        if delivery.routing_key not in self.queue.routing_keys:
            # RabbitMQ 3 takes a message for any queue from whoever may publish one for some: by its header CC.
            raise Unreadable(f"{self.queue.name} takes no {delivery.routing_key}")
        await self.handle(delivery)

    async def refuse(self, delivery: Delivery, reason: str) -> bool:
        """Let a request end that never became a job; return false if it is not one."""
        return False

    async def start(self) -> None:
        """Begin to consume."""
        if self.uses_workers:
            self.pool.warm()
        subscriptions: list[Subscription] = []
        self._subscription = Subscriptions(subscriptions)
        for queue in (self.queue, *self.lanes):
            subscription = await self.bus.consume(queue, self.attempt, prefetch=self.settings.prefetch)
            subscriptions.append(subscription)  # each at once, so that it is stopped if a later one fails
        self.breaker.steer(self._subscription)

    async def stop(self) -> None:
        """Take nothing new, and return when what is in hand is settled."""
        self.breaker.stop()
        if self._subscription is not None:
            await self._subscription.stop()

    def loops(self) -> Sequence[Loop]:
        """Return what runs beside the handler."""
        return ()

    def live_checks(self) -> dict[str, Check]:
        """Return what must hold for this service to be alive; without it only a restart helps.

        A server that is away is no reason to restart.
        """
        loops: dict[str, Check] = {f"{loop.name} comes round": loop.alive for loop in self.loops()}
        return {f"{self.name} has its consumer": self._has_consumer} | loops

    def ready_checks(self) -> dict[str, Check]:
        """Return what must hold for this service to get work."""
        return {f"{self.name} consumes": self._consumes}

    def notes(self) -> dict[str, Check]:
        """Return what is worth knowing beside the checks, and makes this service neither dead nor unready."""
        return {}

    async def _has_consumer(self) -> bool | str:
        if self._subscription is None or self._subscription.gone:
            return False
        seconds = self._subscription.unsettled_seconds
        return seconds <= SETTLED_SECONDS or f"a delivery has been in hand for {duration(seconds)}"

    def measures(self) -> Sequence[Measure]:
        """Return what brings those metrics up to date that are looked up only when they are asked for."""
        return ()

    async def _consumes(self) -> bool | str:
        if not self.breaker.is_closed:
            return self.breaker.reason
        if wants := self.breaker.wants or (self.uses_workers and self.pool.wants):
            return wants
        return self._subscription is not None and self._subscription.healthy


@asynccontextmanager
async def connected(
    settings: Settings, app_id: str, *, until_allowed: bool = True, lockout: Lockout | None = None
) -> AsyncIterator[Context]:
    """Connect to the servers that the settings name, waiting for as long as they are away.

    A server that refuses the user is waited for too, as an administrator may be about to make the user known; without
    `until_allowed` that raises `Refused` at once. `lockout` is told what they say meanwhile.
    """
    from metriq_gym.bus.rabbitmq import RabbitMQBus

    if settings.amqp_url is None or settings.mongo_url is None:
        raise MetriqGymError("a service needs METRIQ_AMQP_URL and METRIQ_MONGO_URL (or …_FILE)")
    async with AsyncExitStack() as stack:
        rotates = settings.file_of("mongo_url") is not None
        mongo_url = settings.latest("mongo_url") if rotates else settings.mongo_url.get_secret_value()
        enter = partial(_entered, stack, lockout or Lockout(), until_allowed)
        store = await enter("MongoDB", lambda: Store.at(mongo_url, settings.mongo_database))
        amqp_url, named = settings.latest("amqp_url"), settings.quota_jobs is not None
        bus = await enter("RabbitMQ", lambda: RabbitMQBus(amqp_url, app_id=app_id, named=named))
        pool = await stack.enter_async_context(Pool(settings.workers))
        yield Context(settings, bus, store, pool)


async def _entered(
    stack: AsyncExitStack,
    lockout: Lockout,
    until_allowed: bool,
    server: str,
    make: Callable[[], AbstractAsyncContextManager[T]],
) -> T:
    """Enter what stands for a server, anew for each attempt, since what could not be entered is closed."""
    async for attempt in AsyncRetrying(
        retry=retry_if_exception(lambda error: _is_worth_waiting(error, until_allowed)),
        wait=wait_random_exponential(multiplier=0.2, max=5),
        before_sleep=partial(_report_wait, lockout, server),
        reraise=True,
    ):
        with attempt:
            entered = await stack.enter_async_context(make())
    lockout.note(server, refused=False)
    return entered


def _is_worth_waiting(error: BaseException, until_allowed: bool) -> bool:
    return isinstance(error, Transient) and (until_allowed or not isinstance(error, Refused))


def _report_wait(lockout: Lockout, server: str, state: RetryCallState) -> None:
    assert state.outcome is not None  # noqa: S101  (called after an attempt)
    error = state.outcome.exception()
    log.warning("waiting for a server", attempt=state.attempt_number, error=str(error))
    lockout.note(server, isinstance(error, Refused))


@asynccontextmanager
async def running(services: Sequence[Service], grace_seconds: float) -> AsyncIterator[None]:
    """Run services while inside; on leaving, all drain at the same time, for at most `grace_seconds`."""
    try:
        for service in services:
            await service.start()
        yield
    finally:
        try:
            # A group, unlike `gather`, waits also for those that it has to cancel.
            async with asyncio.timeout(grace_seconds), asyncio.TaskGroup() as stopping:
                for service in services:
                    stopping.create_task(service.stop())
        except TimeoutError:
            log.warning("work in hand is handed back: it did not end in time", grace_seconds=grace_seconds)


async def serve(kinds: Sequence[type[Service]], settings: Settings) -> None:
    """Run services on the configured servers until SIGTERM or SIGINT; a second signal cuts the drain short."""
    # A web server, which the embedded runtime does without: importing it takes a quarter of a second.
    from metriq_gym.service.health import serve_health

    this = asyncio.current_task()
    assert this is not None  # noqa: S101  (a coroutine always runs in a task)
    _stop_on_signals(this.cancel, settings.grace_seconds)
    name, usual_port = (kinds[0].name, kinds[0].default_port) if len(kinds) == 1 else ("all", 8080)
    host, port = settings.http_host, settings.http_port or usual_port
    lockout = Lockout()
    live: dict[str, Check] = {}
    ready: dict[str, Check] = {"started": _no}
    measures: list[Measure] = []
    notes: dict[str, Check] = {}
    try:
        async with (
            lag_measured(),
            watched() as watchdog,
            serve_health(host, port, live, ready, measures, notes) as bound,
        ):
            live |= {"event loop turns": watchdog.alive, "servers let it in": lockout.over}
            log.info("starting", port=bound)
            async with connected(settings, name, lockout=lockout) as context:
                services = [kind(context) for kind in kinds]
                async with running(services, settings.grace_seconds), beside(lockout.watch(context.store, context.bus)):
                    ready |= {"started": _yes, "store answers": context.store.answers, "bus": context.bus_connected}
                    for service in services:
                        live |= service.live_checks()
                        measures += service.measures()
                        notes |= service.notes()
                        ready |= service.ready_checks()
                    log.info("started")
                    try:
                        await until_broken(services)
                    finally:
                        # What drains is not stuck, and is not to be restarted for it; but it takes nothing new.
                        live.clear()
                        ready["started"] = _no
    except asyncio.CancelledError:
        log.info("stopped")


def _stop_on_signals(stop: Callable[[], object], grace_seconds: float) -> None:
    """Call `stop` for each SIGTERM and SIGINT, and end the process in time even if something hangs.

    A call in a thread, say, cannot be cancelled. Nothing is lost by that, as nothing is by a crash.
    """
    grace = [grace_seconds]

    def stop_in_time(number: int) -> None:
        seconds = (grace.pop() if grace else 0) + LAST_SECONDS
        timer = threading.Timer(seconds, _leave, [128 + number])
        timer.daemon = True
        timer.start()
        stop()

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop_in_time, number)


def _leave(code: int) -> None:
    log.warning("left without waiting for what did not end in time")
    logs.close()
    os._exit(code)


@asynccontextmanager
async def beside(work: Coroutine[None, None, None]) -> AsyncIterator[None]:
    """Do something else too while inside."""
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        task.cancel()


async def until_broken(services: Sequence[Service]) -> None:
    """Wait until a loop of a running service ends, and raise what ended it: better restarted than half working."""
    loops = [loop.task for service in services for loop in service.loops() if loop.task is not None]
    await asyncio.gather(*map(asyncio.shield, loops), asyncio.Event().wait())


async def _yes() -> bool:
    return True


async def _no() -> bool:
    return False


def main(*kinds: type[Service]) -> None:
    """Run services in this process: what ``python -m services.…`` does."""
    import uvloop

    settings = Settings()
    name = kinds[0].name if len(kinds) == 1 else "all"
    logs.configure(name, settings.log_level, secrets=logs.secrets_of(settings))
    try:
        with tracing.exported(settings.otlp_endpoint, name):
            uvloop.run(serve(kinds, settings))
    except MetriqGymError as error:
        log.error("cannot run", error=str(error))
        raise SystemExit(1) from error
    finally:
        logs.close()
