"""The report of the whole run, and flows without a fault."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import pytest_asyncio
import structlog

from tests.faults.case import Outcome, run_cases
from tests.faults.report import REPORT, Report
from tests.support.databases import Databases


@pytest.fixture(scope="session")
def report() -> Report:
    """Where every scenario writes its row."""
    return REPORT


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def clean(
    request: pytest.FixtureRequest, databases: Databases, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Outcome]:
    """Each of the module's `FLOWS` without any fault: what it takes, in order."""
    flows = tuple(request.module.FLOWS)
    folder = tmp_path_factory.mktemp("clean")
    with silence():
        await run_cases([("local", None, None)], databases, folder)  # which imports all that takes its time
        return dict(zip(flows, await run_cases([(name, None, None) for name in flows], databases, folder), strict=True))


@contextmanager
def silence() -> Iterator[None]:
    """Log nothing: thousands of faults have thousands of tracebacks, which nobody reads and which take their time."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger("critical"))
    yield
    structlog.reset_defaults()


@pytest.fixture
def silent() -> Iterator[None]:
    with silence():
        yield


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Hand the rows of a worker of pytest-xdist to the process that prints all."""
    if (output := getattr(session.config, "workeroutput", None)) is not None:
        output["faults"] = REPORT.plain()
