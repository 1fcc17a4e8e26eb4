"""Where circuits run: the port every provider implements, and the providers by name, each from a plug-in.

Only the dispatcher and the poller, and the commands that ask a provider, import this room.
"""

from __future__ import annotations

from typing import Self

from metriq_gym.errors import MetriqGymError, NotFound, Permanent
from metriq_gym.providers.plugin import NotSetUp, installed, mistake, names, one_line, opened
from metriq_gym.providers.provider import LocalProvider, Provider, RemoteProvider
from metriq_gym.settings import Settings
from metriq_gym.wording import alternatives

__all__ = ["NotSetUp", "Providers", "installed", "names"]


class Providers:
    """The providers by name, each made from the settings when it is first asked for."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._made: dict[str, Provider] = {}

    def get(self, name: str) -> Provider:
        """Return a provider; raises `NotFound` naming those there are, or `Permanent` if its settings are no use."""
        there = installed()
        if name in self._made:
            return self._made[name]
        if name in there.plugins:
            return self._made.setdefault(name, opened(name, there.plugins[name], self._settings))
        if name in there.broken:
            raise Permanent(there.broken[name])
        raise NotFound(f"unknown provider {name!r}{alternatives(name, there.plugins, 'mgym devices')}")

    def check_settings(self) -> None:
        """Raise `Permanent` where the settings of a provider must keep a service from starting."""
        for name, plugin in installed().plugins.items():
            if (wrong := mistake(name, plugin, self._settings)) is not None:
                raise Permanent(wrong)

    def tell_broken(self) -> None:
        """Log a line for each plug-in that cannot be loaded."""
        for line in installed().broken.values():
            _left_out(line)

    def remote(self) -> list[RemoteProvider]:
        """Return the providers that are asked for results, those that the settings allow to be asked."""
        made = self._usable(local=False)
        return [each for each in made.values() if isinstance(each, RemoteProvider)]

    def local(self) -> dict[str, LocalProvider]:
        """Return the providers whose tasks pollers run themselves."""
        return {name: each for name, each in self._usable(local=True).items() if isinstance(each, LocalProvider)}

    def _usable(self, *, local: bool) -> dict[str, Provider]:
        found: dict[str, Provider] = {}
        for name in installed().of_kind(local=local):
            try:
                found[name] = self.get(name)
            except NotSetUp:
                continue
            except MetriqGymError as error:
                _left_out(str(error))
        return found

    def used(self) -> list[RemoteProvider]:
        """Return those of the remote providers that were asked for."""
        return [each for each in self._made.values() if isinstance(each, RemoteProvider)]

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections of all providers; one that cannot be closed keeps no other open."""
        for name, provider in self._made.items():
            if isinstance(provider, RemoteProvider):
                try:
                    await provider.aclose()
                except Exception as error:
                    _left_out(f"provider {name!r} cannot be closed: {one_line(error)}")


def _left_out(reason: str) -> None:
    import structlog  # clients import this room, and log nothing

    structlog.get_logger().error("provider left out", reason=reason)
