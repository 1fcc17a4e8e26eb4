"""A service whose work waits for a file: `python -m tests.support.waiting SERVICE FOLDER`.

Once it has work in hand there is a file ``in-hand`` in the folder; the work goes on when there is one called ``go``.
"""

from __future__ import annotations

import asyncio
import importlib
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from metriq_gym.exporters.targets import JSONFiles
from metriq_gym.jobs import Job
from metriq_gym.service.pool import Pool
from metriq_gym.service.service import main


class Gate:
    """What work waits at."""

    def __init__(self, folder: Path) -> None:
        self._in_hand, self._go = folder / "in-hand", folder / "go"

    def closed(self) -> bool:
        """Whether to wait; asked by somebody who has work in hand."""
        self._in_hand.touch()
        return not self._go.exists()


def hold(gate: Gate) -> None:
    """Let everything that runs in a worker process or writes a record wait."""
    run, export = Pool.run_within, JSONFiles.export

    async def run_later(self: Pool, seconds: float | None, function: Callable[..., Any], *args: Any, **of: Any) -> Any:
        while gate.closed():  # noqa: ASYNC110  (the test's file)
            await asyncio.sleep(0.02)
        return await run(self, seconds, function, *args, **of)

    def export_later(self: JSONFiles, jobs: Sequence[Job]) -> str:
        while gate.closed():
            time.sleep(0.02)
        return export(self, jobs)

    Pool.run_within = run_later  # type: ignore[method-assign]
    JSONFiles.export = export_later  # type: ignore[method-assign]


if __name__ == "__main__":
    service, folder = sys.argv[1:]
    hold(Gate(Path(folder)))
    main(getattr(importlib.import_module(f"services.{service}"), service.capitalize()))
