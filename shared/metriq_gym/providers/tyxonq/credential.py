"""A token: read again when its file changes, and left alone for growing pauses while the service does not accept it."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import structlog
from pydantic import SecretStr

from metriq_gym.errors import Permanent
from metriq_gym.providers.provider import Trouble
from metriq_gym.providers.tyxonq.errors import AuthenticationFailed

log = structlog.get_logger()

FIRST_PAUSE = 1.0
LONGEST_PAUSE = 300.0
LOOK_SECONDS = 1.0
"""How often the token's file is looked at, at most."""


class Credential:
    """A token and what the service thinks of it.

    Parameters
    ----------
    token:
        Raises `Permanent` if no service can have given it out.
    file:
        Where it was read from; a file that is missing, or has no token in it, leaves the token as it is.
    now:
        A clock, in seconds.
    """

    def __init__(self, token: SecretStr, file: Path | None = None, now: Callable[[], float] = time.monotonic) -> None:
        self._token = checked(token)
        self._file = file
        self._now = now
        self._looked_at = float("-inf")
        self._refusals = 0
        self._ask_at = float("-inf")
        self.trouble: Trouble | None = None

    def admit(self) -> SecretStr:
        """Return the token to send a request with.

        Raises `AuthenticationFailed` while it is parked; when its pause is over one request may go, to find out.
        """
        self._read_again()
        if self.trouble is not None:
            if (left := self._ask_at - self._now()) > 0:
                raise AuthenticationFailed(f"{self.trouble.reason}; asked again in {left:.0f} s")
            self._ask_at = self._now() + self._pause()
        return self._token

    def refused(self, token: SecretStr, reason: str) -> None:
        """Note that the service did not accept a token; park it, if it is still the one in use."""
        if token != self._token:
            return
        self._refusals += 1
        self._ask_at = self._now() + self._pause()
        since = self.trouble.since if self.trouble else datetime.now(UTC)
        self.trouble = Trouble(reason, since)
        log.error("TyxonQ does not accept the token: all work with it is parked", reason=reason, pause=self._pause())

    def accepted(self, token: SecretStr) -> None:
        """Note that the service accepted a token."""
        if self.trouble is not None and token == self._token:
            self._release("TyxonQ accepts the token again")

    def _release(self, event: str) -> None:
        self.trouble, self._refusals, self._ask_at = None, 0, float("-inf")
        log.info(event)

    def _pause(self) -> float:
        return min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** min(max(self._refusals - 1, 0), 30))

    def _read_again(self) -> None:
        if self._file is None or self._now() - self._looked_at < LOOK_SECONDS:
            return
        self._looked_at = self._now()
        try:
            token = checked(SecretStr(self._file.read_text(encoding="utf-8")))
        except (OSError, UnicodeDecodeError, Permanent):
            return  # perhaps it is just being written
        if token != self._token:
            self._token = token
            self._release("a new token for TyxonQ was read from its file")


def checked(token: SecretStr) -> SecretStr:
    """Return a token without space around it; raises `Permanent` if none looks like that."""
    # The bare value is never a local variable: logs show those of every frame an exception went through.
    if not re.fullmatch(r"[!-~]+", token.get_secret_value().strip()):
        raise Permanent("METRIQ_TYXONQ_TOKEN is empty or has characters that no token has")
    return SecretStr(token.get_secret_value().strip())
