"""Submitting a job's tasks to a remote provider, each at most once, whatever crashes or gets lost.

A task is written down as `submitting` before the provider is called and as `submitted`, with the provider's id, after.
A dispatcher that finds `submitting` later looks for the task in the provider's list: found, it is adopted; certainly
not there, it is submitted again; otherwise the job is held for an operator. Nothing is ever sent again on a guess.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

import structlog
from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_delay, wait_random_exponential

from metriq_gym.errors import MetriqGymError, NotYet, Permanent, SubmissionAmbiguous, Transient
from metriq_gym.jobs import Job, Task, TaskState
from metriq_gym.providers.provider import (
    Adopted,
    Ambiguous,
    CredentialTrouble,
    LostSubmission,
    NotAccepted,
    RemoteProvider,
    Submission,
)
from metriq_gym.service.pool import Pool
from metriq_gym.store import Store
from metriq_gym.telemetry import tracing

from .patience import LONGEST_PAUSE, Patience
from .steadiness import Steadiness

log = structlog.get_logger()

SEND_SECONDS = 15.0
"""A submission is sent within this time after its intention was written, or not at all: a dispatcher that was stopped
in between must not send what another has meanwhile found missing and sent itself."""


_PATIENCE = 10
"""For how many settling times a lost submission may wait for others that are being submitted."""
TURN_SECONDS = 600.0
"""For how long one delivery submits, or waits to; then the job is put back, so that others get their turn and the
handler stays far below the time after which it would be cut off."""


@dataclass(frozen=True, slots=True)
class Submitter:
    """Submits for a dispatcher that holds the job's lease.

    Parameters
    ----------
    settle_seconds:
        How long after an intention the provider's list is sure to show a submission that was accepted; longer than
        `send_seconds` and a submission's own time limit together.
    """

    store: Store
    pool: Pool
    settle_seconds: float
    send_seconds: float = SEND_SECONDS
    now: Callable[[], float] = time.monotonic
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    _patience: dict[str, Patience] = field(default_factory=dict)
    """By provider."""
    _clock: Steadiness = field(default_factory=Steadiness)

    async def submit(self, job: Job, provider: RemoteProvider) -> str | None:
        """Bring every task of a planned job to `submitted`; return why the job must be held, or None.

        Raises `Transient` when the rest has to wait, and `Permanent` when the provider refuses a task.
        """
        assert job.lease is not None  # noqa: S101  (the caller holds it)
        doubts = []
        if job.resumed and (gone := await self.store.tasks.reopen(job.id, job.lease.token)):
            raise Permanent(f"job {job.id} cannot be resumed: the circuits of {gone} of its tasks are gone")
        turn_ends = self.now() + TURN_SECONDS
        listed = False
        for stored in await self.store.tasks.take_up(job.id, job.lease.token):
            task = await self._look_for(job, stored, provider) if stored.state is TaskState.SUBMITTING else stored
            if task.state is TaskState.STORED:
                if self.now() > turn_ends:
                    raise NotYet(f"job {job.id} goes on with task {task.id} in its next turn")
                if not listed:
                    await self._note_listing(job, provider)
                    listed = True
                task = await self._send(job, task, provider, turn_ends)
            if task.state is TaskState.UNKNOWN:
                doubts.append(f"task {task.id}: {task.error}")
        if not doubts:
            await self.store.listings.forget(job.id)
        return "; ".join(doubts) or None

    async def _note_listing(self, job: Job, provider: RemoteProvider) -> None:
        """Write down what the provider has before it gets anything of the job."""
        assert job.lease is not None  # noqa: S101  (the caller holds it)
        if not await self.store.listings.keep(job.id, job.lease.token):
            await self.store.listings.note(job.id, (await provider.listing()).ids, job.lease.token)

    async def _send(self, job: Job, task: Task, provider: RemoteProvider, turn_ends: float) -> Task:
        """Send a task until it is accepted, and return it; a refusal for now costs a pause, under the same lease."""
        source = await self.pool.run(provider.encoder, task.circuits)
        patience = self._patience.setdefault(provider.name, Patience(self.now, self.sleep))
        while True:
            if self.now() + patience.seconds_left > turn_ends:
                left = patience.seconds_left
                raise NotYet(f"{provider.name} takes no submission for {left:.0f} s", retry_after=left)
            await patience.wait()
            began = time.monotonic()
            task = await self.store.tasks.intend(task)
            if time.monotonic() - began > self.send_seconds:
                raise Transient(f"task {task.id} was not sent in time")
            assert task.intended_at is not None  # noqa: S101  (by the store, just now)
            self._clock.compare(task.intended_at)
            sent = self.now()
            try:
                with tracing.span(f"submit {provider.name}", "client", {"metriq.task.id": task.id}):
                    provider_job_id = await provider.submit(_submission(job, task, source))
            except SubmissionAmbiguous as error:
                log.warning("answer lost, looking for the task later", task=task.id, error=str(error))
                # Before the settling time nothing can be told.
                raise Transient(f"task {task.id}: {error}", retry_after=self.settle_seconds) from error
            except MetriqGymError as error:
                task = await self.store.tasks.retract(task)
                if not isinstance(error, Transient) or isinstance(error, CredentialTrouble):
                    raise
                pause = patience.refused(error.retry_after)
                if pause > LONGEST_PAUSE or self.now() + pause > turn_ends:
                    raise
                log.info("submission refused for now", task=task.id, error=str(error), pause=pause)
            else:
                answered = self.now()
                task = await self._write_down(task, provider_job_id)
                patience.accepted(answered - sent)
                return task

    async def _look_for(self, job: Job, task: Task, provider: RemoteProvider) -> Task:
        """Find out what became of a submission without an answer, and return the task as it is then."""
        if not await self.store.tasks.intended_before(task, self.settle_seconds):
            raise NotYet(f"whether task {task.id} was accepted cannot be told yet")
        self._clock.compare(await self.store.tasks.time_at(task))
        if self._clock.seconds < self.settle_seconds:
            raise NotYet(f"how long ago task {task.id} was sent cannot be told: the store's clock was set")
        listing = await provider.listing()
        noted = await self.store.listings.get(job.id) or frozenset()
        # Others before ids: what was listed and is not in doubt any more has its id written down.
        others = await self._others_in_doubt(task)
        known = noted | await self.store.tasks.ours_among(task.provider, listing.ids)
        source = await self.pool.run(provider.encoder, task.circuits)
        verdict = await provider.match(listing, known, self._lost(task, source), [self._lost(each) for each in others])
        if isinstance(verdict, Ambiguous) and await self._may_be_told_later(task, others):
            raise NotYet(f"what became of task {task.id} can be told when that is known of others")
        log.info("looked for a lost submission", task=task.id, verdict=str(verdict))
        match verdict:
            case Adopted(provider_job_id):
                return await self._write_down(task, provider_job_id)
            case NotAccepted():
                return await self.store.tasks.retract(task)
        candidates = f" (candidates: {', '.join(verdict.candidates)})" if verdict.candidates else ""
        return await self.store.tasks.doubt(task, f"{verdict.reason}{candidates}", verdict.described)

    async def _others_in_doubt(self, task: Task) -> list[Task]:
        """Return the other tasks that a provider may have without our knowing."""
        job_ids = list(await self.store.listings.holders())
        return [each for each in await self.store.tasks.in_doubt(task.provider, job_ids) if each.id != task.id]

    async def _may_be_told_later(self, task: Task, others: Sequence[Task]) -> bool:
        """Whether some of the others are being submitted just now, and it is not too late to wait for them."""
        if await self.store.tasks.intended_before(task, _PATIENCE * self.settle_seconds):
            return False
        return not all([await self.store.tasks.intended_before(each, self.settle_seconds) for each in others])

    def _lost(self, task: Task, source: str = "") -> LostSubmission:
        assert task.intended_at is not None  # noqa: S101  (it is in doubt)
        soon_after = task.intended_at + timedelta(seconds=self.settle_seconds)
        sent_between = (task.intended_at, max(soon_after, task.sent_until or soon_after))
        return LostSubmission(Submission(task.device, source, task.shots, task.id), sent_between)

    async def _write_down(self, task: Task, provider_job_id: str) -> Task:
        """Keep an id that was paid for, even if the store is away for a moment; that of another task is a doubt."""
        async for attempt in AsyncRetrying(
            retry=retry_if_exception_type(Transient),
            wait=wait_random_exponential(multiplier=0.1, max=2),
            stop=stop_after_delay(self.settle_seconds),
            reraise=True,
        ):
            with attempt:
                # Not to be interrupted by a drain: the write would have to be found out about later.
                try:
                    return await asyncio.shield(self.store.tasks.submitted(task, provider_job_id))
                except SubmissionAmbiguous as error:
                    return await self.store.tasks.doubt(task, str(error))
        raise AssertionError  # tenacity returns or raises


def _submission(job: Job, task: Task, source: str) -> Submission:
    return Submission(
        device=job.target,
        source=source,
        shots=task.shots,
        tag=task.id,
        prior=job.prior,
        remarks=job.remarks,
        group=job.group,
    )
