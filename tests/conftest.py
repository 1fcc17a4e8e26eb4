"""Real servers as fixtures: one of each per test run, a fresh corner of it for every test.

Imports are inside the fixtures, since a file of unit tests needs few of them. Under pytest-xdist all workers use one
pair of servers, and tests that share a fixture of their module stay together, as do those of one ``xdist_group``.
"""

from __future__ import annotations

import gc
import logging
import os
import shutil
import signal
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

import pytest

from tests.sandbox.fixture import tyxonq_sandbox as tyxonq_sandbox
from tests.servers.guard import die_with_parent
from tests.support import forks

if TYPE_CHECKING:
    import pymongo

    from tests.servers.rabbitmq import Broker
    from tests.support.databases import Databases

DISK_BYTES = 2_000_000_000
"""What a run keeps on the disk at a time: servers' data, and two virtual environments."""
IN_WORKER = "PYTEST_XDIST_WORKER" in os.environ
SPANS = {"faults": (0.0, 0.5), "acceptance": (0.0, 0.8), "integration": (0.0, 1.0), "contract": (0.0, 1.2)}
"""Folder → where in the run its tests begin and end; the others fill it to its end, at ``FULL``.

So no worker is left with a long test when the rest is done, and such as wait have others beside them that do not.
"""
FULL = 1.5


def pytest_configure() -> None:
    """Let no database wait for a command after a test's, and no worker outlive its run, whatever signal ends that."""
    os.environ.setdefault("METRIQ_MONGOD_STAY_SECONDS", "0")
    # What a shell runs in the background ignores Ctrl-C, and so would the commands that a test interrupts.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if IN_WORKER:
        die_with_parent()
    else:
        forks.offer()
    gc.disable()


def pytest_collection_finish() -> None:
    """Look for garbage from here on, and not in the half million objects that modules and tests are made of."""
    gc.collect()
    gc.freeze()
    gc.enable()


def pytest_pycollect_makemodule(module_path: Path) -> None:
    """Before a module uses Hypothesis, switch its time limits off, which say more of the machine than of the code.

    And its chance: a run that fails says something of what was changed. Fresh examples are for a search for faults.
    """
    if "hypothesis" in module_path.read_text():
        import hypothesis  # which a plug-in may have imported before

        hypothesis.settings.register_profile("untimed", deadline=None, derandomize=True)
        hypothesis.settings.load_profile("untimed")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep together in one worker what shares a fixture of its module, and begin with what takes long."""
    if not IN_WORKER:
        return
    shared = {item for item in items if _shares(item)}
    # Those that stay together fill the first half of their folder's span, the others of a module all of it.
    rooms = [item.path.parent if item in shared else item.path for item in items]
    totals, seen, places = Counter(rooms), Counter[Path](), {}
    for item, room in zip(items, rooms, strict=True):
        begin, end = SPANS.get("".join(item.nodeid.split("/")[1:2]), (0.0, FULL))
        length = (end - begin) / 2 if item in shared else end - begin
        places[item] = begin + length * seen[room] / totals[room]
        seen[room] += 1
    items.sort(key=places.__getitem__)
    for item in items:
        if item in shared and item.get_closest_marker("xdist_group") is None:
            item.add_marker(pytest.mark.xdist_group(item.nodeid.partition("::")[0]))


_seen = WeakSet[threading.Thread]()
"""Threads of sessions that were looked at when their test ended."""


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_teardown() -> None:
    """Close the sessions that a test's calls have left at work, as the end of a script does, while their servers live.

    They would look for those for the rest of the run, and tell other tests' logs that they are gone.
    """
    new = [each for each in threading.enumerate() if each.name == "metriq-gym" and each not in _seen]
    _seen.update(new)
    if new:
        from metriq_gym.client.session import Session

        for each in gc.get_objects():
            if type(each) is Session and each._client is not None:
                each.close()


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Take over what the fault suite measured in a worker."""
    if rows := getattr(node, "workeroutput", {}).get("faults"):
        from tests.faults.report import REPORT

        REPORT.include(rows)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the fault suite's table, if any of it was run."""
    if (faults := sys.modules.get("tests.faults.report")) and faults.REPORT.rows:
        terminalreporter.write_sep("=", f"faults, {'long' if faults.LONG else 'short'} form, seed {faults.SEED}")
        terminalreporter.write_line(faults.REPORT.table())


def _shares(item: pytest.Item) -> bool:
    """Whether a test uses a fixture of the project's that is made once a module or class."""
    definitions: dict[str, Any] = item._fixtureinfo.name2fixturedefs  # type: ignore[attr-defined]
    own = (each[-1] for each in definitions.values() if each[-1].baseid.startswith("tests"))
    return any(each.scope in {"class", "module", "package"} for each in own)


@pytest.fixture(autouse=True)
def logging_as_delivered() -> None:
    """Undo what a command under test set up for its own logs, or no later test could capture any."""
    if structlog := sys.modules.get("structlog"):
        structlog.reset_defaults()
        # Not to what stands for standard output just then: a session that is left open in the background logs, too.
        structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.__stderr__))
        # As a traceback is drawn by default, with all variables in colour, one takes up to a second.
        structlog.dev.ConsoleRenderer.get_active().exception_formatter = structlog.dev.plain_traceback
    logging.disable(logging.NOTSET)


@pytest.fixture(scope="session")
def shared_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of all workers of this run, on a disk with room: servers on a full one wait, and so would each test."""
    own = tmp_path_factory.getbasetemp()
    if (free := shutil.disk_usage(own).free) < DISK_BYTES:
        pytest.fail(f"tests with servers need {DISK_BYTES / 1e9:.0f} GB at {own}, where {free / 1e9:.1f} GB are free")
    return own.parent if IN_WORKER else own


@pytest.fixture(scope="session")
def amqp_broker(shared_folder: Path) -> Iterator[Broker]:
    """The RabbitMQ of this test run."""
    from tests.servers.rabbitmq import shared_broker

    with shared_broker(shared_folder / "rabbitmq") as broker:
        yield broker


@pytest.fixture
def amqp_url(amqp_broker: Broker) -> Iterator[str]:
    """The AMQP URL of a virtual host of the test's own."""
    from tests.servers.rabbitmq import virtual_host

    with virtual_host(amqp_broker) as url:
        yield url


@pytest.fixture(scope="session")
def mongo_url(shared_folder: Path) -> Iterator[str]:
    """The URL of the MongoDB replica set of this test run."""
    from tests.servers.mongodb import shared_mongodb

    with shared_mongodb(shared_folder / "mongodb") as url:
        yield url


@pytest.fixture(scope="session")
def mongo_client(mongo_url: str) -> Iterator[pymongo.MongoClient[dict[str, object]]]:
    """A client of it, to look at what the product wrote and to clear up."""
    import pymongo

    with pymongo.MongoClient[dict[str, object]](mongo_url) as client:
        yield client


@pytest.fixture(scope="session")
def databases(mongo_url: str, mongo_client: pymongo.MongoClient[dict[str, Any]]) -> Iterator[Databases]:
    """Databases that one test after the other has."""
    from tests.support.databases import Databases

    databases = Databases(mongo_client, mongo_url)
    yield databases
    databases.drop()


@pytest.fixture
def mongo_database(databases: Databases) -> Iterator[str]:
    """The name of a database that is the test's own until its end."""
    with databases.lend() as name:
        yield name
