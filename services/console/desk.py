"""What the page and the API work with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from starlette.requests import HTTPConnection

from metriq_gym.bus.port import Bus
from metriq_gym.client import Client
from metriq_gym.service.pool import Pool
from metriq_gym.settings import Settings
from metriq_gym.store import Store

from .access import Access
from .events import Hub
from .letters import Letters
from .sharing import SharedWork


@dataclass(frozen=True, slots=True)
class Desk:
    """One for a process; requests find it by `desk`."""

    settings: Settings
    store: Store
    bus: Bus
    client: Client
    pool: Pool
    access: Access
    hub: Hub
    letters: Letters
    overview: SharedWork[dict[str, Any]]


def desk(request: HTTPConnection) -> Desk:
    """Return the desk that serves a request."""
    found: Desk = request.app.state.desk
    return found
