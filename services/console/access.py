"""Who asks, and what they may do: a bearer token, the page's session, or a proxy that is trusted to say it."""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Callable, Sequence
from enum import IntEnum
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Annotated

from fastapi import Depends, Request
from pydantic import SecretStr
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection

from metriq_gym.errors import MetriqGymError
from metriq_gym.settings import Settings

COOKIE = "metriq_session"
SESSION_SECONDS = 12 * 3600
_GROUP = "metriq-"
"""What the name of a group may begin with that stands for a role."""
_LOOPBACK = ("localhost", "127.0.0.1", "::1")


class Role(IntEnum):
    """What somebody may do; each may do what those before it may."""

    VIEWER = 1
    """Look."""
    SUBMITTER = 2
    """Request jobs, suites, estimates and schedules, pause and run schedules, cancel and resume jobs."""
    OPERATOR = 3
    """Upload, delete, decide about held jobs and about dead letters."""

    @property
    def word(self) -> str:
        """Return its name as settings and pages have it."""
        return self.name.lower()


class Access:
    """The rights that the settings give. Raises `MetriqGymError` where they would let in anybody on the network."""

    def __init__(self, settings: Settings) -> None:
        given = {
            Role.VIEWER: settings.console_viewer_token,
            Role.SUBMITTER: settings.console_submitter_token,
            Role.OPERATOR: settings.console_operator_token,
        }
        self._tokens = {role: _digest(token) for role, token in given.items() if token is not None}
        self._proxies = _networks(settings.console_trusted_proxies)
        self._role_header = settings.console_role_header
        self.open = not self._tokens and not self._proxies
        """Whether everybody who reaches this machine's own address may do everything."""
        if self.open and settings.console_host not in _LOOPBACK:
            raise MetriqGymError(
                f"the console would let anybody in at METRIQ_CONSOLE_HOST={settings.console_host}: set "
                "METRIQ_CONSOLE_OPERATOR_TOKEN (or …_FILE), or METRIQ_CONSOLE_TRUSTED_PROXIES, or listen on 127.0.0.1"
            )
        names = {*_LOOPBACK, settings.console_host, *settings.console_allowed_hosts}
        self._hosts = {name.casefold() for name in names if name not in ("0.0.0.0", "::")}  # noqa: S104

    def knows_host(self, host: str) -> bool:
        """Whether the console is reached by that name: a page elsewhere may have its name lead here."""
        name = host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() else host
        return name.strip("[]").casefold() in self._hosts

    def role_of_token(self, token: str) -> Role | None:
        """Return the role that a token gives; compares with every token, in constant time."""
        offered = hashlib.sha256(token.encode(errors="surrogatepass")).digest()
        found = [role for role, known in self._tokens.items() if hmac.compare_digest(offered, known)]
        return max(found, default=None)

    def role_of(self, request: HTTPConnection) -> Role | None:
        """Return the role of whoever asks; None for somebody unknown. A token that is none is not passed over."""
        if (authorization := request.headers.get("authorization")) is not None:
            scheme, _, token = authorization.partition(" ")
            return self.role_of_token(token.strip()) if scheme.casefold() == "bearer" else None
        if self._proxies and (role := self._role_by_proxy(request)) is not None:
            return role
        if (session := request.cookies.get(COOKIE)) is not None and (role := self._role_of_session(session)):
            return role
        return Role.OPERATOR if self.open else None

    def session(self, role: Role) -> str:
        """Return a cookie's value that says the role, signed with the role's own token: every replica can read it."""
        said = f"{role.value}.{int(time.time()) + SESSION_SECONDS}"
        return f"{said}.{self._signature(role, said)}"

    def _role_of_session(self, session: str) -> Role | None:
        said, _, signature = session.rpartition(".")
        number, _, expires = said.partition(".")
        if not (number in ("1", "2", "3") and expires.isascii() and expires.isdigit() and len(expires) < 12):
            return None
        role = Role(int(number))
        if role not in self._tokens or int(expires) < time.time():
            return None
        right = hmac.compare_digest(signature.encode(errors="replace"), self._signature(role, said).encode())
        return role if right else None

    def _signature(self, role: Role, said: str) -> str:
        return hmac.new(self._tokens[role], f"session {said}".encode(), hashlib.sha256).hexdigest()

    def _role_by_proxy(self, request: HTTPConnection) -> Role | None:
        if request.client is None or not _within(request.client.host, self._proxies):
            return None
        words = request.headers.get(self._role_header, "").replace(",", " ").split()
        roles = {role.word: role for role in Role}
        return max((roles[name] for word in words if (name := word.removeprefix(_GROUP)) in roles), default=None)


def needs(least: Role) -> Callable[[Request], Role]:
    """Return the dependency of what only some may do; it gives the role of whoever asks."""

    def check(request: Request) -> Role:
        access: Access = request.app.state.desk.access
        role = access.role_of(request)
        if role is None:
            raise HTTPException(401, "a token is needed: Authorization: Bearer …", {"WWW-Authenticate": "Bearer"})
        if role < least:
            scope = {"WWW-Authenticate": 'Bearer error="insufficient_scope"'}
            raise HTTPException(403, f"this takes the role {least.word}; the token gives {role.word}", scope)
        return role

    return check


Viewer = Annotated[Role, Depends(needs(Role.VIEWER))]
Submitter = Annotated[Role, Depends(needs(Role.SUBMITTER))]
Operator = Annotated[Role, Depends(needs(Role.OPERATOR))]


def _digest(token: SecretStr) -> bytes:
    return hashlib.sha256(token.get_secret_value().strip().encode()).digest()


def _networks(words: Sequence[str]) -> list[IPv4Network | IPv6Network]:
    try:
        return [ip_network(word, strict=False) for word in words]
    except ValueError as error:
        raise MetriqGymError(f"METRIQ_CONSOLE_TRUSTED_PROXIES: {error}") from None


def _within(host: str, networks: Sequence[IPv4Network | IPv6Network]) -> bool:
    try:
        address = ip_address(host)
    except ValueError:
        return False
    return any(address in network for network in networks)
