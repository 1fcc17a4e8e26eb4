"""Whether the services say of themselves that something is wrong: by a probe, or by a metric that has an alert."""

from __future__ import annotations

import re
from collections.abc import Sequence

import httpx

from tests.support.plain import plain_client
from tests.support.system import ServiceProcess

ALERTING = {
    "metriq_due_task_lag_seconds": 60.0,
    "metriq_undecided_jobs": 0.0,
    "metriq_service_stopped": 0.0,
    "metriq_provider_breaker_open": 0.0,
}
"""Metrics that tell of work that waits, and the values above which they do: `deploy/prometheus/alerts.yml`."""
_LINE = re.compile(r"^(\w+)(?:\{[^}]*\})? ([0-9.e+-]+)$", re.MULTILINE)


def alerts(page: str) -> set[str]:
    """Return which metrics of a page tell of work that waits."""
    return {name for name, value in _LINE.findall(page) if float(value) > ALERTING.get(name, float("inf"))}


async def all_silent(services: Sequence[ServiceProcess]) -> bool:
    """Whether every service says that all is well, and one of them counts the jobs."""
    counted = False
    async with plain_client() as client:
        for service in services:
            url = f"http://127.0.0.1:{service.port}"
            try:
                live, ready, page = [await client.get(f"{url}/{name}") for name in ("livez", "readyz", "metrics")]
            except httpx.HTTPError:
                return False  # a probe takes that for a no
            if {live.status_code, ready.status_code} != {200} or alerts(page.text):
                return False
            counted = counted or "\nmetriq_jobs{" in page.text
    return counted
