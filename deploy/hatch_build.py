"""A build hook: where a wheel calls `services` `metriq_gym_services`, its entry points say so too."""

from __future__ import annotations

from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class Renamed(BuildHookInterface[Any]):
    """Rewrites entry points; an editable installation finds the folder as it is, and keeps them."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Called before a wheel is built; `version` is ``standard`` or ``editable``."""
        if version == "editable":
            return
        for entries in self.metadata.core.entry_points.values():
            for name, target in entries.items():
                if target.startswith("services."):
                    entries[name] = f"metriq_gym_{target}"
