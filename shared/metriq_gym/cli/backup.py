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


def restore(file: File) -> None:
    """Make a new store from a backup.

    No service may run meanwhile. What was not submitted then is looked for at its provider before it is.
    """
    local = [name for name, plugin in installed().plugins.items() if plugin.is_local]

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
