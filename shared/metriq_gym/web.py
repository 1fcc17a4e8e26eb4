"""One HTTP request to a server that is looked at or prepared, and what an answer asks for, whoever reads it.

What runs jobs and exports has clients of its own.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http.client import HTTPException
from urllib.error import HTTPError
from urllib.parse import unquote, urlsplit
from urllib.request import Request, urlopen

from metriq_gym.errors import Permanent, Unavailable

SECONDS = 10.0
MAX_BYTES = 8 * 2**20
MAX_RETRY_AFTER = 3600.0
"""Most seconds of a Retry-After header that are believed."""


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
        with error:  # it holds the connection until it is closed
            raise RequestRefused(server, error.code) from error
    except (OSError, HTTPException, ValueError) as error:
        raise Unavailable(f"{server} does not answer ({type(error).__name__})") from error
    return found


def retry_after(asked: str | None, dated: str | None, now: datetime) -> float | None:
    """Read an answer's Retry-After in seconds, where it is that or an HTTP date; None when it is absent or neither.

    A date is by the clock that the answer's own Date is by, if it has one: `now` may be minutes off.
    """
    text = (asked or "").strip()
    try:
        seconds = float(text)
    except ValueError:
        if (then := _date(text)) is None:
            return None
        seconds = (then - (_date(dated or "") or now)).total_seconds()
    return None if math.isnan(seconds) else min(max(seconds, 0.0), MAX_RETRY_AFTER)


def _date(text: str) -> datetime | None:
    try:
        date = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    return date if date.tzinfo else date.replace(tzinfo=UTC)
