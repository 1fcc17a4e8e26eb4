"""A process whose clock is wrong, as seen by our own code; the clock that only measures spans goes on as it did."""

from __future__ import annotations

import sys
import time
from datetime import datetime, timedelta, tzinfo


class _IsATime(type):
    def __instancecheck__(cls, instance: object) -> bool:
        return isinstance(instance, datetime)


def set_ahead(seconds: float) -> None:
    """Let this process's clock be `seconds` ahead, or behind if negative, in all modules imported so far."""

    class Wrong(datetime, metaclass=_IsATime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]
            return datetime.now(tz) + timedelta(seconds=seconds)

    right = time.time
    time.time = lambda: right() + seconds
    for name, module in list(sys.modules.items()):
        if name.startswith(("metriq_gym.", "services.")) and getattr(module, "datetime", None) is datetime:
            module.datetime = Wrong  # type: ignore[attr-defined]
