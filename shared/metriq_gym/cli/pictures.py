"""Drawing to a file. The plotting library takes a second to import, which a command spends only if it draws."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from metriq_gym.cli.lazy import load
from metriq_gym.cli.output import say
from metriq_gym.jobs import Job
from metriq_gym.jobs.trends import History
from metriq_gym.store import Store

_PLOTS = "metriq_gym.terminal.plots"


async def draw_job(store: Store, job: Job, path: Path, circuit: int | None = None) -> None:
    """Draw what a job says, or the counts of one of its circuits."""
    _write(load(f"{_PLOTS}:of_job")(job, await store.tasks.of_job(job.id), circuit), path)


def draw_suite(jobs: Sequence[Job], path: Path) -> None:
    """Draw the scores of a suite."""
    _write(load(f"{_PLOTS}:of_suite")(jobs), path)


def draw_over_time(jobs: Sequence[Job], metric: str, path: Path) -> None:
    """Draw one metric of many jobs over time."""
    _write(load(f"{_PLOTS}:over_time")(jobs, metric), path)


def draw_trends(histories: Sequence[History], path: Path) -> None:
    """Draw metrics over time, and where they have drifted."""
    _write(load(f"{_PLOTS}:of_trends")(histories), path)


def _write(figure: Any, path: Path) -> None:
    load(f"{_PLOTS}:save")(figure, path)
    say(f"wrote {path}")
