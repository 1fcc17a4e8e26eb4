"""``mgym trend``."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from metriq_gym.cli import filters, opening
from metriq_gym.cli.options import AsJson, Plot
from metriq_gym.cli.output import console, emit
from metriq_gym.cli.pictures import draw_trends
from metriq_gym.errors import NotFound
from metriq_gym.jobs import Job
from metriq_gym.jobs.drift import BASELINE, Trend
from metriq_gym.jobs.trends import CALIBRATION, History, calibrated, histories
from metriq_gym.store import Store
from metriq_gym.store.catalogue import Filter
from metriq_gym.terminal.report import number, show_table

_COLUMNS = ("series", "metric", "values", "baseline", "newest", "drift")


def trend(
    device: Annotated[str, typer.Argument(metavar="DEVICE", help="The device, also as PROVIDER/DEVICE.")],
    metric: Annotated[str | None, typer.Argument(metavar="METRIC", help="Only this.", show_default=False)] = None,
    benchmark: filters.Benchmark = None,
    since: filters.Since = None,
    until: filters.Until = None,
    json: AsJson = False,
    plot: Plot = None,
) -> None:
    """Say which metrics of a device have drifted.

    Scores of one benchmark with the same parameters are a series; its first values are the baseline. So is each number
    of the device's calibrations, unless a benchmark is named.
    """
    provider, _, name = device.rpartition("/")
    wanted = Filter(provider=provider or None, device=name, benchmark=benchmark, since=since, until=until)

    async def look() -> tuple[list[Job], list[History]]:
        async with opening.store() as store:
            jobs = [job async for job in store.catalogue.scored(wanted)]
            return jobs, [] if benchmark else await _calibrations(store, wanted, metric)

    jobs, calibrations = opening.run(look())
    found = histories(jobs, metric) + calibrations
    if not found:
        raise NotFound(f"no result of {device}" + (f" has a metric {metric!r}" if metric else ""))
    if plot is not None:
        # Without a metric, what sums up each benchmark, and all that the provider says.
        drawn = [each for each in found if metric or each.metric == "score" or not each.series.benchmark]
        draw_trends(drawn or found, plot)
    if json:
        emit([_told(each) for each in found])
    else:
        show_table(console(), _COLUMNS, (_row(each) for each in found))


async def _calibrations(store: Store, wanted: Filter, metric: str | None) -> list[History]:
    found: list[History] = []
    for each in await store.devices.all():
        if each.device == wanted.device and wanted.provider in (None, each.provider):
            points = [
                point
                for point in await store.devices.calibrations(each.provider, each.device)
                if (wanted.since is None or point.at >= wanted.since)
                and (wanted.until is None or point.at < wanted.until)
            ]
            found += calibrated(each.provider, each.device, points, metric)
    return found


def _row(history: History) -> list[object]:
    newest = history.points[-1]
    seen = history.trend
    return [
        history.label,
        history.metric,
        len(history.points),
        "" if seen is None else number({"value": seen.centre, "uncertainty": seen.scatter}),
        number({"value": newest.value, "uncertainty": newest.uncertainty}),
        _verdict(seen),
    ]


def _verdict(seen: Trend | None) -> str:
    if seen is None:
        return f"told from {BASELINE + 1} values on"
    if seen.drift is None:
        return "none"
    return f"{seen.drift.found} since {seen.drift.since:%Y-%m-%d}, {seen.drift.deviation:+.1f} σ"


def _told(history: History) -> dict[str, Any]:
    seen = history.trend
    drift = None if seen is None or seen.drift is None else seen.drift
    return {
        "benchmark_name": history.series.benchmark or CALIBRATION,
        "provider": history.series.provider,
        "device": history.series.device,
        "params": dict(history.series.parameters),
        "metric": history.metric,
        "values": len(history.points),
        "baseline": None if seen is None else {"value": seen.centre, "scatter": seen.scatter},
        "drift": None
        if drift is None
        else {
            "found": drift.found,
            "at": drift.at.isoformat(),
            "since": drift.since.isoformat(),
            "deviation": drift.deviation,
            "statistic": drift.statistic,
        },
    }
