"""The store: jobs and tasks in one MongoDB database."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Self

from pymongo.errors import OperationFailure

from metriq_gym.errors import Refused, Transient
from metriq_gym.jobs.documents import CalibrationPoint
from metriq_gym.jobs.notices import Notice
from metriq_gym.jobs.watched import Watched
from metriq_gym.store.backups import Backups
from metriq_gym.store.catalogue import MOST_MS, Catalogue
from metriq_gym.store.changes import Changes
from metriq_gym.store.clocks import Clocks
from metriq_gym.store.devices import Devices
from metriq_gym.store.drifts import Drifts
from metriq_gym.store.estimates import Estimates
from metriq_gym.store.exports import Exports
from metriq_gym.store.jobs import Jobs
from metriq_gym.store.leases import Leases
from metriq_gym.store.listings import Listings
from metriq_gym.store.mongo import connect, translated
from metriq_gym.store.notices import Notices
from metriq_gym.store.parked import Parked
from metriq_gym.store.quotas import Quotas
from metriq_gym.store.reading import ODD, Unreadable
from metriq_gym.store.records import Records
from metriq_gym.store.retention import Retention
from metriq_gym.store.rotating import RotatingClient
from metriq_gym.store.schedules import Schedules
from metriq_gym.store.shapes import READABLE_LEASE, READABLE_LISTING, READABLE_SUITE, shape
from metriq_gym.store.suites import Suites
from metriq_gym.store.tasks import Tasks
from metriq_gym.store.troubles import Troubles
from metriq_gym.store.upkeep import Upkeep

_NOT_ALLOWED = 13
_SHAPES: Mapping[str, Mapping[str, Any]] = {
    "suites": READABLE_SUITE,
    "leases": READABLE_LEASE,
    "listings": READABLE_LISTING,
    "notices": {"$jsonSchema": shape(Notice)},
    "drifts": {"$jsonSchema": shape(Watched)},
    "calibrations": {"$jsonSchema": shape(CalibrationPoint)},
}
"""What documents look like that this version can read, where no room of theirs looks for others."""


class Store:
    """All job documents. Use it as an asynchronous context manager.

    Parameters
    ----------
    client:
        A connected motor client, or PyMongo's asynchronous client, with majority write concern.
    database:
        Name of the database.
    """

    def __init__(self, client: Any, database: str = "metriq") -> None:
        self._client = client
        self._database = client[database]
        self.jobs = Jobs(self._database.jobs, self._database.deleted)
        self.exports = Exports(self._database.jobs)
        self.troubles = Troubles(self._database.jobs)
        self.tasks = Tasks(self._database.tasks)
        self.listings = Listings(self._database.listings)
        self.catalogue = Catalogue(self._database.jobs, self._database.tasks, self._database.deleted)
        self.changes = Changes(self._database, self.jobs, self.tasks)
        self.suites = Suites(self._database.suites)
        self.schedules = Schedules(self._database.schedules)
        self.quotas = Quotas(self._database.quotas, self._database.jobs, self._database.deleted)
        self.parked = Parked(self._database.parked)
        self.leases = Leases(self._database.leases)
        self.devices = Devices(self._database.devices, self._database.calibrations)
        self.estimates = Estimates(self._database.estimates)
        self.drifts = Drifts(self._database.drifts)
        self.notices = Notices(self._database.notices, self._database.jobs)
        self.upkeep = Upkeep(self._database.jobs, self.jobs)
        self.clocks = Clocks(self._database.jobs, self._database.tasks, self._database.suites, self._database.leases)
        self.backups = Backups(client, self._database)
        self.records = Records(self._database.jobs, self._database.tasks, self._database.deleted)
        self.retention = Retention(
            self._database.jobs, self._database.tasks, self._database.deleted, self._database.suites, self.records
        )

    @classmethod
    def at(cls, url: str | Callable[[], str], database: str = "metriq") -> Store:
        """Return the store at a MongoDB URL; at what is returned now and later, where that may change."""
        return cls(connect(url) if isinstance(url, str) else RotatingClient(url, connect), database)

    @translated
    async def create_indexes(self) -> None:
        """Create what the queries need; every service calls this when it starts."""
        await self.jobs.create_indexes()
        await self.tasks.create_indexes()
        await self.suites.create_indexes()
        await self.schedules.create_indexes()
        await self.devices.create_indexes()
        await self.estimates.create_indexes()
        await self.retention.create_indexes()
        await self.drifts.create_indexes()
        await self.notices.create_indexes()

    async def unreadable(self, *, newest: int | None = None) -> list[Unreadable]:
        """Return documents that this version cannot read; raises `Unavailable` when to look takes too long.

        With `newest`, not all jobs and tasks are looked at; see `Catalogue.unreadable`.
        """
        return [
            *await self.catalogue.unreadable(newest=newest),
            *await self.schedules.unreadable(),
            *await self.devices.unreadable(),
            *[each for name, query in _SHAPES.items() for each in await self._odd(name, query)],
        ]

    @translated
    async def _odd(self, name: str, shape: Mapping[str, Any], limit: int = 100) -> list[Unreadable]:
        """Return documents of another shape; none where this user may not look."""
        found = self._database[name].find({"$nor": [shape]}, {"_id": 1}).limit(limit).max_time_ms(MOST_MS)
        try:
            return [Unreadable(name, str(each["_id"]), ODD) async for each in found]
        except OperationFailure as error:
            if error.code == _NOT_ALLOWED:
                return []
            raise

    async def answers(self) -> bool:
        """Whether the store can be reached now."""
        try:
            await self._ping()
        except Transient:
            return False
        return True

    async def refuses(self) -> bool | None:
        """Whether the store refuses this user; None when it does not answer."""
        try:
            await self.jobs.unseen([""])
        except Refused:
            return True
        except Transient:
            return None
        return False

    @translated
    async def _ping(self) -> None:
        await self._client.admin.command("ping", maxTimeMS=1000)

    async def __aenter__(self) -> Self:
        try:
            await self.create_indexes()
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        closing = self._client.close()
        if closing is not None:  # PyMongo's own asynchronous client
            await closing
