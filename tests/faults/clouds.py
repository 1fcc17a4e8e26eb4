"""The providers' services that a flow's tasks are sent to, each told how to behave and asked what it was sent."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from tests.ibm.server import CRN, KEY
from tests.ibm.server import serving as serving_ibm
from tests.sandbox.fixture import SandboxControl


@dataclass(frozen=True)
class Cloud:
    """A service that runs while a case does."""

    control: Any
    """By which it is told how to behave."""
    settings: Mapping[str, Any]
    """By which the services find it."""
    submissions: Callable[[], Mapping[str, Collection[str]]]
    """What it was sent: tag → the ids that it gave."""
    waiting: Callable[[], Collection[str]] = tuple
    """The ids of what would still be run, where that can be cancelled."""


@contextmanager
def tyxonq() -> Iterator[Cloud]:
    """Serve the sandbox."""
    from tests.sandbox.app import TOKEN, Sandbox
    from tests.sandbox.server import serving

    with serving(Sandbox(seed=secrets.randbits(32))) as url:
        sandbox = SandboxControl(url, TOKEN)
        sandbox.set(pending_seconds=0, running_seconds=0, results="ideal")
        found = {"tyxonq_token": TOKEN, "tyxonq_base_url": url}
        yield Cloud(sandbox, found, lambda: sandbox.submissions()["by_remarks"])


@contextmanager
def ibm() -> Iterator[Cloud]:
    """Serve IBM's REST API."""
    with serving_ibm() as served:
        found = {"ibm_token": KEY, "ibm_instance": CRN, "ibm_url": served.url}
        yield Cloud(served, found, served.submissions, served.waiting)
