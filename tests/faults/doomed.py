"""`python -m tests.faults.doomed dispatcher`: a service that goes wrong as the variable FAULTS orders, in JSON.

The service is the real one; its calls to store, provider and queue are surrounded from outside.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import threading
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

import metriq_gym.service.service
from metriq_gym.bus.port import Delivery
from metriq_gym.messages import Message
from metriq_gym.service.lockout import Lockout
from metriq_gym.service.service import Service
from metriq_gym.settings import Settings
from tests.faults.case import KINDS
from tests.faults.clocks import set_ahead
from tests.faults.points import Call, Point, SurroundedBus, surround_store, surrounded_providers, surrounding
from tests.faults.report import SEED
from tests.faults.unreliable import break_calls
from tests.support.system import ServiceProcess

VARIABLE = "FAULTS"
Ailment = Literal["kills", "blocks", "raises"]
"""Ends the process; keeps its event loop from ever turning again; or is an error that nobody expects."""


class Orders(BaseModel):
    """What is to go wrong, and when."""

    model_config = ConfigDict(frozen=True)

    kill_at: str = ""
    """A point at which the process ends as by SIGKILL."""
    stop_at: tuple[str, ...] = ()
    """Points at which the first process to come by stands still as by SIGSTOP, until somebody continues it."""
    marks: Path = Path()
    """A folder where each of these points is marked by the process that stands still there."""
    refused: float = 0.0
    """The share of the calls to MongoDB that fail without doing anything."""
    timed_out: float = 0.0
    """The share of the calls to MongoDB that are carried out and then fail."""
    clock_off: float = 0.0
    """By how many seconds the process's clock is wrong; of half of all processes it is behind."""
    poison: Mapping[str, Ailment] = {}
    """Routing key and job, with a space in between → what comes of handling that message."""
    newer: bool = False
    """Whether its messages carry fields that a newer version would add."""
    seed: int = SEED

    def environment(self) -> dict[str, str]:
        return {VARIABLE: self.model_dump_json()}


def doom(service: ServiceProcess, orders: Orders) -> None:
    """Start a service's process, which is not running, under orders."""
    service.module = ("tests.faults.doomed", service.name)
    service.environment = {**service.environment, **orders.environment()}
    service.start()


class Doom:
    """Carries out orders around every call."""

    def __init__(self, orders: Orders) -> None:
        self.orders = orders
        self._calls = Counter[str]()

    async def around(self, name: str, call: Call) -> Any:
        self._calls[name] += 1
        number = self._calls[name]
        self._pass(Point(name, number, "before"))
        try:
            return await call()
        finally:
            self._pass(Point(name, number, "after"))

    def _pass(self, point: Point) -> None:
        if str(point) == self.orders.kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
        if str(point) in self.orders.stop_at and self._is_first(point):
            os.kill(os.getpid(), signal.SIGSTOP)

    def _is_first(self, point: Point) -> bool:
        try:
            (self.orders.marks / str(point)).touch(exist_ok=False)
        except FileExistsError:
            return False
        return True


NEWER: dict[str, Any] = {"newer": {"fields": [1, None, "two"]}, "deadline": "2026-11-21T00:00:00Z"}
"""What a version to come may add to a message."""


def write_newer_messages() -> None:
    """Let all messages of this process be those of a newer version."""
    write = Message.model_dump_json

    def written(message: Message) -> str:
        return json.dumps(NEWER | json.loads(write(message)))

    Message.model_dump_json = written  # type: ignore[method-assign, assignment]


def poison(kind: type[Service], orders: Orders) -> None:
    """Let messages be poison to a service."""
    handle: Any = kind.handle

    async def poisoned(service: Service, delivery: Delivery) -> None:
        match orders.poison.get(f"{delivery.routing_key} {delivery.correlation_id}"):
            case "kills":
                os.kill(os.getpid(), signal.SIGKILL)
            case "blocks":
                threading.Event().wait()
            case "raises":
                raise RuntimeError("nobody expected this")
        await handle(service, delivery)

    kind.handle = poisoned  # type: ignore[method-assign, assignment]


def main(name: str) -> None:
    doom = Doom(Orders.model_validate_json(os.environ[VARIABLE]))
    connected = metriq_gym.service.service.connected

    @asynccontextmanager
    async def surrounded(
        settings: Settings, app_id: str, *, until_allowed: bool = True, lockout: Lockout | None = None
    ) -> AsyncIterator[metriq_gym.service.service.Context]:
        async with connected(settings, app_id, until_allowed=until_allowed, lockout=lockout) as context:
            surround_store(context.store, doom.around)
            yield replace(context, bus=SurroundedBus(context.bus, doom.around))

    metriq_gym.service.service.connected = surrounded
    surrounding.set(doom.around)
    orders = doom.orders
    break_calls(random.Random(f"{orders.seed}/{name}"), refused=orders.refused, timed_out=orders.timed_out)
    set_ahead(orders.clock_off if os.getpid() % 2 else -orders.clock_off)
    poison(KINDS[name], orders)
    if orders.newer:
        write_newer_messages()
    with surrounded_providers():
        metriq_gym.service.service.main(KINDS[name])


if __name__ == "__main__":
    main(sys.argv[1])
