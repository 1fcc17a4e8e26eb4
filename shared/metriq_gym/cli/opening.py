"""What commands work with: a client or the store alone, and the job or suite that is meant."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import typer
from rich.console import Console

from metriq_gym.cli.errors import Usage
from metriq_gym.cli.lazy import load
from metriq_gym.cli.output import say
from metriq_gym.client.client import Client, brief, connect, open_store
from metriq_gym.client.lookup import choose_job, choose_suite
from metriq_gym.client.session import quiet
from metriq_gym.jobs import Job
from metriq_gym.settings import Settings
from metriq_gym.store import Store
from metriq_gym.terminal import report

if TYPE_CHECKING:
    from metriq_gym.job_manager import JobManager

T = TypeVar("T")

_OFFERED = 20
STAY_SECONDS = 180
"""How long the private database waits for the next command: starting it takes longer than most of them."""


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run a command's coroutine."""
    return asyncio.run(work)


def store() -> AbstractAsyncContextManager[Store]:
    """Open the store, for commands that run nothing."""
    return open_store(_settings())


@asynccontextmanager
async def client() -> AsyncIterator[Client]:
    """Open a client."""
    quiet()
    async with connect(_settings()) as opened:
        yield opened


def manager() -> JobManager:
    """Return what the functions of `metriq_gym.run` work with, for commands that are one of them."""
    found: JobManager = load("metriq_gym.cli:JobManager")(settings=_settings())
    return found


def _settings() -> Settings:
    """Return the settings of a command: the private database waits a while for the next one."""
    settings = brief(Settings())
    if settings.mongod_stay_seconds is None:
        return settings.model_copy(update={"mongod_stay_seconds": STAY_SECONDS})
    return settings


@contextmanager
def way_back(command: str) -> Iterator[None]:
    """Say by what command to return to what is left running, when inside is interrupted by Ctrl-C."""
    try:
        yield
    except (asyncio.CancelledError, KeyboardInterrupt):
        say(f"interrupted; nothing is lost. To go on: {command}")
        raise


async def job_called(store: Store, name: str | None) -> Job:
    """Return the job that is meant; without a name, prompts on a terminal and raises `Usage` otherwise."""
    if name is not None:
        return await choose_job(store, name)
    jobs = await store.catalogue.find(limit=_OFFERED)
    rows = [report.job_row(job, short=True) for job in jobs]
    return jobs[_pick("job", ("job", "benchmark", "device", "state", "score", "age"), rows)]


async def suite_called(store: Store, name: str | None) -> str:
    """Return the id of the suite that is meant, as `job_called`."""
    if name is not None:
        return await choose_suite(store, name)
    ids = await store.catalogue.suite_ids(limit=_OFFERED)
    runs = await store.catalogue.suite_runs(ids)
    rows: list[list[object]] = [
        [run.id, run.name or "", f"{run.progress.ended} of {run.progress.size}"] for run in runs
    ]
    return runs[_pick("suite", ("suite", "name", "ended"), rows)].id


def _pick(kind: str, columns: tuple[str, ...], rows: list[list[object]]) -> int:
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise Usage(f"say which {kind}: its id, the beginning of it, or latest (`mgym {kind} list` shows them)")
    if not rows:
        raise Usage(f"there is no {kind} yet")
    numbered = ([str(number), *row] for number, row in enumerate(rows, start=1))
    report.show_table(Console(stderr=True), ("", *columns), numbered)
    while True:
        chosen: int = typer.prompt(f"which {kind}", type=int, default=1, err=True)
        if 1 <= chosen <= len(rows):
            return chosen - 1
        say(f"a number from 1 to {len(rows)}, please")
