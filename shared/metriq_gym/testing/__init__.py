"""For tests of benchmarks, providers and exporters: the queue, the store, a provider and a device, all in memory.

The bus and the store here pass the contract suites that RabbitMQ and MongoDB pass; docs/python.md shows their use.
Nothing that runs in production may import this room.
"""

from __future__ import annotations

from metriq_gym.bus.memory import MemoryBus
from metriq_gym.store import Store
from metriq_gym.testing.memory import MemoryClient
from metriq_gym.testing.provider import ToldProvider, always, circuits_of, offered
from metriq_gym.testing.system import MemorySystem, memory_system

__all__ = [
    "MemoryBus",
    "MemoryClient",
    "MemorySystem",
    "ToldProvider",
    "always",
    "circuits_of",
    "memory_store",
    "memory_system",
    "offered",
]


def memory_store() -> Store:
    """Return a store that is empty and in memory. It keeps every rule of the real one, and ends with the process."""
    return Store(MemoryClient())
