"""A process that dies between any two things it does loses nothing and repeats nothing.

The points are those that clean runs pass: before and after every call to the store, the provider and the queue, and
before every ack.
"""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path

import pytest
import pytest_asyncio

from metriq_gym.providers.provider import RemoteProvider
from metriq_gym.store import Store
from metriq_gym.store.mongo import connect
from tests.faults.case import KINDS, Outcome, run_cases
from tests.faults.flows import FLOWS
from tests.faults.points import Point, methods, ports
from tests.faults.report import LONG, Report
from tests.support.databases import Databases

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.usefixtures("silent")]

SERVICES = Path(__file__).parents[2] / "services"
Case = tuple[str, str, Point]
"""A flow, the service that dies, and where."""
SAME = 3
"""How many calls of one name are crashed at, in each flow, in the long form: seven thousand crashes."""
TRIES = 5 if LONG else 2
"""How often it is tried to crash at what has to be crashed at."""
Outcomes = dict[str, list[tuple[str, Point, Outcome]]]
"""Flow → the service that was to die, where, and what came of it, for each try."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def crashed(
    clean: dict[str, Outcome], databases: Databases, tmp_path_factory: pytest.TempPathFactory
) -> Outcomes:
    """Every flow with a crash at one point, and then at another."""
    folder = tmp_path_factory.mktemp("crashed")
    outcomes: Outcomes = {name: [] for name in FLOWS}
    struck = set[object]()
    waiting = [iter(cases * TRIES) for cases in _candidates(clean)]
    while tries := [(case, others) for others in waiting if (case := next(others, None))]:
        done = await run_cases([case for case, _ in tries], databases, folder)
        for ((name, service, point), _), outcome in zip(tries, done, strict=True):
            outcomes[name].append((service, point, outcome))
            if outcome.crashed:
                struck.add(_sought(service, point))
        # Some are passed on a slow machine only, or a quick one: perhaps in another flow, or in this one later.
        waiting = [others for (_, service, point), others in tries if _sought(service, point) not in struck]
    return outcomes


async def test_without_a_crash_every_flow_passes_the_audit(clean: dict[str, Outcome]) -> None:
    assert {name: outcome.verdict.all for name, outcome in clean.items()} == {name: [] for name in FLOWS}


async def test_the_flows_make_every_call_that_the_services_can_make(clean: dict[str, Outcome], mongo_url: str) -> None:
    """A call that is new in the services has to be part of a flow, and is then crashed at."""
    passed = {point.call for outcome in clean.values() for points in outcome.passed.values() for point in points}
    client = connect(mongo_url)
    store_calls = {f"store.{name}.{method}" for name, port in ports(Store(client)).items() for method in methods(port)}
    client.close()
    named = {
        f"store.{port}.{method}"
        for port, method in _named_in(path for name in KINDS for path in (SERVICES / name).rglob("*.py"))
    }
    assert named & store_calls - passed - REACHED_ELSEWHERE == set()
    provider_calls = {f"provider.{name}" for name in methods(RemoteProvider)}
    assert provider_calls - passed == {"provider.devices"}  # which only the command line asks for
    handled = {call for call in passed if call.startswith("handle ")}
    keys = {f"handle {key}" for kind in KINDS.values() for key in kind.queue.routing_keys}
    assert keys - handled == set()


REACHED_ELSEWHERE = {
    # By exports that are tried again and by whole suites: tests/integration/test_exporter_service.py crashes there.
    "store.exports.take_up",
    "store.exports.begin",
    # Where a job is resumed and has its result exported while its failure is: tests/unit/test_resume.py does that.
    "store.exports.again",
    # Only where looking after all jobs takes long: tests/integration/test_reconciler.py stops one there.
    "store.leases.renew",
    # Where one attempt to tell takes longer than a lease: tests/unit/test_telling.py has one that does.
    "store.notices.renew",
    # By the embedded runtime when it starts, before it does anything.
    "store.upkeep.unfinished",
    "store.suites.unfinished",
    # By schedules that run again and again: tests/unit/test_scheduler.py ends the process around each of its calls.
    "store.schedules.delete",
    "store.jobs.suite",
}


def _named_in(files: Iterable[Path]) -> set[tuple[str, str]]:
    """Return the last two names of every dotted name in the files, as in ``self.store.tasks.claim``."""
    nodes = (node for file in files for node in ast.walk(ast.parse(file.read_text())))
    return {
        (node.value.attr, node.attr)
        for node in nodes
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Attribute)
    }


@pytest.mark.parametrize("name", FLOWS)
async def test_a_crash_at_any_point_loses_and_repeats_nothing(name: str, crashed: Outcomes, report: Report) -> None:
    wrong = [(service, str(point), outcome.verdict.all) for service, point, outcome in crashed[name]]
    assert [each for each in wrong if each[-1]] == []
    for _, _, outcome in crashed[name]:
        report.add(
            "crash points, injected",
            jobs=len(FLOWS[name].ends),
            faults=int(outcome.crashed),
            verdict=outcome.verdict,
            recoveries=[outcome.recovery] if outcome.crashed else [],
        )


async def test_every_call_was_crashed_at(clean: dict[str, Outcome], crashed: Outcomes) -> None:
    """In each service that makes it."""
    passed = {
        f"{service} {point.call}"
        for outcome in clean.values()
        for service, points in outcome.passed.items()
        for point in points
    }
    tries = (each for outcomes in crashed.values() for each in outcomes)
    struck = {f"{service} {point.call}" for service, point, outcome in tries if outcome.crashed}
    assert passed - struck <= BY_CHANCE


BY_CHANCE = {
    "dispatcher store.clocks.put_off_deadlines",
    "dispatcher store.leases.renew",
    "exporter store.exports.begin",
    "exporter store.exports.take_up",
    "exporter store.notices.renew",
}
"""Only on a slow machine: looking after all jobs is slow or comes late, or what is worked on seems to stand still."""


def _candidates(clean: Mapping[str, Outcome]) -> list[list[Case]]:
    """Return where to crash. In the short form that is each call once, in the first flow where it can be done."""
    found: defaultdict[object, list[Case]] = defaultdict(list)
    for name, outcome in clean.items():
        for service, points in outcome.passed.items():
            for point in points:
                case = (name, service, point)
                if f"{service} {point.call}" in BY_CHANCE:
                    continue
                if LONG and point.number <= SAME:
                    found[case].append(case)
                elif not LONG and point.number == 1 and _tells(point):
                    found[service, point].append(case)
    return list(found.values())


def _sought(service: str, point: Point) -> object:
    """Return what has to be crashed at: each point of the short form; of the long one, some point of each call."""
    return (service, point.call) if LONG else (service, point)


def _tells(point: Point) -> bool:
    """Whether a point is crashed at in the short form: after one call is, for most, as good as before the next."""
    return point.side == "after" or point.call.startswith(("publish", "provider", "handle"))
