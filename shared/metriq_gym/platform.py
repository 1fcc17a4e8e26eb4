"""What the dataset calls providers and devices, where that is not what the provider itself calls them."""

from __future__ import annotations

_AWS = ("aws", "braket")


def canonical_provider_name(provider: str) -> str:
    """Return what the dataset calls a provider: ``aws`` for Amazon Braket, and any other as it calls itself."""
    name = provider.strip()
    return "aws" if name.lower() in _AWS else name


def canonical_device_name(provider: str, device: str) -> str:
    """Return what the dataset calls a device: of Amazon's ARN maker and model, as ``iqm_emerald``; others as they are.

    The ARN's region is no part of it: the same device is reached by several.
    """
    name = device.strip()
    if canonical_provider_name(provider) != "aws":
        return name
    return "_".join([part for part in name.split("/") if part][-2:]).lower()
