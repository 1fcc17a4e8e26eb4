"""The users and their rights, as data, which are rendered for a broker, a database and Kubernetes (write the copies of
the last anew after a change: `metriq_gym.operations.access.kubernetes`).

RabbitMQ's permissions are regular expressions on names of exchanges and queues, and its topic permissions on routing
keys (https://www.rabbitmq.com/docs/access-control). MongoDB's are actions on collections
(https://www.mongodb.com/docs/manual/reference/privilege-actions).

No service may declare anything: the topology is declared when the broker is prepared, and services find it there. A
retry goes by an exchange that all share, so its topic permission lets each service send only to its own queue.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from metriq_gym.bus.port import DEAD_LETTERS, DISPATCHER, EVENTS, EXPORTER, LANE_EXCHANGE, LANES, POLLER, SCORER, Queue
from metriq_gym.bus.rabbitmq.topology import retry_exchange
from metriq_gym.bus.retry import TRANSIENT
from metriq_gym.messages import (
    DeviceDrifted,
    EstimateRequested,
    JobCancelled,
    JobCancelRequested,
    JobChecked,
    JobCompleted,
    JobDispatched,
    JobExported,
    JobFailed,
    JobRequested,
    JobResumeRequested,
    JobScored,
    Message,
    ScheduleChangeRequested,
    ScheduleRequested,
    SuiteRequested,
)

NOTHING = "^$"
EVERYTHING = ".*"
WATCHERS = r"amq\.gen-.*"
"""Names that the broker gives to queues declared without one."""
RETRIES = tuple(retry_exchange(pause) for pause in TRANSIENT.pauses)

FIND = ("find", "listIndexes")
_NOTES = (*FIND, "insert", "update")
"""What is told of a message that becomes a dead letter, any service writes down."""
_INDEXED = {"calibrations": ("listIndexes",), "estimates": ("listIndexes",)}
"""What every user of the store looks at when it starts."""
DATABASE = ""
"""Stands for every collection of the database."""


@dataclass(frozen=True, slots=True)
class Permission:
    """Regular expressions on the names of what may be declared or deleted, published or bound to, and consumed."""

    configure: str
    write: str
    read: str


@dataclass(frozen=True, slots=True)
class TopicPermission:
    """Regular expressions on the routing keys that may be published to, and bound to, at a topic exchange."""

    exchange: str
    write: str
    read: str


@dataclass(frozen=True, slots=True)
class Rights:
    """One user, of the same name at both servers."""

    user: str
    purpose: str
    permission: Permission
    topics: Sequence[TopicPermission]
    collections: Mapping[str, Sequence[str]]
    """Collection → MongoDB's actions on it."""
    tags: Sequence[str] = ()
    """What RabbitMQ's management interface lets the user see."""


def any_of(names: Sequence[str]) -> str:
    """Return the expression for exactly these names."""
    return f"^({'|'.join(map(re.escape, names))})$" if names else NOTHING


def _topics(events_write: str, events_read: str, retries: str) -> tuple[TopicPermission, ...]:
    # Where a user has no topic permission at an exchange, every routing key is allowed: so all are listed.
    return (
        TopicPermission(EVENTS, events_write, events_read),
        *(TopicPermission(exchange, retries, NOTHING) for exchange in RETRIES),
    )


def _service(
    queue: Queue, purpose: str, publishes: Sequence[type[Message]], collections: Mapping[str, Sequence[str]]
) -> Rights:
    keys = any_of([message.routing_key for message in publishes])
    lanes = [lane.name for lane in LANES] if queue == DISPATCHER else []
    own = any_of([queue.name, *lanes])
    # Where the retention policy says so, the dispatcher drops dead letters that no job needs.
    reads = any_of([queue.name, *lanes, DEAD_LETTERS]) if lanes else own
    exchanges = [EVENTS, DEAD_LETTERS, *([LANE_EXCHANGE] if lanes else []), *RETRIES]
    return Rights(
        user=queue.name.removeprefix("metriq."),
        purpose=purpose,
        permission=Permission(NOTHING, any_of(exchanges), reads),
        topics=_topics(keys, NOTHING, own),
        collections=collections,
    )


SERVICES = (
    _service(
        DISPATCHER,
        "takes requests, submits circuits, publishes again what a job that stands still needs, and deletes what is old",
        [JobRequested, SuiteRequested, JobDispatched, JobCompleted, JobChecked, JobScored, JobFailed, JobCancelled],
        {
            "jobs": (*FIND, "insert", "update", "remove", "createIndex"),
            "tasks": (*FIND, "insert", "update", "remove", "createIndex"),
            "listings": (*FIND, "insert", "update", "remove"),
            "deleted": (*FIND, "insert", "update", "createIndex"),
            "suites": (*FIND, "insert", "update", "remove", "createIndex"),
            "schedules": (*FIND, "insert", "update", "remove", "createIndex"),
            "quotas": (*FIND, "insert", "update"),
            "leases": (*FIND, "insert", "update"),
            "devices": (*FIND, "insert", "update"),
            "calibrations": (*FIND, "insert", "update", "createIndex"),
            "estimates": (*FIND, "insert", "update", "createIndex"),
            "parked": (*FIND, "insert", "update", "remove"),
            "notices": _NOTES,
        },
    ),
    _service(
        POLLER,
        "collects counts",
        [JobDispatched, JobCompleted, JobChecked, JobFailed],
        {
            "jobs": (*FIND, "update"),
            "tasks": (*FIND, "update"),
            "deleted": FIND,
            **_INDEXED,
            "parked": (*FIND, "insert", "update", "remove"),
            "notices": _NOTES,
        },
    ),
    _service(
        SCORER,
        "turns counts into results",
        [JobScored, JobFailed],
        {"jobs": (*FIND, "update"), "tasks": FIND, "deleted": FIND, **_INDEXED, "notices": _NOTES},
    ),
    _service(
        EXPORTER,
        "brings results where they are wanted, looks whether devices drift, and tells of what happens",
        [JobExported, DeviceDrifted],
        {
            "jobs": (*FIND, "update"),
            "tasks": ("listIndexes",),
            "deleted": FIND,
            "drifts": (*FIND, "insert", "update", "createIndex"),
            "notices": (*_NOTES, "createIndex"),
            **_INDEXED,
        },
    ),
)

CONSOLE = Rights(
    user="console",
    purpose="serves the page and the HTTP API: publishes what people ask for, decides about held jobs and dead letters",
    permission=Permission(
        NOTHING,
        any_of([EVENTS, DEAD_LETTERS, "amq.default"]),
        any_of([DEAD_LETTERS]),
    ),
    topics=_topics(
        any_of(
            [
                each.routing_key
                for each in (
                    JobRequested,
                    JobDispatched,
                    JobCompleted,
                    JobScored,
                    JobFailed,
                    JobCancelled,
                    JobCancelRequested,
                    JobResumeRequested,
                    SuiteRequested,
                    EstimateRequested,
                    ScheduleRequested,
                    ScheduleChangeRequested,
                )
            ]
        ),
        NOTHING,
        NOTHING,
    ),
    collections={
        DATABASE: (*FIND, "changeStream"),
        "jobs": ("update", "remove"),
        "tasks": ("update", "remove"),
        "listings": ("remove",),
        "deleted": ("insert", "update"),
    },
)
"""It says again what a held job, or one that is to be exported once more, waits for; but not that one was exported."""

PUBLISHER = Rights(
    user="metriq",
    purpose="publishes requests and watches what becomes of them",
    permission=Permission(
        f"^{WATCHERS}$", f"^({re.escape(EVENTS)}|{WATCHERS})$", f"^({re.escape(EVENTS)}|{WATCHERS})$"
    ),
    topics=_topics(
        any_of(
            [
                each.routing_key
                for each in (
                    JobRequested,
                    JobCancelRequested,
                    JobResumeRequested,
                    SuiteRequested,
                    EstimateRequested,
                    ScheduleRequested,
                    ScheduleChangeRequested,
                )
            ]
        ),
        EVERYTHING,
        NOTHING,
    ),
    collections={DATABASE: (*FIND, "changeStream")},
    tags=("management",),  # for publishing with rabbitmqadmin
)

OPERATOR = Rights(
    user="operator",
    purpose="declares the topology, looks after dead letters and held jobs, deletes and imports jobs",
    permission=Permission(
        rf"^(metriq\..*|{WATCHERS})$", rf"^(metriq\..*|amq\.default|{WATCHERS})$", rf"^(metriq\..*|{WATCHERS})$"
    ),
    topics=_topics(EVERYTHING, EVERYTHING, EVERYTHING),
    collections={DATABASE: (*FIND, "changeStream", "insert", "update", "remove", "createIndex", "listCollections")},
    tags=("monitoring",),
)

MONITOR = Rights(
    user="monitor",
    purpose="counts what waits, for an autoscaler or a dashboard",
    permission=Permission(NOTHING, NOTHING, NOTHING),
    topics=_topics(NOTHING, NOTHING, NOTHING),
    collections={"jobs": ("find",), "tasks": ("find",)},
    tags=("monitoring",),
)

ALL = (*SERVICES, CONSOLE, PUBLISHER, OPERATOR, MONITOR)


def users_who_may(server: Literal["mongodb", "rabbitmq"], action: str, name: str) -> list[str]:
    """Return the users that have a right: a MongoDB action on a collection, or to ``configure``, ``write`` or ``read``
    an exchange or queue of RabbitMQ, or publish to a ``topic``.
    """
    return [rights.user for rights in ALL if _may(rights, server, action, name)]


def _may(rights: Rights, server: Literal["mongodb", "rabbitmq"], action: str, name: str) -> bool:
    if server == "mongodb":
        return any(action in rights.collections.get(each, ()) for each in (name, DATABASE))
    if action == "topic":
        return any(each.exchange == EVENTS and re.search(each.write, name) for each in rights.topics)
    return bool(re.search(getattr(rights.permission, action), name))
