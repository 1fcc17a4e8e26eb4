"""The store: jobs and tasks in one MongoDB database."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self

from metriq_gym.errors import Refused, Transient
from metriq_gym.store.backups import Backups
from metriq_gym.store.catalogue import Catalogue
from metriq_gym.store.changes import Changes
from metriq_gym.store.clocks import Clocks
from metriq_gym.store.devices import Devices
from metriq_gym.store.estimates import Estimates
from metriq_gym.store.exports import Exports
from metriq_gym.store.jobs import Jobs
from metriq_gym.store.leases import Leases
from metriq_gym.store.listings import Listings
from metriq_gym.store.mongo import connect, translated
from metriq_gym.store.parked import Parked
from metriq_gym.store.records import Records
from metriq_gym.store.retention import Retention
from metriq_gym.store.rotating import RotatingClient
from metriq_gym.store.schedules import Schedules
from metriq_gym.store.suites import Suites
from metriq_gym.store.tasks import Tasks
from metriq_gym.store.troubles import Troubles
from metriq_gym.store.upkeep import Upkeep


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
        self.catalogue = Catalogue(self._database.jobs, self._database.tasks)
        self.changes = Changes(self._database, self.jobs, self.tasks)
        self.suites = Suites(self._database.suites)
        self.schedules = Schedules(self._database.schedules)
        self.parked = Parked(self._database.parked)
        self.leases = Leases(self._database.leases)
        self.devices = Devices(self._database.devices, self._database.calibrations)
        self.estimates = Estimates(self._database.estimates)
        self.upkeep = Upkeep(self._database.jobs, self.jobs)
        self.clocks = Clocks(self._database.jobs, self._database.tasks, self._database.suites, self._database.leases)
        self.backups = Backups(client, self._database)
        self.records = Records(self._database.jobs, self._database.tasks, self._database.deleted)
        self.retention = Retention(self._database.jobs, self._database.tasks, self.records)

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
        await self.create_indexes()
        return self

    async def __aexit__(self, *_: object) -> None:
        closing = self._client.close()
        if closing is not None:  # PyMongo's own asynchronous client
            await closing
