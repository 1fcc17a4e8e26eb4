"""One HTTP request to a server that is looked at or prepared. What runs jobs and exports has clients of its own."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from http.client import HTTPException
from urllib.error import HTTPError
from urllib.parse import unquote, urlsplit
from urllib.request import Request, urlopen

from metriq_gym.errors import Permanent, Unavailable

SECONDS = 10.0
MAX_BYTES = 8 * 2**20


class RequestRefused(Permanent):
    """A server answered with an error; `status` is its code."""

    def __init__(self, address: str, status: int) -> None:
        super().__init__(f"{address} answers {status}")
        self.status = status


def request(
    url: str, body: bytes | None = None, headers: Mapping[str, str] | None = None, seconds: float = SECONDS
) -> bytes:
    """Return what a server answers to GET, or to POST where there is a `body`; blocks for at most `seconds` a step.

    A user and password in the URL are sent as HTTP's basic authentication. Raises `RequestRefused` when the answer is
    an error, and `Unavailable` when none comes; neither quotes the URL's password.
    """
    parts = urlsplit(url)
    address = parts.netloc.rpartition("@")[2]
    sent = dict(headers or {})
    if parts.username is not None:
        pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        sent["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
    server = f"{parts.scheme}://{address}"
    try:
        asked = Request(parts._replace(netloc=address).geturl(), data=body, headers=sent)  # noqa: S310  (an operator's URL)
        with urlopen(asked, timeout=seconds) as answer:  # noqa: S310
            found: bytes = answer.read(MAX_BYTES)
    except HTTPError as error:
        raise RequestRefused(server, error.code) from error
    except (OSError, HTTPException, ValueError) as error:
        raise Unavailable(f"{server} does not answer ({type(error).__name__})") from error
    return found
