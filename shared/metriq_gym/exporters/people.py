"""Telling people by mail, chat or push, through Apprise, which knows more than a hundred services."""

from __future__ import annotations

import re
from collections import OrderedDict
from typing import Any

from metriq_gym.errors import Permanent, Transient
from metriq_gym.exporters.addresses import Resolve, networks, reachable, resolve
from metriq_gym.jobs.notices import Notice
from metriq_gym.parts import parts
from metriq_gym.settings import Settings

_REMEMBERED = 10_000
_PORT = 443


class People:
    """Sends notices to each of Apprise's addresses.

    Raises `Permanent`, which names the setting, for an address that Apprise cannot read or whose host is not listed.
    """

    def __init__(self, settings: Settings, *, look_up: Resolve = resolve) -> None:
        with parts():
            import apprise
        urls = settings.notify_urls.get_secret_value().split() if settings.notify_urls else []
        if not urls:
            raise Permanent("set METRIQ_NOTIFY_URLS or METRIQ_NOTIFY_URLS_FILE")
        self._look_up = look_up
        self._private = networks(settings.notify_private_networks, "METRIQ_NOTIFY_PRIVATE_NETWORKS")
        hosts = {host.casefold() for host in settings.notify_hosts}
        asset = apprise.AppriseAsset(http_redirects=False)
        self._services: list[tuple[Any, set[str]]] = []
        for number, url in enumerate(urls, 1):
            # The address is not repeated: it holds secrets.
            service = apprise.Apprise.instantiate(url, asset=asset)
            if service is None:
                raise Permanent(f"METRIQ_NOTIFY_URLS: Apprise cannot read address {number}")
            if service.redirects:
                raise Permanent(f"METRIQ_NOTIFY_URLS: address {number} follows redirects; leave `redirect` out of it")
            named = _hosts_of(service)
            if unlisted := sorted(named - hosts):
                raise Permanent(
                    f"METRIQ_NOTIFY_URLS: address {number} leads to {unlisted[0]}, which METRIQ_NOTIFY_HOSTS does not "
                    "list"
                )
            self._services.append((service, named))
        self._told: OrderedDict[tuple[str, int], None] = OrderedDict()
        """What some have got already, while others are tried again."""

    def send(self, notice: Notice) -> None:
        """Tell all of them; raises `Transient` when one could not be told, and the next attempt tries only these."""
        failed = []
        for number, (service, hosts) in enumerate(self._services, 1):
            if (notice.id, number) in self._told:
                continue
            for host in sorted(hosts):
                reachable(host, service.port or _PORT, self._private, self._look_up)
            if service.notify(body=inert(notice.text), title=f"Metriq-Gym: {notice.kind}"):
                self._told[notice.id, number] = None
                if len(self._told) > _REMEMBERED:
                    self._told.popitem(last=False)
            else:
                failed.append(str(number))
        if failed:
            raise Transient(f"Apprise could not tell address {', '.join(failed)} of METRIQ_NOTIFY_URLS")


def inert(text: str) -> str:
    """Keep what strangers wrote, such as a suite's name, from being a mention, a link or HTML: mail is HTML unless the
    address says otherwise, and each chat has marks of its own.
    """
    return re.sub(r"[<>&@\[\]|`*~]", "_", text).replace("://", ":_")


def _hosts_of(service: Any) -> set[str]:
    """Return the hosts that an address names; none for a service whose host Apprise knows."""
    if not any("{host}" in template for template in service.templates):
        return set()
    named = (service.host, getattr(service, "smtp_host", None))  # a mail's address may name its server besides
    return {host.casefold() for host in named if host}
