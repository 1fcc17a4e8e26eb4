"""Clients of servers of this machine, which speak plain HTTP."""

from __future__ import annotations

import ssl
from typing import Any

import httpx

_NOBODY = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""Whom to trust, in place of all whom the machine does: to read those takes 20 ms, for each client."""


def plain_client(**options: Any) -> httpx.AsyncClient:
    """Return a client, with the options that it has by itself."""
    return httpx.AsyncClient(verify=_NOBODY, **options)
