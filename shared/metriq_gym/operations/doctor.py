"""Checking whether everything that is needed is there and works, and saying what to do where it does not."""

from __future__ import annotations

import asyncio
import json
import os
import platform
import shutil
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from urllib.parse import urlsplit

from metriq_gym import web
from metriq_gym.bus.port import DEAD_LETTERS
from metriq_gym.bus.rabbitmq.inspection import inspect as inspect_rabbitmq
from metriq_gym.bus.rabbitmq.inspection import unbound
from metriq_gym.client.client import embedded, open_store
from metriq_gym.errors import MetriqGymError, Permanent, Unavailable
from metriq_gym.jobs.lifecycle import command
from metriq_gym.providers import NotSetUp, Providers, installed
from metriq_gym.providers.plugin import one_line
from metriq_gym.service.purging import Policy
from metriq_gym.settings import ProviderSettings, Settings
from metriq_gym.store.inspection import inspect as inspect_mongodb
from metriq_gym.store.leases import RECONCILER
from metriq_gym.store.private_mongod import find_binary
from metriq_gym.wording import FEW

CLOCK_SECONDS = 2.0
"""By how much this machine's clock may differ from the database's; only what people read depends on it."""
SUPPORTED_MONGODB = 6, 7
"""The oldest and the newest major version; docs/decisions/0006-private-mongod.md says why."""
ROOM_BYTES = 2 * 2**30
_PACKAGES = {
    "aio-pika": "",
    "motor": "",
    "qiskit": "benchmarks",
    "qiskit-aer": "aer",
    "httpx": "dispatcher",
    "PyGithub": "exporter",
    "matplotlib": "plots",
}
"""Package → the extra that brings it."""


class Verdict(StrEnum):
    """How good a finding is."""

    GOOD = "ok"
    NOTE = "note"
    BAD = "bad"


@dataclass(frozen=True, slots=True)
class Check:
    """What was looked at, what was found, and what to do about it."""

    verdict: Verdict
    subject: str
    found: str
    remedy: str = ""


async def examine(settings: Settings, management_url: str | None = None) -> list[Check]:
    """Look at everything; what is broken is a finding, not an error.

    `management_url` says where RabbitMQ's management API is, if it is not at its usual port beside the broker.
    """
    findings = [_python(), *_packages()]
    try:
        without_servers = embedded(settings)
    except MetriqGymError as error:
        return [*findings, Check(Verdict.BAD, "servers", "only one of two is configured", str(error))]
    if without_servers:
        findings += [_folder(settings.data_dir), *[each async for each in _embedded(settings)]]
    else:
        findings += [each async for each in _mongodb(settings)]
        findings += [each async for each in _rabbitmq(settings, management_url)]
    return [*findings, *[each async for each in providers_of(settings)], await _github(settings)]


def _python() -> Check:
    return Check(Verdict.GOOD, "Python", f"{platform.python_version()}, {platform.system()} {platform.machine()}")


def _packages() -> list[Check]:
    found, missing = [], []
    for name, extra in _PACKAGES.items():
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            remedy = f"pip install 'metriq-gym-services[{extra}]', if this machine is to do that"
            missing.append(Check(Verdict.NOTE, f"package {name}", "not installed", remedy))
    return [Check(Verdict.GOOD, "packages", ", ".join(found)), *missing]


def _folder(folder: Path) -> Check:
    parent = next(each for each in (folder, *folder.parents) if each.exists())
    if not os.access(parent, os.W_OK):
        return Check(Verdict.BAD, "data folder", f"{folder} cannot be written", "set METRIQ_DATA_DIR to one that can")
    free = shutil.disk_usage(parent).free
    room = f"{folder}, {free / 2**30:.0f} GiB free"
    if free < ROOM_BYTES:
        return Check(Verdict.NOTE, "data folder", room, "make room, or set METRIQ_DATA_DIR to a larger disk")
    return Check(Verdict.GOOD, "data folder", room)


async def _embedded(settings: Settings) -> AsyncIterator[Check]:
    yield Check(Verdict.GOOD, "servers", "none configured: the embedded runtime does the work")
    try:
        find_binary()
        async with open_store(settings) as store:
            unfinished = await store.catalogue.unfinished()
    except MetriqGymError as error:
        yield Check(Verdict.BAD, "private mongod", str(error), "see its log, or set METRIQ_DATA_DIR to a fresh folder")
        return
    yield Check(Verdict.GOOD, "private mongod", "starts, and is a replica set of its own")
    yield Check(Verdict.GOOD, "retention", str(Policy.of(settings)))
    if unfinished:
        remedy = "the next `mgym job poll` or `mgym run` goes on with them"
        yield Check(Verdict.NOTE, "jobs", f"{unfinished} unfinished", remedy)


def of_version(said: str, version: str) -> Check:
    """Judge a MongoDB server by its version."""
    oldest, newest = SUPPORTED_MONGODB
    if int(version.split(".")[0]) < oldest:
        return Check(Verdict.BAD, "MongoDB", said, f"run MongoDB {newest}: {oldest} is the oldest that is supported")
    if int(version.split(".")[0]) > newest:
        return Check(Verdict.NOTE, "MongoDB", said, f"{newest} is the newest that was tried")
    return Check(Verdict.GOOD, "MongoDB", said)


async def _mongodb(settings: Settings) -> AsyncIterator[Check]:
    assert settings.mongo_url is not None  # noqa: S101  (asked before)
    url = settings.mongo_url.get_secret_value()
    before = datetime.now(UTC)
    try:
        state = await inspect_mongodb(url)
    except (MetriqGymError, ValueError) as error:
        remedy = "start it, or correct METRIQ_MONGO_URL (mongodb://user:password@host/?replicaSet=…)"
        yield Check(Verdict.BAD, "MongoDB", f"{_where(url)}: {error}", remedy)
        return
    after = datetime.now(UTC)
    if state.replica_set is None:
        remedy = "start mongod with --replSet and call rs.initiate(): following jobs needs it"
        yield Check(Verdict.BAD, "MongoDB", f"{_where(url)}: version {state.version}, no replica set", remedy)
    elif not state.writable:
        remedy = "wait for the election of a primary, or see rs.status()"
        yield Check(Verdict.BAD, "MongoDB", f"{_where(url)}: {state.replica_set} has no primary", remedy)
    else:
        said = f"{_where(url)}: version {state.version}, replica set {state.replica_set}"
        yield of_version(said, state.version)
    # Somewhere between the question and the answer the server looked at its clock.
    off = max((before - state.now).total_seconds(), (state.now - after).total_seconds(), 0.0)
    if off > CLOCK_SECONDS:
        yield Check(Verdict.NOTE, "clock", f"{off:.0f} s away from the database's", "let NTP set both")
    else:
        yield Check(Verdict.GOOD, "clock", f"within {CLOCK_SECONDS:g} s of the database's")
    try:
        async with asyncio.timeout(10), open_store(settings) as store:
            held = await store.catalogue.held()
            odd = await store.unreadable()
            noted = await store.clocks.noted(RECONCILER)
    except (MetriqGymError, TimeoutError):
        return  # said above
    if noted is not None:
        yield Check(Verdict.GOOD, "retention", str(Policy.read(noted.what)))
    if held:
        yield Check(Verdict.NOTE, "held jobs", f"{len(held)} wait for an operator", command(held[0]))
    for each in odd:
        remedy = "a version that can read it goes on with it; until then it is passed over"
        yield Check(Verdict.BAD, f"document {each.id}", f"in {each.collection}: {each.reason}", remedy)


async def _rabbitmq(settings: Settings, management_url: str | None = None) -> AsyncIterator[Check]:
    assert settings.amqp_url is not None  # noqa: S101  (asked before)
    url = settings.amqp_url.get_secret_value()
    try:
        state = await inspect_rabbitmq(url)
    except (MetriqGymError, ValueError) as error:
        remedy = "start it, or correct METRIQ_AMQP_URL (amqp://user:password@host/vhost)"
        yield Check(Verdict.BAD, "RabbitMQ", f"{_where(url)}: {error}", remedy)
        return
    yield Check(Verdict.GOOD, "RabbitMQ", f"{_where(url)}: version {state.version}")
    if not state.exchange_exists:
        yield Check(Verdict.NOTE, "exchange", "not declared yet", "start a service: each declares all there is")
    for queue in state.queues:
        subject = f"queue {queue.name}"
        if not queue.exists:
            yield Check(Verdict.NOTE, subject, "not declared yet", "start a service: each declares all there is")
        elif queue.name == DEAD_LETTERS:
            remedy = "look at them: mgym dead list" if queue.messages else ""
            verdict = Verdict.NOTE if queue.messages else Verdict.GOOD
            yield Check(verdict, subject, f"{queue.messages} messages were given up", remedy)
        elif not queue.consumers:
            remedy = f"start the service: mgym service run {queue.name.removeprefix('metriq.')}"
            yield Check(Verdict.BAD, subject, f"{queue.messages} messages, and nobody consumes them", remedy)
        else:
            yield Check(Verdict.GOOD, subject, f"{queue.messages} messages, {queue.consumers} consumers")
    if all(queue.exists for queue in state.queues):
        yield await _bindings(url, management_url)


async def _bindings(url: str, management_url: str | None) -> Check:
    try:
        missing = await unbound(url, management_url)
    except MetriqGymError as error:
        return Check(Verdict.NOTE, "bindings", str(error), "say where it is: --management-url http://…")
    if missing:
        remedy = "restart a service that may: each declares all there is"
        return Check(Verdict.BAD, "bindings", f"missing: {', '.join(missing)}", remedy)
    return Check(Verdict.GOOD, "bindings", "every message has its queue")


async def providers_of(settings: Settings) -> AsyncIterator[Check]:
    """Yield whether each provider can be asked, what can be set for it, and which plug-ins are broken."""
    there = installed()
    async with Providers(settings) as providers:
        for name in there.of_kind(local=False):
            yield await _provider(name, providers)
    for name, plugin in there.plugins.items():
        if plugin.settings is not None:
            yield Check(Verdict.GOOD, f"{name} settings", ", ".join(_variables(plugin.settings)))
    for name, reason in there.broken.items():
        yield Check(Verdict.BAD, f"provider {name}", reason, "mend or uninstall that package; the others go on")


def _variables(declared: type[ProviderSettings]) -> Iterator[str]:
    """Yield what can be set for a provider, and whether it is."""
    for variable in map(declared.variable, declared.model_fields):
        yield f"{variable} (set)" if {variable, f"{variable}_FILE"} & os.environ.keys() else variable


async def _provider(name: str, providers: Providers) -> Check:
    """Ask a remote provider for its devices."""
    subject = f"provider {name}"
    try:
        devices = await providers.get(name).devices()
    except NotSetUp as error:
        return Check(Verdict.NOTE, subject, f"no {error.what}", f"set {error.variable}, if this machine is to use it")
    except Exception as error:
        found = str(error) if isinstance(error, MetriqGymError) else one_line(error)
        return Check(Verdict.BAD, subject, found, "check its settings")
    said = ", ".join(f"{device.id} {device.status}" for device in devices[:FEW])
    return Check(Verdict.GOOD, subject, said + (f" and {len(devices) - FEW} more" if len(devices) > FEW else ""))


async def _github(settings: Settings) -> Check:
    if settings.github_token is None:
        return Check(
            Verdict.NOTE, "GitHub", "no token", "set METRIQ_GITHUB_TOKEN, if this machine is to open pull requests"
        )
    if not settings.github_repos:
        return Check(Verdict.BAD, "GitHub", "no repository is allowed", "name those that are in METRIQ_GITHUB_REPOS")
    try:
        login = await asyncio.to_thread(_login, settings)
    except (Permanent, Unavailable) as error:
        return Check(Verdict.BAD, "GitHub", str(error), "check METRIQ_GITHUB_TOKEN and METRIQ_GITHUB_API_URL")
    return Check(Verdict.GOOD, "GitHub", f"token of {login}; pull requests go to {', '.join(settings.github_repos)}")


def _login(settings: Settings) -> str:
    assert settings.github_token is not None  # noqa: S101  (asked before)
    token = settings.github_token.get_secret_value()
    headers = {"Authorization": f"Bearer {token}", "Accept": "application/vnd.github+json"}
    try:
        found = json.loads(web.request(f"{settings.github_api_url.rstrip('/')}/user", headers=headers))
        return str(found["login"])
    except (ValueError, TypeError, KeyError):
        raise Permanent(f"{settings.github_api_url} does not answer as GitHub does") from None


def _where(url: str) -> str:
    """The server in a URL, without its password."""
    parts = urlsplit(url)
    return parts.netloc.rpartition("@")[2] or "no address"
