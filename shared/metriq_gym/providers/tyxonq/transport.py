"""One POST with a JSON body: what came of it, as a value, with every way it can go wrong told apart.

No exception of the HTTP library leaves this module, because their frames and requests hold the token.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import httpx
from pydantic import SecretStr

from metriq_gym.providers.tyxonq.document import read_document
from metriq_gym.web import retry_after

MAX_BYTES = 64 * 2**20
"""Size up to which an answer is read; a list of 150,000 tasks fits, with their sources one of 20,000."""
SHORTEST_SECRET = 8
"""Length from which a token is taken out of answers; a shorter one, as in a test, may be part of any word."""
_CONNECT_SECONDS = 10.0
_NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError, httpx.UnsupportedProtocol)


@dataclass(frozen=True, slots=True)
class NotSent:
    """No byte of the request reached the service."""

    reason: str


@dataclass(frozen=True, slots=True)
class NoReply:
    """The request may have reached the service; no whole answer came back."""

    reason: str


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer. `document` is its body if that is a JSON object; otherwise `problem` says what it is instead."""

    status: int
    retry_after: float | None
    document: Mapping[str, Any] | None
    problem: str = ""


async def post(
    lent: AbstractAsyncContextManager[httpx.AsyncClient],
    path: str,
    body: Mapping[str, Any],
    *,
    seconds: float,
    now: Callable[[], datetime],
    secret: SecretStr,
    max_bytes: int = MAX_BYTES,
) -> Reply | NoReply | NotSent:
    """Send `body` to `path` and read the answer, all within `seconds`. Redirects are not followed.

    `lent` gives a client for as long as that takes, and sees every exception that breaks it off.
    `secret` is the bearer token; where the answer quotes it, three asterisks take its place.

    The body is asked for, and accepted, without compression only, so that its size is what was received.
    """
    timeout = httpx.Timeout(seconds, connect=min(seconds, _CONNECT_SECONDS))
    try:
        async with (
            asyncio.timeout(seconds),
            lent as client,
            client.stream(
                "POST",
                path,
                json=body,
                headers={"Authorization": f"Bearer {secret.get_secret_value()}"},
                timeout=timeout,
                follow_redirects=False,
            ) as response,
        ):
            document, problem = await _read(response, secret, max_bytes)
            problem = _without(secret, problem)
            asked, dated = response.headers.get("retry-after"), response.headers.get("date")
            return Reply(response.status_code, retry_after(asked, dated, now()), document, problem)
    except _NOT_SENT as error:
        return NotSent(_without(secret, _describe(error)))
    except TimeoutError:
        return NoReply(f"no whole answer within {seconds:g} s")
    except (httpx.HTTPError, OSError) as error:
        return NoReply(_without(secret, _describe(error)))


async def _read(response: httpx.Response, secret: SecretStr, max_bytes: int) -> tuple[Mapping[str, Any] | None, str]:
    kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    if not (kind == "application/json" or (kind.startswith("application/") and kind.endswith("+json"))):
        return None, f"an answer of type {kind[:80]!r}"
    if (coding := response.headers.get("content-encoding", "identity").lower()) != "identity":
        return None, f"an answer in the coding {coding[:80]!r}"
    body = bytearray()
    async for chunk in response.aiter_bytes():
        body += chunk
        if len(body) > max_bytes:
            return None, f"an answer of more than {max_bytes:,} bytes"
    try:
        document = await read_document(_without(secret, body.decode("utf-8-sig", errors="replace")))
    except ValueError as error:
        return None, f"an answer that is not JSON ({error})"
    return (document, "") if isinstance(document, dict) else (None, "JSON that is not an object")


def _without(secret: SecretStr, text: str) -> str:
    r"""Take the secret out of a text, in which JSON may write a slash as ``\/``."""
    plain = text.replace("\\/", "/")
    if len(secret) < SHORTEST_SECRET or secret.get_secret_value() not in plain:
        return text
    return plain.replace(secret.get_secret_value(), "***")


def _describe(error: Exception) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
