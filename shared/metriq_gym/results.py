"""Results as a pandas DataFrame: one row a metric, with the columns that ``mgym results`` and the console have."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from metriq_gym.client.session import session_for
from metriq_gym.jobs.rows import COLUMNS, Row, rows
from metriq_gym.parts import parts
from metriq_gym.settings import Settings
from metriq_gym.store import Store
from metriq_gym.store.catalogue import Filter

if TYPE_CHECKING:
    from pandas import DataFrame

__all__ = ["COLUMNS", "frame"]

_NUMBERS = {"value": "float64", "uncertainty": "float64", "runtime_seconds": "float64", "position": "Int64"}


def frame(
    *,
    suite: str | None = None,
    benchmark: str | None = None,
    provider: str | None = None,
    device: str | None = None,
    tags: Sequence[str] = (),
    since: datetime | None = None,
    until: datetime | None = None,
    metric: str | None = None,
    settings: Settings | None = None,
) -> DataFrame:
    """Return the results in the store, the oldest first: one row a metric, as `COLUMNS` has them.

    Parameters
    ----------
    suite
        The id of a run of a suite.
    benchmark, provider, device
        Their names, as results have them.
    tags
        Only jobs that have all of these.
    since, until
        From when on, and before when, the jobs were requested; UTC where no zone is given.
    metric
        Only this one.
    settings
        Which store; the environment's unless given.

    Raises
    ------
    MissingPart
        When pandas is not installed.
    Transient
        When the store does not answer.
    """
    with parts():
        # It takes half a second to import, and an extra brings it.
        from pandas import DataFrame, to_datetime
    wanted = Filter(
        suite=suite,
        benchmark=benchmark,
        provider=provider,
        device=device,
        tags=tuple(tags),
        since=_aware(since),
        until=_aware(until),
    )

    async def read(store: Store) -> list[Row]:
        return [row async for row in rows(store.catalogue.scored(wanted), metric)]

    found = session_for(settings or Settings()).on_store(read)
    made = DataFrame.from_records(found, columns=list(COLUMNS)).astype(_NUMBERS)
    texts = [column for column in COLUMNS if column not in _NUMBERS]
    made[texts] = made[texts].astype("str")
    made["dispatch_time"] = to_datetime(made["dispatch_time"], format="ISO8601", utc=True).dt.as_unit("us")
    return made


def _aware(at: datetime | None) -> datetime | None:
    return at.replace(tzinfo=UTC) if at is not None and at.tzinfo is None else at
