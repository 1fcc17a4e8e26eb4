"""Using the system from Python: open a runtime, publish requests, follow jobs.

With servers configured (METRIQ_AMQP_URL and METRIQ_MONGO_URL) the running services do the work; without, the
embedded runtime does, for as long as it is open.
"""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from importlib.metadata import entry_points

from metriq_gym.errors import MetriqGymError
from metriq_gym.service import Context, connected
from metriq_gym.settings import Settings


def open_runtime(settings: Settings) -> AbstractAsyncContextManager[Context]:
    """Return the configured servers' runtime, or the embedded one when no server is configured."""
    if (settings.amqp_url is None) != (settings.mongo_url is None):
        raise MetriqGymError("set both METRIQ_AMQP_URL and METRIQ_MONGO_URL, or neither for the embedded runtime")
    if settings.amqp_url is not None:
        return connected(settings, "mgym")
    (entry,) = entry_points(group="metriq_gym.runtimes", name="embedded")
    runtime: AbstractAsyncContextManager[Context] = entry.load()(settings)
    return runtime
