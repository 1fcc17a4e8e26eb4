"""The table of docs/compare.md: what both tools scored, how far apart it is, and what it took them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import inf, sqrt
from statistics import fmean, stdev
from typing import Any

from metriq_gym.constants import JobType
from tests.compare.cases import BOUNDED, DEVICES, Case, cases

NEGLIGIBLE = 1e-9
SAME_PROBLEM = (JobType.LR_QAOA, JobType.QAT_OLE)
"""A seed poses the same problem to both tools, and problems differ more than shots do."""
TIMED = JobType.CLOPS
"""Scores the speed of the simulator and so differs by intention."""


@dataclass(frozen=True, slots=True)
class Line:
    """One run of one tool: its results, or why it refused, and the processor time that it took."""

    tool: str
    case: str
    device: str
    seed: int
    seconds: float
    results: dict[str, Any] | None = None
    refused: str | None = None


def table(lines: Sequence[Line]) -> str:
    """Return the table in Markdown, with a row for each case and device."""
    rows = ["| case | device | ours | metriq-gym 0.8.0 | z | time ratio |", "|---|---|---|---|---|---|"]
    rows += [_row(case, device, lines) for case in cases() for device in DEVICES]
    return "\n".join(rows)


def far_apart(lines: Sequence[Line], limit: float = 3) -> Iterator[tuple[str, str, float]]:
    """Yield case, device and z where both tools have a score and z is above the limit."""
    for case in cases():
        for device in DEVICES:
            ours, theirs = (_scores(_of(lines, tool, case, device)) for tool in ("ours", "theirs"))
            if ours and theirs and (z := _z(case, ours, theirs)) is not None and abs(z) > limit:
                yield case.name, device, z


def distance(ours: dict[int, float], theirs: dict[int, float], *, paired: bool = False) -> float:
    """Return the difference of the means in standard errors of the difference, by the scatter over seeds.

    `paired`: a seed poses the same problem to both, so that what scatters is the difference.
    """
    difference = fmean(ours.values()) - fmean(theirs.values())
    common = ours.keys() & theirs.keys()
    if paired and len(common) > 1:
        differences = {seed: ours[seed] - theirs[seed] for seed in common}
        difference, error = fmean(differences.values()), _error(differences)
    else:
        error = sqrt(_error(ours) ** 2 + _error(theirs) ** 2)
    if abs(difference) < NEGLIGIBLE:
        return 0.0
    return difference / error if error > NEGLIGIBLE else inf


def _row(case: Case, device: str, lines: Sequence[Line]) -> str:
    begin = f"| {case.name} | `{device}` |"
    if (why := BOUNDED.get((case.name, device))) is not None:
        return f"{begin} not run: {why} ||||"
    ours, theirs = (_of(lines, tool, case, device) for tool in ("ours", "theirs"))
    mine, other = _scores(ours), _scores(theirs)
    if not mine or not other:
        return f"{begin} {_cell(ours)} | {_cell(theirs)} | – | – |"
    z = _z(case, mine, other)
    ratio = fmean(line.seconds for line in ours) / fmean(line.seconds for line in theirs)
    return f"{begin} {_cell(ours)} | {_cell(theirs)} | {'–' if z is None else f'{z:.1f}'} | {ratio:.2g} |"


def _z(case: Case, ours: dict[int, float], theirs: dict[int, float]) -> float | None:
    name = case.config["benchmark_name"]
    few = min(len(ours), len(theirs)) < 2
    return None if name == TIMED or few else distance(ours, theirs, paired=name in SAME_PROBLEM)


def _of(lines: Sequence[Line], tool: str, case: Case, device: str) -> list[Line]:
    return [line for line in lines if (line.tool, line.case, line.device) == (tool, case.name, device)]


def _cell(lines: Sequence[Line]) -> str:
    scores = _scores(lines)
    if scores:
        mean = fmean(scores.values())
        few = "" if len(scores) == 5 else f" ({len(scores)} seeds)"
        return f"{mean:.0f}{few}" if mean > 100 else f"{mean:.4f} ± {_error(scores):.4f}{few}"
    if not lines:
        return "not run"
    if lines[0].refused is None:
        return "no score"
    reason = " ".join(lines[0].refused.split()).replace("|", "/").replace("[", "\\[")  # which is no link
    return f"refused: {reason if len(reason) < 120 else reason[:119] + '…'}"


def _scores(lines: Sequence[Line]) -> dict[int, float]:
    found = {line.seed: _score(line.results) for line in lines if line.results is not None}
    return {seed: score for seed, score in found.items() if score is not None}


def _score(results: dict[str, Any]) -> float | None:
    if "chain_eplgs" in results:
        values = [value for value in results["chain_eplgs"] if value is not None]
        return None if not values else float(values[-1])
    score = results.get("score")
    return None if score is None else float(score["value"])


def _error(scores: dict[int, float]) -> float:
    return stdev(scores.values()) / sqrt(len(scores)) if len(scores) > 1 else 0.0
