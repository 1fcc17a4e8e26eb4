"""IBM's tokens for an API key: got from IAM, kept until they expire, and got anew after a refusal."""

from __future__ import annotations

from pathlib import Path
from threading import Lock
from typing import Any

from ibm_cloud_sdk_core import ApiException, IAMTokenManager
from pydantic import SecretStr
from requests.auth import AuthBase

from metriq_gym.errors import Transient
from metriq_gym.providers.provider import CredentialTrouble, TryLater

SECONDS = 20.0
"""How long IAM may take."""
CHECK = "check METRIQ_IBM_TOKEN and METRIQ_IBM_INSTANCE"


class Credential(AuthBase):  # type: ignore[misc]  # requests has no types
    """Signs requests for an instance. A file that the key came from is read again when it changes.

    The library's own falls back to sending the key itself when IAM gives no token; this says why there is none.
    """

    def __init__(self, key: SecretStr, instance: str, iam_url: str | None, file: Path | None = None) -> None:
        self._key = key
        self._instance = instance
        self._iam_url = iam_url
        self._file = file
        self._lock = Lock()
        self._tokens = self._manager()

    def __call__(self, request: Any) -> Any:
        """Add the headers of a request."""
        request.headers["Service-CRN"] = self._instance
        request.headers["Authorization"] = f"Bearer {self._token()}"
        return request

    def forget(self) -> None:
        """Get another token next time."""
        with self._lock:
            self._tokens = self._manager()

    def _manager(self) -> Any:
        manager = IAMTokenManager(self._key.get_secret_value(), url=self._iam_url)
        manager.http_config = {"timeout": SECONDS}
        return manager

    def _token(self) -> str:
        with self._lock:
            self._read_again()
            try:
                return str(self._tokens.get_token())
            except Exception as error:
                self._tokens = self._manager()  # the library would have others wait for this attempt for a minute
                raise _described(error) from error

    def _read_again(self) -> None:
        if self._file is None:
            return
        try:
            key = SecretStr(self._file.read_text(encoding="utf-8").strip())
        except (OSError, UnicodeDecodeError):
            return  # perhaps it is just being written
        if key.get_secret_value() and key != self._key:
            self._key = key
            self._tokens = self._manager()


def _described(error: Exception) -> Exception:
    if not isinstance(error, ApiException):
        return Transient(f"IBM's IAM gives no token: {type(error).__name__}")
    said = f"IBM's IAM gives no token (HTTP {error.code}): {error.message}"
    if error.code == 429:
        return TryLater(said)
    return CredentialTrouble(f"{said}; {CHECK}") if error.code in (400, 401, 403) else Transient(said)
