"""Every metric there is: name, labels, meaning. ``/metrics`` of each service shows those that it records.

A label's values are named in the code or the settings, never by a request or an answer, so that there are few series
however much there is to do. Times are in seconds. `python -m metriq_gym.telemetry.metrics` prints the table that is in
docs/operations.md.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Info,
    ProcessCollector,
    disable_created_metrics,
)

from metriq_gym import __version__
from metriq_gym.telemetry.harmless import harmless, suffered

REGISTRY = CollectorRegistry()
ProcessCollector(registry=REGISTRY)
disable_created_metrics()  # type: ignore[no-untyped-call]


class Described(NamedTuple):
    """What is known of a metric before anything is recorded."""

    name: str
    """As it is scraped; a histogram's series end in ``_bucket``, ``_sum`` and ``_count``."""
    kind: str
    labels: Sequence[str]
    about: str


METRICS: list[Described] = []
_SUFFIX: dict[type[Any], str] = {Counter: "_total", Info: "_info"}


class Metric:
    """A metric, or one series of it, to which anything can be recorded without an error: at worst it is not shown."""

    def __init__(self, recorded: Any) -> None:
        self._recorded = recorded

    def labels(self, *values: str) -> Metric:
        """Return the series with these values of its labels."""
        with harmless():
            return Metric(self._recorded.labels(*values))
        return Metric(None)

    def inc(self, amount: float = 1) -> None:
        """Add to a counter."""
        with harmless():
            self._recorded.inc(amount)

    def set(self, value: float) -> None:
        """Set a gauge."""
        with harmless():
            self._recorded.set(value)

    def set_function(self, function: Callable[[], float]) -> None:
        """Have a gauge or a counter ask a function each time it is shown."""
        with harmless():
            self._recorded.set_function(function)

    def clear(self) -> None:
        """Show no series."""
        with harmless():
            self._recorded.clear()

    def observe(self, value: float) -> None:
        """Add to a histogram."""
        with harmless():
            self._recorded.observe(value)

    def info(self, values: Mapping[str, str]) -> None:
        """Say what is so while the process runs."""
        with harmless():
            self._recorded.info(dict(values))

    @contextmanager
    def time(self) -> Iterator[None]:
        """Add the seconds that are spent inside to a histogram."""
        began = time.perf_counter()
        try:
            yield
        finally:
            self.observe(time.perf_counter() - began)


def _new(kind: type[Any], name: str, about: str, labels: Sequence[str] = (), **options: Any) -> Metric:
    METRICS.append(Described(name + _SUFFIX.get(kind, ""), kind.__name__.lower(), labels, about))
    return Metric(kind(name, about, labels, registry=REGISTRY, **options))


_SHORT = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_LONG = (0.01, 0.05, 0.25, 1, 5, 15, 60, 300, 900, 3600, 4 * 3600, 12 * 3600, 86400, 7 * 86400)

# What the dispatcher counts in the store and at the broker when it is asked.
JOBS = _new(Gauge, "metriq_jobs", "Jobs in each state.", ["state"])
UNDECIDED_JOBS = _new(
    Gauge,
    "metriq_undecided_jobs",
    "Jobs that stay as they are until an operator decides: `held`, or `stuck` with a result exported nowhere.",
    ["why"],
)
WAITING_SUITES = _new(
    Gauge,
    "metriq_overdue_suites",
    "Suites whose results still wait for the rest of their jobs after the deadline of these: an operator decides.",
)
DUE_TASKS = _new(Gauge, "metriq_due_tasks", "Tasks that a poller should look at now.", ["provider"])
DUE_LAG = _new(
    Gauge,
    "metriq_due_task_lag_seconds",
    "For how long the first of these has been due, or how much further ahead than the longest pause a task is put off, "
    "as after the store's clock was set back; 0 without any.",
    ["provider"],
)
QUEUE_MESSAGES = _new(
    Gauge, "metriq_queue_messages", "Messages that wait in a queue; in `metriq.dead`, dead letters.", ["queue"]
)

# What happens to messages and jobs.
DELIVERIES = _new(
    Counter,
    "metriq_deliveries",
    "Deliveries by what became of them: `handled`; `postponed` and `returned` are tried again, after a fault that "
    "passes and after any other; `given_up` is a dead letter.",
    ["queue", "outcome"],
)
STOPPED = _new(
    Gauge,
    "metriq_service_stopped",
    "1 while a service takes nothing from its queue since too much of it became dead letters.",
    ["queue"],
)
DELIVERY_SECONDS = _new(
    Histogram, "metriq_delivery_seconds", "How long handling a delivery took.", ["queue"], buckets=_SHORT
)
STAGE_SECONDS = _new(
    Histogram,
    "metriq_job_stage_seconds",
    "How long jobs were in a state, the stage, before they went to the next.",
    ["stage", "next"],
    buckets=_LONG,
)
RECONCILED = _new(
    Counter,
    "metriq_reconciled",
    "Jobs the reconciler did something for: `republished` the message of one that had not moved, asked for one that "
    "ended to be `recorded`, `requested` one of a suite again, or let one `expire` at its deadline; `unlisted` ones, "
    "whose provider's list was noted too late. After the store's clock was set: times `brought_back` that lay too far "
    "ahead, and deadlines `put_off`.",
    ["deed"],
)
PURGED = _new(
    Counter,
    "metriq_purged",
    "What went since it was older than the retention policy keeps it: circuits and counts of `tasks`, `jobs`, dead "
    "`letters`, and `ticks` of schedules.",
    ["what"],
)
LEASE_LOSSES = _new(
    Counter,
    "metriq_lease_losses",
    "Results refused because another worker had taken the `job` or `task` over, or it had ended.",
    ["of"],
)
RENEWED_CONSUMERS = _new(
    Counter,
    "metriq_renewed_consumers",
    "Connections that an idle consumer took anew, since nothing had come for 30 s: at most two a minute each.",
    ["queue"],
)
UNREADABLE = _new(
    Counter,
    "metriq_unreadable_documents",
    "Times that a document was passed over which this version cannot read; `mgym status` says which.",
    ["collection"],
)
EXPORTS = _new(
    Counter,
    "metriq_exports",
    "Attempts to export, by result: `done`, `postponed`, or `failed` for good.",
    ["target", "result"],
)

# How providers and other peers do.
PROVIDER_CALLS = _new(
    Counter, "metriq_provider_calls", "Calls of a provider by outcome.", ["provider", "operation", "outcome"]
)
PROVIDER_SECONDS = _new(
    Histogram,
    "metriq_provider_call_seconds",
    "How long calls of a provider took, without the wait for their turn; of simulations, those that gave counts.",
    ["provider", "operation"],
    buckets=_SHORT,
)
RATE_LIMIT_WAIT = _new(
    Histogram,
    "metriq_rate_limit_wait_seconds",
    "Waits for a turn under our own limit, `ours`, and those that a peer asked for, `theirs`.",
    ["peer", "limit"],
    buckets=_SHORT,
)
BREAKER_OPEN = _new(
    Gauge,
    "metriq_provider_breaker_open",
    "1 from a provider's failure until it answers again: meanwhile this poller asks it seldom.",
    ["provider"],
)
CREDENTIAL_PARKED = _new(
    Gauge,
    "metriq_credential_parked",
    "1 while a provider does not accept this process's credential, and all of its work waits for that.",
    ["provider"],
)
ODDITIES = _new(
    Counter,
    "metriq_provider_oddities",
    "Values in the rows of a provider's lists that were not understood and passed over, by field.",
    ["provider", "field"],
)

# The process itself.
LOOP_LAG = _new(
    Histogram,
    "metriq_event_loop_lag_seconds",
    "How late the event loop comes to what is due, probed twice a second.",
    buckets=_SHORT,
)
SIDE_ERRORS = _new(
    Gauge,
    "metriq_telemetry_errors",
    "Errors of logs, metrics and traces since the process began; they cost what was to be told, and nothing else.",
)
SIDE_ERRORS.set_function(suffered)
LOST_LINES = _new(Gauge, "metriq_log_lines_lost", "Log lines since the process began that could not be written.")
BUILD = _new(Info, "metriq_build", "The version that runs.")
BUILD.info({"version": __version__})


def table() -> str:
    """Return the metrics as a Markdown table."""
    rows = ["| metric | type | labels | meaning |", "|---|---|---|---|"]
    rows += [f"| `{each.name}` | {each.kind} | {', '.join(each.labels)} | {each.about} |" for each in METRICS]
    return "\n".join(rows)


if __name__ == "__main__":
    print(table())  # noqa: T201
