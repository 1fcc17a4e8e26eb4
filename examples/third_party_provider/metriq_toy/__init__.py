"""The provider ``toy``: what can be set for it, and how it is opened. This module imports little."""

from __future__ import annotations

from pydantic import Field, SecretStr

from metriq_gym.providers.plugin import ProviderPlugin
from metriq_gym.providers.provider import Provider
from metriq_gym.settings import ProviderSettings, Settings


class ToySettings(ProviderSettings, env_prefix="METRIQ_TOY_"):
    """How to reach the toy cloud."""

    needs = ("token",)

    token: SecretStr | None = Field(default=None, description="Token for the toy cloud.")
    base_url: str = Field(default="http://127.0.0.1:8070", description="Where the toy cloud is.")


def _open(settings: Settings) -> Provider:
    from metriq_toy.provider import ToyProvider

    ours = settings.of(ToySettings)
    assert ours.token is not None  # it is one of those that are needed
    return ToyProvider(ours.base_url, ours.token.get_secret_value())


PLUGIN = ProviderPlugin(_open, ToySettings)
