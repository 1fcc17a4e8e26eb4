"""The plug-in by which the provider ``local`` comes in."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial

from pydantic import ValidationError

from metriq_gym.errors import Permanent
from metriq_gym.providers.plugin import ProviderPlugin
from metriq_gym.providers.provider import CredentialTrouble, Device, Provider
from metriq_gym.providers.tyxonq.plugin import TyxonQSettings
from metriq_gym.settings import Settings

MIB = 2**20


def _open(settings: Settings) -> Provider:
    from metriq_gym.providers.aer.provider import AerProvider
    from metriq_gym.providers.aer.twin import Twins

    return AerProvider(settings.aer_memory_mib * MIB, twins=Twins(settings.twin_calibration, _live(settings)))


def _live(settings: Settings) -> Callable[[str], Awaitable[Device]] | None:
    """Return what asks TyxonQ for a device; None where that is not set up, which says so itself."""
    try:
        tyxonq = settings.of(TyxonQSettings)
    except ValidationError:
        return None
    return partial(_calibrated, tyxonq) if tyxonq.missing is None else None


async def _calibrated(settings: TyxonQSettings, device_id: str) -> Device:
    """Return a device of TyxonQ as it is calibrated now."""
    from metriq_gym.providers.tyxonq.provider import TyxonQProvider

    tyxonq = TyxonQProvider.from_settings(settings)
    try:
        return await tyxonq.device(device_id)
    except CredentialTrouble as error:
        raise Permanent(str(error)) from None  # a simulation need not wait for that
    finally:
        await tyxonq.aclose()


PLUGIN = ProviderPlugin(_open, is_local=True)
