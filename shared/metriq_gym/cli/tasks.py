"""``mgym tyxonq tasks`` and ``mgym tyxonq task``."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from metriq_gym.cli import opening
from metriq_gym.cli.options import AsJson
from metriq_gym.cli.output import console, emit
from metriq_gym.client.session import quiet
from metriq_gym.providers.tyxonq.client import TyxonQClient
from metriq_gym.providers.tyxonq.models import TaskDetail, TaskRow
from metriq_gym.providers.tyxonq.plugin import TyxonQSettings
from metriq_gym.providers.tyxonq.provider import TyxonQProvider
from metriq_gym.providers.tyxonq.text import readable
from metriq_gym.settings import Settings
from metriq_gym.terminal import report

_TIMES = {"at", "runAt", "atChip", "completed", "pending", "scheduled", "running", "failed"}
_DURATIONS = {"runDur", "durChip"}


def tasks(
    device: Annotated[str | None, typer.Option("--device", "-d", help="Only this device's.")] = None,
    state: Annotated[str | None, typer.Option("--state", help="Only those in this state.")] = None,
    json: AsJson = False,
) -> None:
    """List the tasks of this token at TyxonQ.

    Those of the services and all others, as the service lists them.
    """

    async def ask() -> list[TaskRow]:
        async with _client() as client:
            return list((await client.list_tasks()).tasks)

    found = [row for row in opening.run(ask()) if _is_wanted(row, device, state)]
    if json:
        emit([row.model_dump(mode="json", exclude_unset=True) for row in found])
        return
    rows = [
        [row.job_name or readable(row.odd), row.device or "", row.status or "", *map(readable, _times_of(row))]
        for row in found
    ]
    report.show_table(console(), ("task", "device", "state", "created", "updated", "completed"), rows)


def task(
    task_id: Annotated[str, typer.Argument(metavar="ID", help="The task's id at TyxonQ.")], json: AsJson = False
) -> None:
    """Print all that TyxonQ says of a task."""

    async def ask() -> TaskDetail:
        async with _client() as client:
            return await client.detail(task_id)

    found = opening.run(ask()).model_dump(mode="json", by_alias=True, exclude_unset=True)
    if json:
        emit(found)
        return
    report.show_table(console(), ("field", "value"), [[name, text] for name, text in _facts(found)])


@asynccontextmanager
async def _client() -> AsyncIterator[TyxonQClient]:
    quiet()
    provider = TyxonQProvider.from_settings(Settings().of(TyxonQSettings))
    try:
        yield provider.client
    finally:
        await provider.aclose()


def _is_wanted(row: TaskRow, device: str | None, state: str | None) -> bool:
    """Flags after a listed device are no part of its name, unless they are asked for."""
    listed = row.device or ""
    if device is not None and device not in (listed, listed.partition("?")[0]):
        return False
    return state is None or (row.status or "").casefold() == state.casefold()


def _times_of(row: TaskRow) -> tuple[Any, Any, Any]:
    return row.created_at, row.updated_at, row.completed_at


def _facts(fields: dict[str, Any], within: str = "") -> list[tuple[str, str]]:
    """Return names and values as a person reads them: times as times, durations in seconds, counts each by itself."""
    facts = []
    for name, value in fields.items():
        if isinstance(value, dict):
            facts += _facts(value, f"{within}{name}.")
        elif name in _TIMES and isinstance(value, int | float) and not isinstance(value, bool):
            facts.append((f"{within}{name}", _time(value)))
        elif name in _DURATIONS and isinstance(value, int | float) and not isinstance(value, bool):
            facts.append((f"{within}{name}", f"{value / 1e6:g} s"))
        else:
            facts.append((f"{within}{name}", str(value) if isinstance(value, int | float) else readable(value)))
    return facts


def _time(microseconds: float) -> str:
    try:
        return datetime.fromtimestamp(microseconds / 1e6, UTC).isoformat(timespec="milliseconds")
    except (ValueError, OverflowError, OSError):
        return str(microseconds)
