"""Worker processes for tests that ask nothing of them but to be some."""

from __future__ import annotations

import pytest

from metriq_gym.service import pool

_SERVE = "from metriq_gym.service.forkserver import serve; "
_PLAIN = "from metriq_gym.service import forkserver; forkserver.PRELOAD = (); "


@pytest.fixture
def plain_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fork workers from a process that imports nothing before: it is there in a tenth of the time."""
    assert _SERVE in pool._START
    monkeypatch.setattr(pool, "_START", pool._START.replace(_SERVE, _PLAIN + _SERVE))
