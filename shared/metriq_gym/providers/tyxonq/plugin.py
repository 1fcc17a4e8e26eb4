"""What can be set for TyxonQ, and the plug-in by which the provider ``tyxonq`` comes in."""

from __future__ import annotations

import json
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field, SecretStr
from pydantic_settings import NoDecode

from metriq_gym.providers.plugin import ProviderPlugin
from metriq_gym.providers.provider import Provider
from metriq_gym.settings import ProviderSettings, Settings


def _from_json(value: Any) -> Any:
    """Read a value that came as text, from a variable or a file; empty text is none."""
    return (json.loads(value) if value.strip() else None) if isinstance(value, str) else value


Qubit = Annotated[int, Field(ge=0)]
CouplingMap = Annotated[tuple[tuple[Qubit, Qubit], ...] | None, NoDecode, BeforeValidator(_from_json)]


class TyxonQSettings(ProviderSettings, env_prefix="METRIQ_TYXONQ_"):
    """How to reach TyxonQ's cloud, and what it does not tell of its devices."""

    needs: ClassVar[tuple[str, ...]] = ("token",)

    token: SecretStr | None = Field(default=None, description="Token for TyxonQ's cloud.")
    base_url: str = Field(
        default="https://api.tyxonq.com/qau-cloud/tyxonq/", description="Where TyxonQ's cloud, or a sandbox, is."
    )
    counts_order: Literal["measured-first", "qiskit"] = Field(
        default="measured-first", description="Which qubit the leftmost character of TyxonQ's bitstrings belongs to."
    )
    coupling_map: CouplingMap = Field(
        default=None, description="Connected qubit pairs of TyxonQ's device, [[0, 1], …]. Unset: all are connected."
    )
    concurrency: int = Field(default=8, ge=1, le=256, description="Requests to TyxonQ at once, per process.")
    requests_per_second: float | None = Field(
        default=None, gt=0, le=10_000, description="Most requests to TyxonQ per second, per process. Unset: no limit."
    )


def _open(settings: Settings) -> Provider:
    from metriq_gym.providers.tyxonq.provider import TyxonQProvider

    return TyxonQProvider.from_settings(settings.of(TyxonQSettings))


PLUGIN = ProviderPlugin(_open, TyxonQSettings)
