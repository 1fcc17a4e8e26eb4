"""What the exporter does about events that are no end of a job or suite: jobs that are held, drift, dead letters.

Whatever happens, the intent to tell of it is written with it: a job's hold and a series' shift in the very write that
makes them, a dead letter before it is one. From there each becomes a notice, which is written once, and stays until
each sender has told it or given it up. A sender takes up a notice under a lease; what was sent before a crash and is
not written down as told is sent again, with the same id and the same body. Of one subject it begins none before the
one before has ended.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Coroutine, Iterable
from contextlib import suppress
from functools import partial
from typing import Any

import structlog

from metriq_gym.bus.dead_letters import in_a_line
from metriq_gym.errors import NotYet, Permanent, Transient
from metriq_gym.exporters.senders import Sender, senders
from metriq_gym.jobs import ExportState, Job
from metriq_gym.jobs.notices import JOB_HELD, QUEUED, Notice, device_drifted, job_held
from metriq_gym.jobs.watched import Watched, without
from metriq_gym.service.lease import held
from metriq_gym.settings import Settings
from metriq_gym.store import Store
from metriq_gym.telemetry import metrics

from .verdict import judged

log = structlog.get_logger()

SECONDS = 5.0
"""How often there is a look for what is to be told."""
IDLE_SECONDS = 60.0
"""The same where nobody is told anything: what is written down is done with then, and not told once somebody is."""
PATIENCE = 600.0
"""How long a round may take: it begins no attempt after `_ROUND_SECONDS`, and one takes a minute at most."""
_ROUND_SECONDS = 120.0


class Telling:
    """Tells of what has a notice.

    Parameters
    ----------
    sender:
        Returns a sender by its name; raises `Permanent`, for settings that it cannot work with.
    """

    def __init__(self, store: Store, settings: Settings, sender: Callable[[str], Sender]) -> None:
        self._store = store
        self._sender = sender
        self._senders = senders(settings)
        self._kinds = [kind for kind in QUEUED if kind in settings.notify_events]
        self._lease_seconds = settings.lease_seconds

    @property
    def seconds(self) -> float:
        """How often it is to be called."""
        return SECONDS if self._senders and self._kinds else IDLE_SECONDS

    async def __call__(self) -> None:
        """Make a notice of all that has happened, and tell what is due. Raises `Transient`."""
        for job in await self._store.notices.held():
            await self.note(job)
        for watched in await self._store.drifts.to_notify():
            await note_shifts(self._store, watched)
        if self._kinds:
            await _all_of(self._tell_all(name) for name in self._senders)
        await self._store.notices.close(QUEUED, self._kinds, self._senders)

    async def note(self, job: Job) -> None:
        """Make notices of a job's holds."""
        if job.to_notify:
            await self._store.notices.add([job_held(job, hold) for hold in job.to_notify])
            await self._store.notices.noted(job.id, job.to_notify)

    async def first(self, job: Job, name: str) -> None:
        """Raise `NotYet` while a sender has yet to tell that a job was held before it ended."""
        if not job.holds or name not in self._senders or JOB_HELD not in self._kinds:
            return
        await self.note(job)
        if await self._store.notices.waits(job.id, name, self._kinds):
            raise NotYet("it is told first that the job was held", retry_after=2 * SECONDS)

    async def _tell_all(self, name: str) -> None:
        """Have a sender tell what is due; raises `Transient` when the store is away."""
        waiting = await self._store.notices.waiting(name, self._kinds)
        by_subject = defaultdict[str, list[Notice]](list)
        for notice in waiting:
            by_subject[notice.subject].append(notice)
        subjects, until = iter(by_subject.values()), asyncio.get_running_loop().time() + _ROUND_SECONDS

        async def work() -> None:
            for notices in subjects:
                for notice in notices:
                    if asyncio.get_running_loop().time() > until:
                        return
                    if not await self._tell(name, notice):
                        break

        with suppress(NotYet):  # all others have to wait for their turn as well
            await _all_of(work() for _ in range(Sender.concurrency))

    async def _tell(self, name: str, notice: Notice) -> bool:
        """Make one attempt if one is due; return whether that was the last, so that the next of its subject may go.

        Raises `NotYet` when the sender may send no more for now.
        """
        notices, seconds = self._store.notices, self._lease_seconds
        if not await notices.claim(notice.id, name, seconds):
            return False
        try:
            sending = asyncio.to_thread(self._sender(name).send, notice)
            await held(sending, partial(notices.renew, notice.id, name, seconds), seconds)
        except Exception as error:
            attempts = 1 + (notice.to[name].attempts if name in notice.to else 0)
            verdict = judged(_expected(error), attempts)
            log.info("not told", notice=notice.id, sender=name, state=verdict.state, reason=verdict.error)
            metrics.EXPORTS.labels(name, verdict.counted_as).inc()
            said, pause = verdict.error, verdict.retry_after
            await notices.settle(notice.id, name, verdict.state, error=said, retry_after=pause, counts=verdict.counts)
            if isinstance(error, NotYet):
                raise
            return verdict.state is ExportState.FAILED
        metrics.EXPORTS.labels(name, "done").inc()
        await notices.settle(notice.id, name, ExportState.DONE)
        return True


async def note_shifts(store: Store, watched: Watched) -> None:
    """Make notices of the shifts of a series."""
    if watched.to_notify:
        await store.notices.add([device_drifted(shift) for shift in watched.to_notify])
        noted = {shift.drift_id for shift in watched.to_notify}
        await store.drifts.change(watched.id, partial(without, noted=noted))


def _expected(error: Exception) -> Permanent | Transient:
    """Return an error of a sender; one that nobody thought of is tried again, and harms no other notice."""
    if isinstance(error, Permanent | Transient):
        return error
    log.exception("a notice cannot be sent", exc_info=error)
    return Transient(in_a_line(error))


async def _all_of(works: Iterable[Coroutine[Any, Any, None]]) -> None:
    """Return when all are done; raises what the first of them raised that did not end well, when all have ended."""
    ended = await asyncio.gather(*works, return_exceptions=True)
    for error in ended:
        if error is not None:
            raise error
