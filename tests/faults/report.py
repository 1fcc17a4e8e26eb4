"""What a run of the suite measured, as a table: one row per scenario."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any

from tests.faults.audit import Verdict

LONG = os.environ.get("METRIQ_TEST_FAULTS") == "long"
"""Whether to run the long form: every crash point, thousands of jobs, the full pauses."""
SEED = int(os.environ.get("METRIQ_TEST_SEED", "42"))
COLUMNS = ("scenario", "jobs", "faults", "lost", "duplicated", "recovery, median (s)", "recovery, most (s)")


@dataclass
class Row:
    """What came of one scenario."""

    jobs: int = 0
    faults: int = 0
    verdict: Verdict = field(default_factory=Verdict)
    recoveries: list[float] = field(default_factory=list)
    """Seconds from each fault, or from its end if it lasted, until the next job ended."""

    def cells(self, scenario: str) -> tuple[str, ...]:
        counts = (self.jobs, self.faults, len(self.verdict.lost), len(self.verdict.duplicated))
        times = (median(self.recoveries), max(self.recoveries)) if self.recoveries else ()
        spent = [f"{each:.1f}" for each in times] or ["–", "–"]
        return (scenario, *(f"{each:,}" for each in counts), *spent)


class Report:
    """The rows of a run, by scenario, in the order they were begun."""

    def __init__(self) -> None:
        self.rows: dict[str, Row] = {}

    def add(self, scenario: str, *, jobs: int, faults: int, verdict: Verdict, recoveries: Iterable[float] = ()) -> None:
        """Add what one run of a scenario came to, and fail if the audit found anything."""
        self._add(scenario, Row(jobs, faults, verdict, list(recoveries)))
        assert verdict.all == [], "\n".join(map(str, verdict.all))

    def plain(self) -> dict[str, dict[str, Any]]:
        """Return the rows in words and numbers, which `include` takes in another process."""
        return {scenario: asdict(row) for scenario, row in self.rows.items()}

    def include(self, plain: dict[str, dict[str, Any]]) -> None:
        """Add the rows of another process."""
        for scenario, row in plain.items():
            self._add(scenario, Row(**{**row, "verdict": Verdict(**row["verdict"])}))

    def _add(self, scenario: str, more: Row) -> None:
        row = self.rows.setdefault(scenario, Row())
        row.jobs += more.jobs
        row.faults += more.faults
        row.recoveries += more.recoveries
        for name in ("lost", "duplicated", "wrong"):
            getattr(row.verdict, name).extend(getattr(more.verdict, name))

    def table(self) -> str:
        """Return the rows as a table in Markdown."""
        lines = [COLUMNS, tuple("---" if number == 0 else "---:" for number in range(len(COLUMNS)))]
        lines += [row.cells(scenario) for scenario, row in self.rows.items()]
        return "\n".join(f"| {' | '.join(line)} |" for line in lines)


REPORT = Report()
"""The rows of this process."""


def recoveries(faults: Sequence[float], ends: Sequence[float]) -> list[float]:
    """Return the seconds from each fault until the next end of a job; faults that none follows are left out."""
    return [min(later) - fault for fault in faults if (later := [end for end in ends if end > fault])]
