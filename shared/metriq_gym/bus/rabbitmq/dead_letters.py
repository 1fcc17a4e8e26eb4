"""Looking at the dead-letter queue, and deciding about what lies there.

Letters are taken without being acknowledged, so that whatever happens to us the broker puts them back where they were;
the queue has no limit on how often that may be.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

import aio_pika
from aio_pika.abc import AbstractChannel, AbstractIncomingMessage
from aio_pika.exceptions import PublishError
from aiormq.exceptions import ChannelAccessRefused, ChannelNotFoundEntity

from metriq_gym.bus.dead_letters import DeadLetter
from metriq_gym.bus.port import DEAD_LETTERS
from metriq_gym.bus.rabbitmq import envelope
from metriq_gym.bus.rabbitmq.connection import CONNECT_TIMEOUT, Connection, broker_errors
from metriq_gym.errors import Permanent, Transient

MOST = 10_000
"""Letters that are looked at at once, those that have lain there for longest."""
_SECONDS = 30.0


class NotRead(Permanent):
    """The user may not read the dead letters: only an operator's METRIQ_AMQP_URL may."""


@dataclass(frozen=True, slots=True)
class LockedLetter:
    """A letter that is locked: no other client can take it while we look at it."""

    letter: DeadLetter
    _message: AbstractIncomingMessage
    _channel: AbstractChannel

    async def replay(self) -> None:
        """Give it to its service once more, and only when the broker has that for certain remove it here.

        In between it is in both places; handlers stand that. Raises `Permanent` when it is not known whose it was, and
        `Transient`.
        """
        if not self.letter.queue:
            raise Permanent(f"it is not known which service {self.letter.id} was for; it can only be dropped")
        copy = envelope.to_replay(self._message, self.letter)
        with broker_errors():
            try:
                # The default exchange reaches this one queue, and no other that is bound to the same routing key.
                await self._channel.default_exchange.publish(copy, self.letter.queue, mandatory=True, timeout=_SECONDS)
            except PublishError as error:
                raise Transient(f"there is no queue {self.letter.queue}: start the service, then replay") from error
            await self._message.ack()

    async def drop(self) -> None:
        """Remove it for good."""
        with broker_errors():
            await self._message.ack()

    async def put_back(self) -> None:
        """Let others have it, unless it was replayed or dropped."""
        if not self._message.processed:
            await self._message.reject(requeue=True)


@asynccontextmanager
async def locked_letters(url: str, *, most: int = MOST) -> AsyncIterator[Sequence[LockedLetter]]:
    """Take hold of the dead letters while inside, oldest first, at most `most`; what is left of them is put back.

    What is put back may lie behind the others then. Raises `NotRead`, and `Transient` when the broker does not answer.
    """
    with broker_errors():
        connection = await aio_pika.connect(url, timeout=CONNECT_TIMEOUT, connection_class=Connection)
    try:
        with broker_errors():
            channel = await connection.channel(on_return_raises=True)
            held = [LockedLetter(envelope.read_letter(each), each, channel) async for each in _taken(channel, most)]
        yield held
        if not held:
            return
        with broker_errors():
            for each in held:
                await each.put_back()
            # None of this is confirmed, but an answer on the same channel comes after it, if one comes.
            await channel.set_qos(prefetch_count=1)
            await channel.close()
    finally:
        await connection.close()


async def _taken(channel: AbstractChannel, most: int) -> AsyncIterator[AbstractIncomingMessage]:
    try:
        queue = await channel.declare_queue(DEAD_LETTERS, passive=True, timeout=_SECONDS)
    except ChannelNotFoundEntity:
        return
    for _ in range(most):
        try:
            message = await queue.get(no_ack=False, fail=False, timeout=_SECONDS)
        except ChannelAccessRefused as error:
            raise NotRead from error
        if message is None:
            return
        yield message
