"""One request to a server that is looked at."""

from __future__ import annotations

import pytest

from metriq_gym import web
from tests.support.receiver import receiving


@pytest.mark.parametrize("status", [204, 401, 503])
def test_a_request_leaves_no_connection_open(status: int) -> None:
    error: web.RequestRefused | None = None
    with receiving() as server:
        server.status = status
        try:
            web.request(f"http://127.0.0.1:{server.port}/", b"{}")
        except web.RequestRefused as raised:
            error = raised  # which holds what was there when it was raised
        assert (server.asked, server.connections()) == (1, 0)
    assert (error.status if error else 204) == status
