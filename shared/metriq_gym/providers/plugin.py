"""How providers come in: an entry point of the group ``metriq_gym.providers`` names a `ProviderPlugin`, ours too.

What is wrong with a plug-in is one line about it, and never stops the others.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from pydantic import ValidationError

from metriq_gym.errors import MetriqGymError, NoMeans, Permanent, means, want_of_means
from metriq_gym.parts import DISTRIBUTION, explained
from metriq_gym.providers.provider import LocalProvider, Provider, RemoteProvider
from metriq_gym.settings import LEAST_SETTLE_SECONDS, PREFIX, ProviderSettings, Settings
from metriq_gym.wording import from_pydantic, printable, shorten

GROUP = "metriq_gym.providers"
"""The entry's name is the provider's, its object a `ProviderPlugin`: ``examples/third_party_provider``."""
OURS = (
    EntryPoint("ibm", "metriq_gym.providers.ibm.plugin:PLUGIN", GROUP),
    EntryPoint("local", "metriq_gym.providers.aer.plugin:PLUGIN", GROUP),
    EntryPoint("tyxonq", "metriq_gym.providers.tyxonq.plugin:PLUGIN", GROUP),
)
"""As in ``pyproject.toml``; images have the code without that, and an older checkout was installed from another."""


class NotSetUp(Permanent):
    """The provider needs a setting that is not there.

    Parameters
    ----------
    name
        Name of the provider.
    settings
        What its plug-in declares.
    variable
        Name of the environment variable that is missing.
    """

    def __init__(self, name: str, settings: type[ProviderSettings], variable: str) -> None:
        self.variable = variable
        self.what = variable.removeprefix(settings.variable("")).lower().replace("_", " ")
        super().__init__(f"provider {name!r} needs a {self.what}: set {variable}, or {variable}_FILE")


@dataclass(frozen=True, slots=True)
class ProviderPlugin:
    """A provider that can be had: how it is opened, what can be set, and whether its tasks are run here.

    The module that has it is imported by every process that asks for a provider, so that it should import little;
    `open` may import all that the provider needs.
    """

    open: Callable[[Settings], Provider]
    """Makes the provider from the settings, of which ``settings.of(YourSettings)`` are its own. It is called once in a
    process, when the provider is first asked for; it raises `Permanent` where the settings are of no use."""
    settings: type[ProviderSettings] | None = None
    """What can be set; None where there is nothing."""
    is_local: bool = False
    """Whether pollers run its tasks themselves (`LocalProvider`), or ask for results (`RemoteProvider`)."""


@dataclass(frozen=True, slots=True)
class Installed:
    """The plug-ins that are installed here, and those that cannot be used."""

    plugins: dict[str, ProviderPlugin] = field(default_factory=dict)
    """By the provider's name, ours first."""
    broken: dict[str, str] = field(default_factory=dict)
    """Why, in one line that names the package, by the provider's name."""

    def of_kind(self, *, local: bool) -> dict[str, ProviderPlugin]:
        """Return those that run here, or those that are asked for results.

        Parameters
        ----------
        local
            Which of the two kinds.
        """
        return {name: each for name, each in self.plugins.items() if each.is_local is local}


@cache
def installed() -> Installed:
    """Load the plug-ins, once in a process.

    Raises
    ------
    NoMeans
        When this machine has too little of something; asked again, they may be loaded.
    """
    found = Installed()
    for entry in sorted(_entries(), key=lambda each: (_package(each) != DISTRIBUTION, each.name)):
        try:
            plugin = _loaded(entry, found)
        except (Exception, SystemExit) as error:
            if (wanting := want_of_means(error)) is not None:
                raise NoMeans(f"means are wanting: {wanting}") from error  # asked again, it may be loaded
            described = f"provider {entry.name!r} of the package {_package(entry)} cannot be loaded: {one_line(error)}"
            found.broken.setdefault(entry.name if entry.name not in found.plugins else _package(entry), described)
        else:
            found.plugins[entry.name] = plugin
    return found


def names() -> list[str]:
    """Return the names of the providers that are installed, without loading one."""
    return sorted({each.name for each in _entries()})


def declared() -> list[type[ProviderSettings]]:
    """Return what the plug-ins declare to be set."""
    return [each.settings for each in installed().plugins.values() if each.settings is not None]


def opened(name: str, plugin: ProviderPlugin, settings: Settings) -> Provider:
    """Open a provider.

    Parameters
    ----------
    name
        The provider's name, which is that of its entry point.
    plugin
        What the entry point names.
    settings
        Those of the process.

    Raises
    ------
    NotSetUp
        When a setting that it needs is missing.
    Permanent
        With one line that says what is wrong.
    NoMeans
        When this machine has too little of something; asked again, it may be opened.
    MetriqGymError
        As the plug-in itself raises it.
    """
    with means():
        return _opened(name, plugin, settings)


def _opened(name: str, plugin: ProviderPlugin, settings: Settings) -> Provider:
    try:
        if plugin.settings is not None and (missing := settings.of(plugin.settings).missing) is not None:
            raise NotSetUp(name, plugin.settings, missing)
        return _made(name, plugin, settings)
    except MetriqGymError:
        raise
    except ValidationError as error:
        raise Permanent(f"provider {name!r} is not set as it must be: {_mistakes(plugin, error)}") from None
    except Exception as error:
        if isinstance(error, ModuleNotFoundError) and (lacking := explained(error)) is not None:
            raise lacking from None
        raise Permanent(f"provider {name!r} cannot be opened: {one_line(error)}") from error


def mistake(name: str, plugin: ProviderPlugin, settings: Settings) -> str | None:
    """Return what in a provider's settings, if anything, must keep a service from starting.

    That is a value of no use, since jobs that are with the provider would end for it, and too little patience for one
    that is paid.

    Parameters
    ----------
    name
        The provider's name.
    plugin
        What its entry point names.
    settings
        Those of the process.
    """
    if plugin.settings is None:
        return None
    try:
        declared = settings.of(plugin.settings)
    except ValidationError as error:
        return f"provider {name!r} is not set as it must be: {_mistakes(plugin, error)}"
    except OSError as error:
        return f"provider {name!r}: cannot use {error.filename}: {error.strerror}"
    is_paid = not plugin.is_local and declared.missing is None and not declared.is_practice
    if is_paid and settings.settle_seconds < LEAST_SETTLE_SECONDS:
        return (
            f"METRIQ_SETTLE_SECONDS must be at least {LEAST_SETTLE_SECONDS:g} for the provider {name!r}: "
            "what the provider's list does not show yet would be submitted, and paid for, again"
        )
    return None


def one_line(error: BaseException) -> str:
    """Return an error's class and what it says, on one line that is not too long.

    Parameters
    ----------
    error
        Whatever was raised.
    """
    said = printable(" ".join(str(error).split()), kept="")
    return shorten(f"{type(error).__name__}: {said}" if said else type(error).__name__)


def _mistakes(plugin: ProviderPlugin, error: ValidationError) -> str:
    found = [(each.path.removeprefix("$."), each.message) for each in from_pydantic(error)]
    return "; ".join(f"{plugin.settings.variable(at) if plugin.settings else at}: {message}" for at, message in found)


def _entries() -> list[EntryPoint]:
    found = list(entry_points(group=GROUP))
    ours = {each.name for each in found if _package(each) == DISTRIBUTION}
    return [*(each for each in OURS if each.name not in ours), *found]


def _loaded(entry: EntryPoint, others: Installed) -> ProviderPlugin:
    plugin = entry.load()
    if not isinstance(plugin, ProviderPlugin):
        raise TypeError(f"{entry.value} is no ProviderPlugin")
    prefix = f"{PREFIX}{entry.name.upper().replace('-', '_')}_"
    if plugin.settings is not None and plugin.settings.variable("") != prefix:
        raise TypeError(f"its settings must have the prefix {prefix}")
    if entry.name in others.plugins:
        raise TypeError("another package has a provider of that name already")
    return plugin


def _made(name: str, plugin: ProviderPlugin, settings: Settings) -> Provider:
    provider: Provider = plugin.open(settings)
    kind: Any = LocalProvider if plugin.is_local else RemoteProvider
    if not _is(provider, kind):
        raise TypeError(f"{type(provider).__name__} is no {kind.__name__}{_lacks(provider, kind)}")
    if provider.name != name:
        raise TypeError(f"it calls itself {provider.name!r}")
    return provider


def _is(provider: object, kind: Any) -> bool:
    return isinstance(provider, kind)


def _lacks(provider: object, kind: Any) -> str:
    members = sorted(name for name in dir(kind) if not name.startswith("_") and not hasattr(provider, name))
    return f": it has no {', '.join(members)}" if members else ""


def _package(entry: EntryPoint) -> str:
    return entry.dist.name if entry.dist is not None else DISTRIBUTION
