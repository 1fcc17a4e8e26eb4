"""The environment variables that set the services and the providers that ship."""

from __future__ import annotations

from metriq_gym.providers.plugin import declared
from metriq_gym.settings import ProviderSettings, Settings


def described() -> dict[str, str | None]:
    """Return each variable with its description."""
    classes: list[type[Settings | ProviderSettings]] = [Settings, *declared()]
    return {each.variable(name): field.description for each in classes for name, field in each.model_fields.items()}
