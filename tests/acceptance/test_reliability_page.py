"""The numbers of docs/reliability.md that can be counted are right."""

from __future__ import annotations

import inspect
import re
from math import prod
from pathlib import Path
from types import ModuleType

import pytest

from tests.faults import (
    test_clock,
    test_hostile,
    test_means,
    test_pauses,
    test_side_channels,
    test_sigkill,
    test_storm,
    test_twice,
    test_versions,
)
from tests.faults.hostile import corpus
from tests.faults.report import LONG
from tests.faults.silence import ALERTING
from tests.integration import test_tyxonq_faults

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8")


def cases(module: ModuleType) -> int:
    """Return how many tests a module has, each with each of its parameters."""
    return sum(
        prod(len(mark.args[1]) for mark in getattr(test, "pytestmark", ()) if mark.name == "parametrize")
        for name, test in inspect.getmembers(module, inspect.isfunction)
        if name.startswith("test_")
    )


def rows(heading: str) -> list[list[str]]:
    section = PAGE[PAGE.index(f"{heading}\n") :]
    table = section[section.index("\n|") :].partition("\n\n")[0]
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in table.strip().splitlines()[2:]]


def test_the_table_of_trouble_at_tyxonq_has_all_cases() -> None:
    assert sum(int(row[-1]) for row in rows("### Trouble at TyxonQ")) == cases(test_tyxonq_faults)


def test_the_table_says_how_many_messages_are_hostile() -> None:
    (said,) = re.findall(r"\| hostile input \| (\d+) messages", PAGE)
    assert int(said) == len(list(corpus()))


def test_what_ends_a_silence_has_an_alert() -> None:
    alerts = (ROOT / "deploy" / "prometheus" / "alerts.yml").read_text(encoding="utf-8")
    assert [name for name in ALERTING if name not in alerts] == []


@pytest.mark.skipif(LONG, reason="these are the numbers of the long form")
def test_short_forms_are_as_the_table_says() -> None:
    said = {row[0]: row[-1] for row in rows("## The scenarios")}
    assert said["crash points, SIGKILL"].startswith(f"{4 * test_sigkill.IN_SHORT} points")
    processes = sum(({"scorer": 1, "exporter": 1} | test_storm.COUNTS).values())
    assert said["storm of SIGKILL and SIGTERM"] == f"{test_storm.JOBS} jobs, {processes} processes"
    jobs, late = len(test_twice._requests()), test_twice.LONGEST
    assert said["every message twice, shuffled"] == f"{jobs} jobs, up to {late} s"
    stopped = (
        f"{len(test_pauses.LOSES_A_LEASE)} points instead of {len(test_pauses.LOSES_A_LEASE | test_pauses.OTHERS)}"
    )
    assert said["lease holders stopped; clocks 5 min off"].startswith(stopped)
    assert f"{test_clock.JOBS} jobs before and after each" in said["the store's clock set back 1 h, forward 8 days"]
    assert said["want of means"] == f"{test_means.JOBS} jobs"
    assert said["logs"] == f"the pipes, {test_side_channels.JOBS} jobs"
    assert said["what a newer version adds"] == f"{test_versions.JOBS + 4} jobs"  # two alone, and two of a suite
    assert said["hostile input"] == f"{test_hostile.bounded.max_examples} of each"
