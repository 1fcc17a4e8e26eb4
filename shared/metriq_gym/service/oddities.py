"""Documents that the store passes over because this version cannot read them: counted, and logged once."""

from __future__ import annotations

import structlog

from metriq_gym.store import reading
from metriq_gym.telemetry import metrics

log = structlog.get_logger()

_MOST_LOGGED = 1000
_logged: set[tuple[str, str]] = set()


def _note(found: reading.Unreadable) -> None:
    metrics.UNREADABLE.labels(found.collection).inc()
    if (found.collection, found.id) not in _logged and len(_logged) < _MOST_LOGGED:
        _logged.add((found.collection, found.id))
        log.error("document cannot be read", collection=found.collection, document=found.id, reason=found.reason)


def heed() -> None:
    """Count and log from now on what this process passes over."""
    reading.listen(_note)
