"""Dead letters for the page and the API: those of the broker, or of the embedded runtime's memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from metriq_gym.bus.dead_letters import DeadLetter
from metriq_gym.bus.memory import MemoryBus
from metriq_gym.bus.port import Bus
from metriq_gym.errors import NotFound
from metriq_gym.settings import Settings
from metriq_gym.store import Store


class Letters(Protocol):
    """Where dead letters lie."""

    async def list(self) -> Sequence[DeadLetter]:
        """Return them, the oldest first; raises `Transient` when the broker does not answer."""

    async def replay(self, letter_id: str) -> int:
        """Hand every copy of a letter back to its service and return how many there were; raises `NotFound`."""

    async def drop(self, letter_id: str) -> int:
        """Delete every copy of a letter and return how many there were; raises `NotFound`."""


class BrokersLetters:
    """Those of RabbitMQ."""

    def __init__(self, url: str, store: Store) -> None:
        self._url = url
        self._store = store

    async def list(self) -> Sequence[DeadLetter]:
        from metriq_gym.bus.rabbitmq.dead_letters import locked_letters

        async with locked_letters(self._url) as held:
            return [each.letter for each in held]

    async def replay(self, letter_id: str) -> int:
        from metriq_gym.bus.rabbitmq.dead_letters import locked_letters

        async with locked_letters(self._url) as held:
            chosen = [each for each in held if each.letter.id == letter_id]
            await _forgive(self._store, [each.letter for each in chosen])
            for each in chosen:
                await each.replay()
        return _found(letter_id, len(chosen))

    async def drop(self, letter_id: str) -> int:
        from metriq_gym.bus.rabbitmq.dead_letters import locked_letters

        async with locked_letters(self._url) as held:
            chosen = [each for each in held if each.letter.id == letter_id]
            for each in chosen:
                await each.drop()
        return _found(letter_id, len(chosen))


class OwnLetters:
    """Those of this process."""

    def __init__(self, bus: MemoryBus, store: Store) -> None:
        self._bus = bus
        self._store = store

    async def list(self) -> Sequence[DeadLetter]:
        return list(self._bus.dead_letters)

    async def replay(self, letter_id: str) -> int:
        chosen = [each for each in self._bus.dead_letters if each.id == letter_id]
        await _forgive(self._store, chosen)
        for each in chosen:
            self._bus.dead_letters.remove(each)
            await self._bus.replay(each)
        return _found(letter_id, len(chosen))

    async def drop(self, letter_id: str) -> int:
        chosen = [each for each in self._bus.dead_letters if each.id == letter_id]
        for each in chosen:
            self._bus.dead_letters.remove(each)
        return _found(letter_id, len(chosen))


def letters_of(settings: Settings, bus: Bus, store: Store) -> Letters:
    """Return where the dead letters of a runtime lie."""
    if isinstance(bus, MemoryBus):
        return OwnLetters(bus, store)
    assert settings.amqp_url is not None  # noqa: S101  (there is no other bus)
    return BrokersLetters(settings.amqp_url.get_secret_value(), store)


async def _forgive(store: Store, letters: Sequence[DeadLetter]) -> None:
    """Let go of jobs that are held for their letters: else their service would leave them alone."""
    for job_id in {each.job_id for each in letters if each.job_id is not None}:
        await store.troubles.forgive(job_id)


def _found(letter_id: str, count: int) -> int:
    if not count:
        raise NotFound(f"there is no dead letter {letter_id}")
    return count
