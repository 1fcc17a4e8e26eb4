"""Where circuits run: the port every provider implements, and the providers by name.

Only the dispatcher and the poller, and the commands that ask a provider, import this room.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Self

from metriq_gym.errors import NotFound, Permanent
from metriq_gym.providers.provider import CredentialTrouble, Device, LocalProvider, Provider, RemoteProvider
from metriq_gym.wording import alternatives

if TYPE_CHECKING:
    from metriq_gym.providers.aer.provider import AerProvider
    from metriq_gym.settings import Settings

MIB = 2**20


def _local(settings: Settings) -> AerProvider:
    from metriq_gym.providers.aer.provider import AerProvider
    from metriq_gym.providers.aer.twin import Twins

    token = settings.tyxonq_token
    live = partial(_calibrated, settings) if token is not None and token.get_secret_value().strip() else None
    return AerProvider(settings.aer_memory_mib * MIB, twins=Twins(settings.twin_calibration, live))


async def _calibrated(settings: Settings, device_id: str) -> Device:
    """Return a device of TyxonQ as it is calibrated now."""
    from metriq_gym.providers.tyxonq.provider import TyxonQProvider

    tyxonq = TyxonQProvider.from_settings(settings)
    try:
        return await tyxonq.device(device_id)
    except CredentialTrouble as error:
        raise Permanent(str(error)) from None  # a simulation need not wait for that
    finally:
        await tyxonq.aclose()


def _tyxonq(settings: Settings) -> Provider:
    from metriq_gym.providers.tyxonq.provider import TyxonQProvider

    return TyxonQProvider.from_settings(settings)


LOCAL: Mapping[str, Callable[[Settings], LocalProvider]] = {"local": _local}
"""Providers whose tasks pollers run themselves."""
SHIPPED: Mapping[str, Callable[[Settings], Provider]] = {**LOCAL, "tyxonq": _tyxonq}


class Providers:
    """The providers by name, each made from the settings when it is first asked for."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._made: dict[str, Provider] = {}

    def get(self, name: str) -> Provider:
        """Return a provider; raises `NotFound` naming those there are, or `Permanent` if its settings are no use."""
        if name not in SHIPPED:
            raise NotFound(f"unknown provider {name!r}{alternatives(name, SHIPPED, 'mgym devices')}")
        if name not in self._made:
            self._made[name] = SHIPPED[name](self._settings)
        return self._made[name]

    def remote(self) -> list[RemoteProvider]:
        """Return the providers that are asked for results, those that the settings allow to be asked."""
        found: list[RemoteProvider] = []
        for name in SHIPPED.keys() - LOCAL.keys():
            with suppress(Permanent):
                provider = self.get(name)
                assert isinstance(provider, RemoteProvider)  # noqa: S101  (the tables above say so)
                found.append(provider)
        return found

    def used(self) -> list[RemoteProvider]:
        """Return those of the remote providers that were asked for."""
        return [each for each in self._made.values() if isinstance(each, RemoteProvider)]

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections of all providers."""
        for provider in self._made.values():
            if isinstance(provider, RemoteProvider):
                await provider.aclose()

    def local(self) -> dict[str, LocalProvider]:
        """Return the providers whose tasks pollers run themselves."""
        made = {name: self.get(name) for name in LOCAL}
        return {name: provider for name, provider in made.items() if isinstance(provider, LocalProvider)}
