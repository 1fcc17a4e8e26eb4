"""For tests of benchmarks, providers and exporters: the queue, the store and a provider, all in memory.

What is here passes the contract suites that RabbitMQ and MongoDB pass. Nothing in the product imports this room.
"""

from __future__ import annotations

from metriq_gym.bus.memory import MemoryBus
from metriq_gym.store import Store
from metriq_gym.testing.memory import MemoryClient

__all__ = ["MemoryBus", "MemoryClient", "memory_store"]


def memory_store() -> Store:
    """Return a store that is empty and in memory. It keeps every rule of the real one, and ends with the process."""
    return Store(MemoryClient())
