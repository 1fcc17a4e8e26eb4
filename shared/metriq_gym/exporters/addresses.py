"""Where a webhook may go: to hosts that the settings list, and to no address that only this network reaches.

A name is resolved once per attempt, every address that it has is checked, and the connection goes to one of these very
addresses: a name that resolves otherwise a moment later changes nothing.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from urllib.parse import urlsplit

from metriq_gym.errors import OutOfReach, Permanent, Transient

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network
Resolve = Callable[[str, int], Sequence[str]]
PRIVATE_NETWORKS = "METRIQ_NOTIFY_PRIVATE_NETWORKS"
_PORTS = {"http": 80, "https": 443}
_NAT64 = IPv6Network("64:ff9b::/96")
_COMPATIBLE = IPv6Network("::/96")
_UNWISE = re.compile(r"[\x00-\x20\x7f\\]")
"""What readers of URLs do not agree on."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A scheme, host and port."""

    scheme: str
    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}" + (f":{self.port}" if self.port != _PORTS[self.scheme] else "")


def endpoint(url: str, setting: str) -> Endpoint:
    """Return where a URL leads; raises `Permanent`, which names the setting, for one that a webhook cannot go to."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise Permanent(f"{setting} has no valid URL: {error}") from error
    if _UNWISE.search(url):
        raise Permanent(f"{setting} has a URL with a space, a control character or a backslash")
    if parts.scheme not in _PORTS or not parts.hostname:
        raise Permanent(f"{setting} has to be a URL that begins with https://")
    if parts.username is not None or parts.password is not None:
        raise Permanent(f"{setting} has a user or a password in its URL: receivers know us by the signature")
    if parts.fragment:
        raise Permanent(f"{setting} has a URL with a fragment (#), which no receiver gets")
    return Endpoint(parts.scheme, parts.hostname.casefold().removesuffix("."), port or _PORTS[parts.scheme])


def allowed(entries: Sequence[str], setting: str) -> frozenset[Endpoint]:
    """Return what a list of hosts allows: ``HOST`` and ``HOST:PORT`` with TLS, ``http://HOST`` without."""
    return frozenset(endpoint(entry if "://" in entry else f"https://{entry}", setting) for entry in entries)


def networks(entries: Sequence[str], setting: str) -> tuple[Network, ...]:
    """Return networks written as ``10.1.0.0/16``; raises `Permanent`, which names the setting."""
    try:
        return tuple(ip_network(entry) for entry in entries)
    except ValueError as error:
        raise Permanent(f"{setting} has to list networks as 10.1.0.0/16: {error}") from error


def resolve(host: str, port: int) -> list[str]:
    """Return the addresses of a host; raises `OSError`."""
    return [str(found[4][0]) for found in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]


def reachable(host: str, port: int, private: Sequence[Network], look_up: Resolve = resolve) -> list[str]:
    """Return the addresses of a host, if it has none that is private, unless that is in a network of `private`.

    Raises `Transient` when the name cannot be resolved now, and `OutOfReach` when one of its addresses is refused.
    """
    try:
        found = list(dict.fromkeys(look_up(host, port)))
    except (OSError, UnicodeError) as error:
        raise Transient(f"{host} cannot be resolved: {error}") from error
    for each in found:
        address = ip_address(each.partition("%")[0])
        inner = embedded(address)
        if not all(_is_public(one) or any(one in network for network in private) for one in {address, inner}):
            raise OutOfReach(
                f"{host} has the address {each}, which is not public; if that is meant, list it in {PRIVATE_NETWORKS}"
            )
    if not found:
        raise Transient(f"{host} has no address")
    return found


def embedded(address: Address) -> Address:
    """Return the IPv4 address that an IPv6 address stands for; otherwise the address itself."""
    if isinstance(address, IPv4Address):
        return address
    if address in _NAT64 or (address in _COMPATIBLE and int(address) > 1):
        return IPv4Address(int(address) & 0xFFFFFFFF)
    teredo = address.teredo[1] if address.teredo else None
    return address.ipv4_mapped or address.sixtofour or teredo or address


def _is_public(address: Address) -> bool:
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return True  # the address within is what is asked about
    return address.is_global and not address.is_multicast and not address.is_reserved
