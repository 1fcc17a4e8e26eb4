"""An exporter that tells a receiver on this machine, in time that passes when it is told to."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from metriq_gym.bus.memory import MemoryBus
from metriq_gym.messages import DeviceDrifted
from metriq_gym.service.service import Context
from metriq_gym.settings import Settings
from metriq_gym.store import Store
from metriq_gym.testing import memory
from services.exporter import Exporter
from tests.support.jobs import AT


class Clock:
    """Time that passes when it is told to, in the store in memory."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        began, self.seconds = memory._now(), 0.0
        monkeypatch.setattr(memory, "_now", lambda: began + timedelta(seconds=self.seconds))


def exporter_of(settings: Settings, store: Store, tmp_path: Path) -> Exporter:
    """An exporter with its records in `tmp_path`."""
    here = settings.model_copy(update={"export_dir": tmp_path})
    return Exporter(Context(here, MemoryBus(), store, pool=None))  # type: ignore[arg-type]


def shift(drift_id: str, **changes: Any) -> DeviceDrifted:
    """A shift that was found in a device's calibration."""
    values: dict[str, Any] = {
        "drift_id": drift_id,
        "provider": "tyxonq",
        "device": "homebrew_s2",
        "benchmark_name": None,
        "metric": "T1",
        "found": "step",
        "since": AT,
        "at": AT,
        "value": 1,
        "baseline": 2,
        "scatter": 1,
        "deviation": -1,
        "statistic": 9,
        "threshold": 5,
        "values": 30,
        "values_since": 3,
        "found_by": "j",
    }
    return DeviceDrifted(**values | changes)
