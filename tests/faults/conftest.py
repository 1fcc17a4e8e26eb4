"""The report of the whole run, printed when it is over."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import structlog

from tests.faults.report import LONG, SEED, Report

_report = Report()


@pytest.fixture(scope="session")
def report() -> Report:
    """Where every scenario writes its row."""
    return _report


@pytest.fixture
def silent() -> Iterator[None]:
    """Thousands of faults are logged with thousands of tracebacks, which nobody reads and which take their time."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger("critical"))
    yield
    structlog.reset_defaults()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if _report.rows:
        terminalreporter.write_sep("=", f"faults, {'long' if LONG else 'short'} form, seed {SEED}")
        terminalreporter.write_line(_report.table())
