"""``mgym backup`` and ``mgym restore``."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

from metriq_gym.cli import opening
from metriq_gym.cli.errors import Usage
from metriq_gym.cli.output import say
from metriq_gym.providers.plugin import installed
from metriq_gym.store.backups import NoBackup, checked

File = Annotated[Path, typer.Argument(metavar="FILE", help="The backup.", show_default=False, dir_okay=False)]


def backup(
    file: File,
    force: Annotated[bool, typer.Option("--force", help="Replace the file if there is one.")] = False,
) -> None:
    """Write the whole store to a file.

    It is of one moment; services may go on.
    """

    async def write() -> Counter[str]:
        async with opening.store() as store:
            return await store.backups.write(file, replace=force)

    say(f"{_told(opening.run(write()))} in {file}")


def restore(
    file: Annotated[
        Path | None, typer.Argument(metavar="FILE", help="The backup.", show_default=False, dir_okay=False)
    ] = None,
    in_place: Annotated[
        bool, typer.Option("--in-place", help="Another tool, as mongorestore, has restored the database.")
    ] = False,
) -> None:
    """Make a new store from a backup.

    Or, in place, let one that another tool has restored go on. No service may run meanwhile. What was not submitted
    then is looked for at its provider before it is.
    """
    local = [name for name, plugin in installed().plugins.items() if plugin.is_local]
    if (file is None) != in_place:
        raise Usage("say which backup, or --in-place where another tool has restored the database")
    if file is None:
        _settle(local)
    else:
        _restore(file, local)


def _settle(local: list[str]) -> None:
    async def settle() -> tuple[int, int]:
        async with opening.store() as store:
            return await store.backups.settle(local)

    tasks, jobs = opening.run(settle())
    say(f"{tasks} tasks are looked for at their provider before they are submitted; {jobs} jobs are held")


def _restore(file: Path, local: list[str]) -> None:

    async def read() -> Counter[str]:
        async with opening.store() as store:
            return await store.backups.restore(file, local)

    try:
        made_at, _, _ = checked(file)  # before anything is started for it
        counts = opening.run(read())
    except NoBackup as error:
        raise Usage(str(error)) from None
    say(f"restored {_told(counts)}, as of {made_at.isoformat(sep=' ', timespec='seconds')}")


def _told(counts: Counter[str]) -> str:
    return ", ".join(f"{counts[each]} {each}" for each in ("jobs", "tasks", "suites", "schedules"))
