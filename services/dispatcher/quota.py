"""Holds each publisher to the jobs that it may have open at a time."""

from __future__ import annotations

from collections.abc import Collection

from metriq_gym.errors import InvalidRequest, Problem
from metriq_gym.settings import Settings
from metriq_gym.store import Store

UNNAMED = "who names no user"


class Quota:
    """Admits jobs in the name of the user that published their request, by the broker's word.

    Requests that name no user have one quota together. Whose a schedule's jobs are the schedule's document says, and a
    suite's have their places once the suite is accepted.
    """

    def __init__(self, store: Store, settings: Settings) -> None:
        self._store = store
        self._most = settings.quota_jobs
        self._exempt = settings.quota_exempt
        self._kept_seconds = settings.job_deadline_seconds

    async def admit(self, user: str | None, asked_for: str, job_ids: Collection[str]) -> None:
        """Give places to these jobs; raises `InvalidRequest` when the publisher has too few left for all of them.

        Where `asked_for`, the job or suite that is requested, is of a schedule's tick, `user` is the schedule's.
        """
        if self._most is None:
            return
        schedule = await self._store.schedules.of_tick(asked_for)
        user = user if schedule is None else schedule.publisher
        if user is not None and user in self._exempt:
            return
        publisher = f"user {user}" if user else UNNAMED
        if not await self._store.quotas.claim(publisher, job_ids, self._most, self._kept_seconds):
            more = "" if len(job_ids) == 1 else f", and this asks for {len(job_ids)} more"
            raise InvalidRequest([Problem("$", f"{publisher} may have {self._most} jobs without a result{more}")])
