"""What the page's plots show, as Plotly reads it; how it looks is for the page's script, which knows the theme."""

from __future__ import annotations

import io
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from metriq_gym.jobs import Job, Task
from metriq_gym.jobs.documents import CalibrationPoint
from metriq_gym.jobs.rows import number_of
from metriq_gym.jobs.series import labels, series_of_each

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SECONDS = 60.0
BARS = 40
Drawn = dict[str, Any]
_TIME = {"type": "date", "title": {"text": "UTC"}}


@dataclass(frozen=True, slots=True)
class Point:
    """A metric of one job."""

    at: datetime
    series: str
    value: float
    error: float | None
    job_id: str


def plain(text: str) -> str:
    """Return what Plotly shows as this text: it takes some tags, and links, for what they are in HTML."""
    return text.replace("&", "&amp;").replace("<", "&lt;")


def points(jobs: Sequence[Job], metric: str) -> list[Point]:
    """Return a metric of jobs, in their order; those that cannot be compared are in different series."""
    series = series_of_each(jobs)
    named = labels(series)
    several = len({each.benchmark for each in series}) > 1
    found = []
    for job, each in zip(jobs, series, strict=True):
        number = number_of((job.result or {}).get(metric))
        if number is not None:
            name = f"{each.benchmark}, {named[each]}" if several else named[each]
            found.append(Point(job.dispatch_time or job.created_at, name, *number, job.id))
    return found


def over_time(found: Sequence[Point], metric: str) -> Drawn:
    """Return points as lines with error bars."""
    series: defaultdict[str, list[Point]] = defaultdict(list)
    for point in found:
        series[point.series].append(point)
    data = [
        {
            "type": "scatter",
            "mode": "lines+markers",
            "name": plain(name),
            "x": [each.at.isoformat() for each in line],
            "y": [each.value for each in line],
            "error_y": {"type": "data", "array": [each.error or 0 for each in line], "visible": True, "thickness": 1.2},
            "text": [plain(each.job_id) for each in line],
        }
        for name, line in series.items()
    ]
    layout = {"xaxis": _TIME, "yaxis": {"title": {"text": plain(metric)}}, "showlegend": True}
    return {"data": data, "layout": layout}


def calibration(found: Sequence[CalibrationPoint]) -> Drawn:
    """Return each number of a device's calibrations as a line; times and probabilities have an axis each."""
    series: defaultdict[str, list[tuple[str, float]]] = defaultdict(list)
    for point in found:
        for name, value in point.metadata.items():
            if (number := number_of(value)) is not None:
                series[name].append((point.at.isoformat(), number[0]))
    data = [
        {
            "type": "scatter",
            "mode": "lines+markers",
            "name": plain(name),
            "x": [at for at, _ in line],
            "y": [value for _, value in line],
            "yaxis": "y2" if name.endswith("_us") else "y",
        }
        for name, line in sorted(series.items())
    ]
    layout = {
        "xaxis": _TIME,
        "yaxis": {"title": {"text": "probability"}},
        "yaxis2": {"title": {"text": "time (µs)"}, "overlaying": "y", "side": "right", "showgrid": False},
        "showlegend": True,
    }
    return {"data": data, "layout": layout}


def histogram(counts: Mapping[str, int]) -> Drawn:
    """Return the most frequent outcomes of a circuit; the others are one bar."""
    total = sum(counts.values())
    chosen = sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:BARS]
    rest = total - sum(count for _, count in chosen)
    bars = [*sorted(chosen), *([(f"{len(counts) - BARS:,} others", rest)] if rest else [])]
    share = [count / total for _, count in bars]
    errors = [(each * (1 - each) / total) ** 0.5 for each in share]
    data = {
        "type": "bar",
        "x": [plain(name) for name, _ in bars],
        "y": share,
        "error_y": {"type": "data", "array": errors, "visible": True, "thickness": 1},
    }
    axis = {"type": "category", "tickfont": {"family": "monospace", "size": 11}, "title": {"text": "outcome"}}
    return {"data": [data], "layout": {"xaxis": axis, "yaxis": {"title": {"text": "frequency"}}}}


def own_plot(job: Job, tasks: Sequence[Task]) -> bytes:
    """Return the plot that ``--plot`` makes of a job, as PNG; for a worker, since it takes a second."""
    from metriq_gym.terminal.plots import of_job

    figure: Figure = of_job(job, tasks)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=144)
    return buffer.getvalue()
