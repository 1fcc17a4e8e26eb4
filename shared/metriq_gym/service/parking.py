"""Tells people that a provider does not accept its credential, or cannot be asked, and that its work waits for that."""

from __future__ import annotations

import time
from collections.abc import Callable

import structlog

from metriq_gym.errors import MetriqGymError
from metriq_gym.providers.provider import RemoteProvider, Trouble
from metriq_gym.service.health import Check
from metriq_gym.store import Store
from metriq_gym.telemetry import metrics

log = structlog.get_logger()

VALID_SECONDS = 900.0
"""For how long what is written down counts: a credential is tried again more often."""
RENEW_SECONDS = 60.0
AWAY_SECONDS = 3 * RENEW_SECONDS
"""The same of a provider that cannot be asked: a poller that keeps away from it says so again in time."""


class Parking:
    """What one process knows of its providers' credentials, in the store, the metrics and its health page."""

    def __init__(self, store: Store, now: Callable[[], float] = time.monotonic) -> None:
        self._store = store
        self._now = now
        self._told: dict[str, tuple[Trouble | None, float]] = {}
        self._away: dict[str, float] = {}
        """When it was last written down that a provider is kept away from."""

    async def tell(self, provider: RemoteProvider) -> None:
        """Write down what has changed. If that cannot be done now it is done the next time: nothing depends on it."""
        trouble = provider.trouble
        known, at = self._told.get(provider.name, (None, self._now()))
        metrics.CREDENTIAL_PARKED.labels(provider.name).set(trouble is not None)
        if trouble == known and (trouble is None or self._now() - at < RENEW_SECONDS):
            return
        try:
            if trouble is None:
                await self._store.parked.release(provider.name)
            else:
                await self._store.parked.park(provider.name, trouble.reason, VALID_SECONDS)
        except MetriqGymError as error:
            log.warning("not written down what is parked", provider=provider.name, error=str(error))
        else:
            self._told[provider.name] = (trouble, self._now())

    async def tell_away(self, provider: str, reason: str | None) -> None:
        """Write down why a provider is kept away from, None if it is not; as `tell`."""
        at = self._away.get(provider)
        if at is None if reason is None else at is not None and self._now() - at < RENEW_SECONDS:
            return
        try:
            if reason is None:
                await self._store.parked.come_back(provider)
            else:
                await self._store.parked.keep_away(provider, reason, AWAY_SECONDS)
        except MetriqGymError as error:
            log.warning("not written down what is kept away from", provider=provider, error=str(error))
        else:
            self._away.pop(provider, None)
            if reason is not None:
                self._away[provider] = self._now()


def accepts(provider: RemoteProvider) -> Check:
    """Return the check that a provider accepts its credential, or why it does not."""

    async def check() -> bool | str:
        trouble = provider.trouble
        return True if trouble is None else f"parked since {trouble.since:%Y-%m-%d %H:%M} UTC: {trouble.reason}"

    return check
