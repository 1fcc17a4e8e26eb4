"""W3C trace context (https://www.w3.org/TR/trace-context/) without spans: one trace id from request to export."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_FORMAT = re.compile(r"00-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
_trace_id: ContextVar[str | None] = ContextVar("trace_id", default=None)


@contextmanager
def continued(traceparent: object) -> Iterator[None]:
    """While inside, messages carry on the trace that `traceparent` names (any other value starts a new one)."""
    match = _FORMAT.fullmatch(traceparent) if isinstance(traceparent, str) else None
    token = _trace_id.set(match[1] if match else secrets.token_hex(16))
    try:
        yield
    finally:
        _trace_id.reset(token)


def current() -> str:
    """Return a traceparent header value for a message published now."""
    return f"00-{_trace_id.get() or secrets.token_hex(16)}-{secrets.token_hex(8)}-01"


def ids() -> dict[str, str]:
    """Return the id of the trace that is continued, as ``trace_id``; nothing outside one."""
    trace_id = _trace_id.get()
    return {} if trace_id is None else {"trace_id": trace_id}
