"""Which job or suite is meant: its id, the beginning of one, or ``latest``."""

from __future__ import annotations

from metriq_gym.errors import MetriqGymError, NotFound
from metriq_gym.jobs import Job
from metriq_gym.store import Store

LATEST = "latest"
_SHOWN = 5


class AmbiguousName(MetriqGymError):
    """The beginning of an id fits several."""


async def choose_job(store: Store, name: str) -> Job:
    """Return the job that `name` stands for; raises `NotFound`, or `AmbiguousName` naming those it could be.

    Of a suite's job both parts may be shortened, the suite's and its own: ``c784.002``.
    """
    if name == LATEST:
        found = await store.catalogue.find(limit=1)
        if not found:
            raise NotFound("there are no jobs yet: mgym job dispatch wit.example.json")
        return found[0]
    ids = await store.catalogue.job_ids(name, limit=_SHOWN + 1)
    if not ids and "." in name:
        suite, _, own = name.partition(".")
        ids = await store.catalogue.job_ids_of_suite(suite, own, limit=_SHOWN + 1)
    return await store.jobs.get(only("job", name, ids))


async def choose_suite(store: Store, name: str) -> str:
    """Return the id of the suite that `name` stands for; raises as `choose_job`."""
    if name == LATEST:
        found = await store.catalogue.suite_ids(limit=1)
        if not found:
            raise NotFound("there are no suites yet: mgym suite dispatch lr_qaoa")
        return found[0]
    return only("suite", name, await store.catalogue.suite_ids(name, limit=_SHOWN + 1))


def only(kind: str, name: str, ids: list[str], command: str | None = None) -> str:
    """Return the one of `ids`, which begin with `name`, that is meant; raises as `choose_job`.

    `command` is the one that lists them, if it is not called as their `kind`.
    """
    if name in ids:
        return name
    if not ids or not name:
        raise NotFound(f"there is no {kind} {name}; `mgym {command or kind} list` shows those there are")
    if len(ids) > 1:
        more = ", …" if len(ids) > _SHOWN else ""
        raise AmbiguousName(f"{name!r} could be any of several {kind}s: {', '.join(ids[:_SHOWN])}{more}")
    return ids[0]
