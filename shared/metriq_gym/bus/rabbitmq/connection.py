"""Being connected: a channel with the topology declared, opened anew whenever it is lost."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass

import aio_pika
import structlog
from aio_pika.abc import AbstractChannel, TimeoutType
from aio_pika.exceptions import CONNECTION_EXCEPTIONS
from aiormq.exceptions import (
    AuthenticationError,
    ChannelAccessRefused,
    InvalidFrameError,
    ProbableAuthenticationError,
)

from metriq_gym.bus.port import Queue
from metriq_gym.bus.rabbitmq import topology
from metriq_gym.bus.retry import jittered
from metriq_gym.errors import Refused, Transient, Unavailable
from metriq_gym.wording import shorten

logger = structlog.get_logger()

HEARTBEAT = 20
"""Seconds; a peer that is silent for about three of them is taken for dead."""
CONNECT_TIMEOUT = 10.0
CANCEL_SECONDS = 1.0
"""From one try to end what stays connected to the next."""
_URL = "METRIQ_AMQP_URL"
_CLOSED_AT_OPENING = "['Connection.OpenOk'], got <Connection.Close"
"""The client library expects no such answer to the opening of a virtual host, and so does not read the reason."""
_ACCESS = re.compile(r"(?:(?P<action>configure|read|write) )?access to (?:exchange|queue|topic) '(?P<name>[^']*)'")
RECONNECT_PAUSES = (0.1, 5.0)
"""Seconds before the first try to connect again, and at most before any other."""


@dataclass(frozen=True)
class ConnectionSettings:
    """Where the broker is and what must exist there."""

    url: str | Callable[[], str]
    """Where a function, it is called for each connection: the password may be another by then."""
    app_id: str
    queues: Sequence[Queue]
    retry_pauses: Sequence[float]
    patience: float
    """Seconds that a caller waits for a lost connection or a confirmation before it hears `Transient`."""
    named: bool = False
    """Whether what is published names the connection's user."""


class Connection(aio_pika.Connection):
    """A connection that is closed where it does not come about.

    The client library leaves that to the garbage collector, which may run in a thread that has no event loop.
    """

    async def connect(self, timeout: TimeoutType = None) -> None:  # noqa: ASYNC109  (as the library names it)
        """Connect, or raise what the client library raises."""
        try:
            await super().connect(timeout)
        except BaseException:
            await self.close()
            raise


@contextmanager
def broker_errors() -> Iterator[None]:
    """Raise `Unavailable` for what the broker or the way to it does to us, and `Refused` for what it does not allow."""
    try:
        yield
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        # The client library cancels what waits for a channel that is being closed.
        raise Unavailable("The connection to RabbitMQ was closed.") from error
    except TimeoutError as error:
        raise Unavailable("RabbitMQ did not answer in time.") from error
    except CONNECTION_EXCEPTIONS as error:
        if (refusal := _refusal(error)) is not None:
            raise refusal from error
        raise Unavailable(f"RabbitMQ: {type(error).__name__}: {shorten(str(error))}") from error


def _refusal(error: BaseException) -> Refused | None:
    """Return what an error of the client library means if the broker refuses the user or what it asked for."""
    if isinstance(error, AuthenticationError | ProbableAuthenticationError):
        return Refused(f"RabbitMQ refuses the user or the password in {_URL}")
    if isinstance(error, InvalidFrameError) and _CLOSED_AT_OPENING in str(error):
        return Refused(f"RabbitMQ does not let this user into the virtual host in {_URL}, or has none of that name")
    text = shorten(" ".join(str(error).split()))
    if isinstance(error, ChannelAccessRefused):
        found = _ACCESS.search(text)
        needs = (found["action"] or "topic", found["name"]) if found else None
        said = text.partition(" - ")[2] or text
        return Refused(
            f"RabbitMQ refuses the user in {_URL}: {said}", needs=None if needs is None else ("rabbitmq", *needs)
        )
    return None


async def stay_connected(
    settings: ConnectionSettings,
    purpose: str,
    use: Callable[[AbstractChannel], Awaitable[bool]],
    refused: Callable[[Refused], None] = lambda _: None,
) -> None:
    """Open a channel and `use` it; when it ends, because the channel is lost or for any other reason, again.

    `use` returns true when all is well and it only wants another connection, which it then gets at once.
    `refused` is told when the broker does not let this user in.
    """
    first, longest = RECONNECT_PAUSES
    pause = first
    renewed = False
    while True:
        try:
            with broker_errors():
                async with _channel(settings, purpose, declaring=not renewed) as channel:
                    pause, renewed = first, False
                    renewed = await use(channel)
            if renewed:
                continue
            logger.warning("bus.disconnected", purpose=purpose)
        except Transient as error:
            logger.warning("bus.disconnected", purpose=purpose, reason=str(error))
            if isinstance(error, Refused):
                refused(error)
        except Exception:
            # Nothing that the client library may come up with is a reason to stay disconnected.
            logger.exception("bus.disconnected", purpose=purpose)
        renewed = False
        await asyncio.sleep(jittered(pause))
        pause = min(2 * pause, longest)


async def end(connected: asyncio.Task[None]) -> None:
    """Cancel what stays connected, until it has ended.

    Once is not always enough: `asyncio.wait_for` of Python 3.11, by which the client library waits for answers, loses a
    cancellation that comes together with one.
    """
    while not connected.done():
        connected.cancel()
        await asyncio.wait([connected], timeout=CANCEL_SECONDS)


@asynccontextmanager
async def _channel(settings: ConnectionSettings, purpose: str, *, declaring: bool) -> AsyncIterator[AbstractChannel]:
    connection = await aio_pika.connect(
        settings.url if isinstance(settings.url, str) else settings.url(),
        timeout=CONNECT_TIMEOUT,
        heartbeat=HEARTBEAT,
        client_properties={"connection_name": f"{settings.app_id} {purpose}"},
        connection_class=Connection,
    )
    try:
        async with asyncio.timeout(settings.patience):
            channel = await connection.channel(on_return_raises=True)
            try:
                if declaring:
                    await topology.declare(channel, settings.queues, settings.retry_pauses)
            except ChannelAccessRefused:
                # This user may not, so another one has done it; the refusal has closed the channel.
                channel = await connection.channel(on_return_raises=True)
                await topology.check(channel, settings.queues, settings.retry_pauses)
        yield channel
    finally:
        # Whatever goes wrong here, the connection is gone; above all it must not take the place of a cancellation.
        with suppress(TimeoutError, *CONNECTION_EXCEPTIONS):
            async with asyncio.timeout(CONNECT_TIMEOUT):
                await connection.close()
