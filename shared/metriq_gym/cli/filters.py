"""Which jobs a list is of: options that several commands have, and the query that they make."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

import typer

from metriq_gym.cli import moments, options
from metriq_gym.cli.errors import Usage
from metriq_gym.jobs import JobState

Benchmark = Annotated[str | None, typer.Option(help="Only this benchmark.")]
OfProvider = Annotated[
    str | None, typer.Option("--provider", "-p", help="Only this provider.", autocompletion=options.providers)
]
OfDevice = Annotated[str | None, typer.Option("--device", "-d", help="Only this device.")]
State = Annotated[str | None, typer.Option(help="Only jobs in this state.")]
OfSuite = Annotated[str | None, typer.Option("--suite", help="Only jobs of the suite with this id.")]
Tagged = Annotated[
    list[str] | None,
    typer.Option("--tag", metavar="TAG", help="Only with this tag; given again, with all.", show_default=False),
]
Since = Annotated[
    datetime | None,
    typer.Option(
        metavar="TIME", help="Only from then on: 2026-11-27, or 7d ago.", parser=moments.beginning, show_default=False
    ),
]
Until = Annotated[
    datetime | None,
    typer.Option(metavar="TIME", help="Only up to then; a day counts in full.", parser=moments.end, show_default=False),
]
Limit = Annotated[int, typer.Option("--limit", "-n", min=1, help="At most so many, the newest.")]


def query(
    benchmark: str | None = None,
    provider: str | None = None,
    device: str | None = None,
    state: str | None = None,
    suite: str | None = None,
    tags: list[str] | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
) -> dict[str, Any]:
    """Return the filter for `Catalogue.find`; raises `Usage` for a state that there is not."""
    if state is not None and state not in set(JobState):
        raise Usage(f"no state is called {state!r}; there are: {', '.join(JobState)} (`mgym status` shows held jobs)")
    wanted: dict[str, Any] = {
        "benchmark_name": benchmark,
        "provider": provider,
        "device": device,
        "state": state,
        "suite_id": suite,
        "tags": {"$all": tags} if tags else None,
        "created_at": {
            **({} if since is None else {"$gte": since}),
            **({} if until is None else {"$lt": until}),
        }
        or None,
    }
    return {key: value for key, value in wanted.items() if value is not None}
