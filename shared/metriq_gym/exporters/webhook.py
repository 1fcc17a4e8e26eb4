"""Signed webhooks: a CloudEvents envelope is posted to the one receiver that the settings name.

The signature is that of Standard Webhooks (https://www.standardwebhooks.com): HMAC-SHA256 over the event's id, the
time of sending and the body. No redirect is followed, and no proxy of the environment is used.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import socket
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import closing, suppress
from datetime import UTC, datetime
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from urllib.parse import urlsplit

from metriq_gym import __version__
from metriq_gym.errors import OutOfReach, Permanent, Transient
from metriq_gym.exporters.addresses import (
    PRIVATE_NETWORKS,
    Endpoint,
    Resolve,
    allowed,
    endpoint,
    networks,
    reachable,
    resolve,
)
from metriq_gym.jobs.notices import Notice
from metriq_gym.settings import Settings
from metriq_gym.web import retry_after

SECONDS = 10.0
"""How long a receiver may take to be connected to, and from one byte to the next."""
_LONGEST_SECONDS = 30.0
"""How long one attempt may take."""
_LEAST_SECRET = 24
"""Bytes of a secret."""
_PREFIX = "whsec_"


class Webhook:
    """Posts notices to the receiver.

    Raises `Permanent`, which names the setting, when it cannot work as it is configured.
    """

    def __init__(self, settings: Settings, *, now: Callable[[], float] = time.time, look_up: Resolve = resolve) -> None:
        self._url = settings.webhook_url or ""
        self._where = endpoint(self._url, "METRIQ_WEBHOOK_URL")
        if self._where not in allowed(settings.webhook_hosts, "METRIQ_WEBHOOK_HOSTS"):
            raise Permanent(f"METRIQ_WEBHOOK_URL leads to {self._where}, which METRIQ_WEBHOOK_HOSTS does not list")
        self._private = networks(settings.notify_private_networks, PRIVATE_NETWORKS)
        if settings.webhook_secret is None:
            raise Permanent("webhooks are signed: set METRIQ_WEBHOOK_SECRET or METRIQ_WEBHOOK_SECRET_FILE")
        key_of(settings.webhook_secret.get_secret_value())
        self._secret = settings.latest("webhook_secret")
        self._now = now
        self._look_up = look_up

    def send(self, notice: Notice) -> None:
        """Post a notice and return when the receiver has accepted it.

        Raises `Transient` when it has not, with what it said of when to try again, `OutOfReach` where its address is
        refused, and `Permanent` when it wants no more (410 Gone).
        """
        body = notice.envelope()
        headers = {
            "Content-Type": "application/cloudevents+json; charset=utf-8",
            "User-Agent": f"metriq-gym/{__version__}",
            **signed(notice.id, int(self._now()), body, key_of(self._secret())),
        }
        addresses = reachable(self._where.host, self._where.port, self._private, self._look_up)
        connection = _Connection(self._where, addresses)
        overdue = threading.Timer(_LONGEST_SECONDS, connection.break_off)
        overdue.daemon = True
        parts = urlsplit(self._url)
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        overdue.start()
        try:
            with closing(connection):
                connection.request("POST", path, body, headers)
                with connection.getresponse() as answer:
                    now = datetime.fromtimestamp(self._now(), UTC)
                    _check(answer.status, retry_after(answer.headers["Retry-After"], answer.headers["Date"], now))
        except (OSError, HTTPException) as error:
            raise Transient(f"{self._where} cannot be reached: {error or type(error).__name__}") from error
        finally:
            overdue.cancel()


def key_of(secret: str) -> bytes:
    """Return the key that a secret stands for: after ``whsec_`` it is in base64, else it is the text itself."""
    key = secret.encode()
    if secret.startswith(_PREFIX):
        try:
            key = base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
        except binascii.Error as error:
            raise Permanent("METRIQ_WEBHOOK_SECRET begins with whsec_ but is not base64 after it") from error
    if len(key) < _LEAST_SECRET:
        raise Permanent(f"METRIQ_WEBHOOK_SECRET is too short: it takes {_LEAST_SECRET} bytes, chosen at random")
    return key


def signed(event_id: str, seconds: int, body: bytes, key: bytes) -> Mapping[str, str]:
    """Return the headers by which a receiver knows that the body is ours, and when it was sent."""
    digest = hmac.digest(key, f"{event_id}.{seconds}.".encode() + body, hashlib.sha256)
    return {
        "webhook-id": event_id,
        "webhook-timestamp": str(seconds),
        "webhook-signature": f"v1,{base64.b64encode(digest).decode()}",
    }


def _check(status: int, asked: float | None) -> None:
    if HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
        return
    if status == HTTPStatus.GONE:
        raise Permanent("the receiver wants no more of it (410 Gone)")
    if HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.BAD_REQUEST:
        raise OutOfReach(f"the receiver redirects ({status}), which is not followed: correct METRIQ_WEBHOOK_URL")
    raise Transient(f"the receiver answers {status}", retry_after=asked)


class _Connection(HTTPConnection):
    """A connection to one of these addresses, with TLS for the host's name."""

    def __init__(self, where: Endpoint, addresses: list[str]) -> None:
        super().__init__(where.host, where.port, timeout=SECONDS)
        self._addresses = addresses
        self._tls = ssl.create_default_context() if where.scheme == "https" else None

    def connect(self) -> None:
        """Connect to the first address that answers."""
        *others, last = self._addresses
        for address in others:
            with suppress(OSError):
                return self._connect(address)
        return self._connect(last)

    def _connect(self, address: str) -> None:
        plain = socket.create_connection((address, self.port), SECONDS)
        try:
            self.sock = self._tls.wrap_socket(plain, server_hostname=self.host) if self._tls else plain
        except BaseException:
            plain.close()
            raise

    def break_off(self) -> None:
        """End an attempt that takes too long; whatever waits for it gets an error."""
        with suppress(OSError, AttributeError):
            self.sock.shutdown(socket.SHUT_RDWR)
