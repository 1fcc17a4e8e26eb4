"""What can be set for IBM, and the plug-in by which the provider ``ibm`` comes in."""

from __future__ import annotations

from importlib import import_module
from typing import ClassVar, Literal
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator

from metriq_gym.providers.plugin import ProviderPlugin
from metriq_gym.providers.provider import Provider
from metriq_gym.settings import ProviderSettings, Settings

IBM = "https://cloud.ibm.com"


class IBMSettings(ProviderSettings, env_prefix="METRIQ_IBM_"):
    """How to reach IBM Quantum."""

    needs: ClassVar[tuple[str, ...]] = ("token", "instance")

    token: SecretStr | None = Field(default=None, description="API key for IBM Quantum.")
    instance: str | None = Field(default=None, description="CRN of the instance that jobs are run by.")
    channel: Literal["ibm_quantum_platform", "ibm_cloud"] = Field(
        default="ibm_quantum_platform", description="Channel of IBM's library; both lead to the same service."
    )
    url: str = Field(default=IBM, description="Where IBM Cloud is; another has `/api/v1` and `/identity/token` itself.")
    mode: Literal["job", "batch"] = Field(
        default="job", description="Whether tasks are jobs of their own, or run together in one batch per device."
    )
    concurrency: int = Field(default=8, ge=1, le=64, description="Requests to IBM at once, per process.")

    @field_validator("instance")
    @classmethod
    def _is_crn(cls, instance: str | None) -> str | None:
        # By a name IBM may mean several instances, of which only one lists what was submitted.
        if instance and instance.strip() and not instance.strip().startswith("crn:"):
            raise ValueError("must be an instance's CRN, crn:…, as IBM's list of instances shows it")
        return instance.strip() if instance else None

    @field_validator("url")
    @classmethod
    def _is_http(cls, url: str) -> str:
        if urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).hostname:
            raise ValueError("must be an address, https://…")
        return url.rstrip("/")

    @property
    def base_url(self) -> str:
        """The address that tells whether it is practice."""
        return self.url


def _open(settings: Settings) -> Provider:
    import_module("qiskit_ibm_runtime")  # what lacks first names the extra, and others bring requests too
    from metriq_gym.providers.ibm.provider import IBMProvider

    return IBMProvider.from_settings(settings.of(IBMSettings))


PLUGIN = ProviderPlugin(_open, IBMSettings)
