"""A service that is locked out goes on with the URL that its file has once it is mended, without a restart."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from metriq_gym.bus.rabbitmq import RabbitMQBus
from metriq_gym.errors import Refused
from metriq_gym.settings import Settings
from tests.support.patience import PATIENCE


async def test_a_broker_that_refuses_the_password_lets_in_the_one_that_the_file_has_by_then(
    amqp_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "amqp"
    scheme, rest = amqp_url.split("://")
    user = rest.split(":")[0]
    file.write_text(f"{scheme}://{user}:wrong@{rest.split('@')[1]}")
    monkeypatch.setenv("METRIQ_AMQP_URL_FILE", str(file))
    bus = RabbitMQBus(Settings().latest("amqp_url"), app_id="test")
    with pytest.raises(Refused):
        await bus.__aenter__()
    assert bus.refused
    file.write_text(amqp_url)
    async with asyncio.timeout(PATIENCE), bus:
        assert bus.connected
        assert not bus.refused
