"""What lists say that is not understood: counted each time, logged once, and passed over."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import structlog

from metriq_gym.providers.tyxonq.text import readable
from metriq_gym.telemetry import metrics

log = structlog.get_logger()

REMEMBERED = 1000
_logged: set[str] = set()


def pass_over(field: str, value: Any) -> None:
    """Count a value of a list's row that is not understood; log it if it is new to this process."""
    metrics.ODDITIES.labels("tyxonq", field).inc()
    shown = readable(json.dumps(value, default=str))
    digest = hashlib.sha256(f"{field} {shown}".encode()).hexdigest()
    if digest not in _logged and len(_logged) < REMEMBERED:
        _logged.add(digest)
        log.warning("a row of TyxonQ's lists is not understood", field=field, value=shown[:100])
