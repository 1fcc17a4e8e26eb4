"""``mgym service run``."""

from __future__ import annotations

import logging
from importlib.metadata import entry_points
from typing import Annotated

import typer

from metriq_gym.cli.errors import Usage
from metriq_gym.service.service import main as serve

NAMES = ("dispatcher", "poller", "scorer", "exporter")


def run(
    names: Annotated[list[str], typer.Argument(metavar="SERVICE", help=f"Any of {', '.join(NAMES)}, or all.")],
) -> None:
    """Run services in one process until SIGTERM or Ctrl-C.

    Needs METRIQ_AMQP_URL and METRIQ_MONGO_URL.
    """
    wanted = NAMES if names == ["all"] else tuple(dict.fromkeys(names))
    if unknown := [name for name in wanted if name not in NAMES]:
        raise Usage(f"no service is called {unknown[0]!r}; there are: {', '.join(NAMES)}, all")
    found = {entry.name: entry for entry in entry_points(group="metriq_gym.services")}
    logging.disable(logging.NOTSET)
    serve(*(found[name].load() for name in wanted))
