"""How the work stands, for a person: jobs, due tasks, queues, and what needs attention."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from metriq_gym.bus.port import DEAD_LETTERS, QueueState
from metriq_gym.client.client import embedded, look_at_broker
from metriq_gym.errors import Transient
from metriq_gym.jobs import Job
from metriq_gym.jobs.notices import Notice
from metriq_gym.service.purging import Policy
from metriq_gym.settings import Settings
from metriq_gym.store import Store
from metriq_gym.store.catalogue import DueTasks, StateCount, WaitingSuite
from metriq_gym.store.leases import RECONCILER
from metriq_gym.store.parked import ParkedCredential
from metriq_gym.store.reading import Unreadable

STILL_SECONDS = 900.0
"""A job that has not moved for so long, and waits for nothing, is said to stand still."""
NEWEST = 3000
"""So many jobs and tasks, those that were stored last, are looked at for ones that cannot be read, and all that are on
their way; `mgym doctor` looks at each."""


@dataclass(frozen=True, slots=True)
class WorkStatus:
    """What there is to say."""

    states: Sequence[StateCount]
    due: Sequence[DueTasks]
    still: Sequence[Job]
    held: Sequence[Job]
    stuck: Sequence[Job]
    """Jobs with a result that could be exported nowhere."""
    parked: Sequence[ParkedCredential] = ()
    """Providers whose credential is not accepted: all of their work waits for that."""
    away: Sequence[ParkedCredential] = ()
    """Providers that cannot be asked, and that pollers keep away from."""
    notices: Sequence[Notice] = ()
    """What is still to be told, or could not be."""
    suites: Sequence[WaitingSuite] = ()
    """Suites whose results wait for jobs that should have ended by now."""
    unreadable: Sequence[Unreadable] = ()
    """Documents that this version cannot read, and passes over."""
    queues: Sequence[QueueState] | None = None
    """The queues of all services, and the dead letters; None without a broker, or when it does not answer."""
    queue_error: str | None = None
    policy: Policy = field(default_factory=Policy)
    """The retention policy that dispatchers carry out."""
    steady_seconds: float = 0.0
    """For how long the store's clock has been steady; they purge nothing before that is `STEADY_SECONDS`."""

    @property
    def dead_letters(self) -> int | None:
        """How many there are; None without a broker, or when it does not answer."""
        return next((each.messages for each in self.queues or () if each.name == DEAD_LETTERS), None)


async def look(store: Store, settings: Settings, *, everywhere: bool = True) -> WorkStatus:
    """Look at the store, and at the broker if there is one; raises `Transient` when the store does not answer.

    Unless `everywhere`, not for documents that cannot be read: that takes a look at thousands.
    """
    catalogue = store.catalogue
    (states, due, still), (held, stuck, suites), (parked, away, noted, notices) = await asyncio.gather(
        asyncio.gather(catalogue.by_state(), catalogue.due(), catalogue.standing_still(STILL_SECONDS)),
        asyncio.gather(catalogue.held(), catalogue.stuck(), catalogue.waiting_suites(settings.job_deadline_seconds)),
        asyncio.gather(
            store.parked.all(), store.parked.away(), store.clocks.noted(RECONCILER), store.notices.standing()
        ),
    )
    seen = WorkStatus(
        states=states,
        due=due,
        still=still,
        held=held,
        stuck=stuck,
        parked=parked,
        away=away,
        notices=notices,
        suites=suites,
        unreadable=await _unreadable(store) if everywhere else (),
        policy=Policy.read(noted.what) if noted else Policy(),
        steady_seconds=noted.steady_seconds if noted else 0.0,
    )
    if embedded(settings):
        return seen
    assert settings.amqp_url is not None  # noqa: S101  (`embedded` has looked)
    try:
        broker = await look_at_broker(settings.amqp_url.get_secret_value())
    except Transient as error:
        return replace(seen, queue_error=str(error))
    return replace(seen, queues=broker.queues)


async def _unreadable(store: Store) -> Sequence[Unreadable]:
    try:
        return await store.unreadable(newest=NEWEST)
    except Transient:
        return [Unreadable("", "", "there is too much to look through: see the log of a service that passes one over")]
