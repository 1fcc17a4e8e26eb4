"""The running system as fixtures."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.system import System, system


@pytest.fixture
async def running(amqp_url: str, mongo_url: str, mongo_database: str, tmp_path: Path) -> AsyncIterator[System]:
    """One process of each service."""
    async with system(amqp_url, mongo_url, mongo_database, tmp_path) as started:
        yield started
