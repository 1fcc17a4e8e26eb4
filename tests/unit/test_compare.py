"""The comparison with the reference tool: its table says what was measured, and its page explains what is far apart."""

from __future__ import annotations

import re
from math import inf

import pytest

from tests.compare.__main__ import PAGE, plan
from tests.compare.cases import BOUNDED, DEVICES, SEEDS, cases
from tests.compare.table import Line, distance, far_apart, table

ROW = re.compile(r"^\| ([\w. ]+) \| `(\w+)` \| .* \| (-?[\d.]+|inf) \| [\d.e+-]+ \|$", re.MULTILINE)


def lines(case: str, ours: list[float], theirs: list[float]) -> list[Line]:
    scores = [("ours", seed, score) for seed, score in enumerate(ours)]
    scores += [("theirs", seed, score) for seed, score in enumerate(theirs)]
    return [
        Line(tool, case, "fake_guadalupe", seed, 1.0 if tool == "ours" else 4.0, {"score": {"value": score}})
        for tool, seed, score in scores
    ]


def test_a_difference_is_told_in_its_standard_errors() -> None:
    assert distance({1: 0.5, 2: 0.7}, {1: 0.2, 2: 0.4}) == pytest.approx(0.3 / (2 * 0.01) ** 0.5)
    assert distance({1: 1.0, 2: 1.0}, {1: 1.0, 2: 1.0}) == 0
    assert distance({1: 1.0, 2: 1.0}, {1: 0.9, 2: 0.9}) == inf


def test_what_scatters_of_the_same_problems_is_the_difference() -> None:
    assert distance({1: 0.2, 2: 0.81}, {1: 0.1, 2: 0.7}, paired=True) == pytest.approx(0.105 / 0.005)


def test_a_row_has_both_scores_their_distance_and_the_ratio_of_times() -> None:
    found = lines("wit", [0.8, 0.82, 0.81, 0.8, 0.82], [0.7, 0.72, 0.71, 0.7, 0.72])
    row = next(row for row in table(found).splitlines() if row.startswith("| wit | `fake_guadalupe` |"))
    assert row == "| wit | `fake_guadalupe` | 0.8100 ± 0.0045 | 0.7100 ± 0.0045 | 15.8 | 0.25 |"
    assert [(case, device) for case, device, _ in far_apart(found)] == [("wit", "fake_guadalupe")]


def test_every_case_has_a_cell_for_each_device_that_is_run_or_says_why_not() -> None:
    planned = {(case.name, device) for case, device, _ in plan()}
    assert planned | BOUNDED.keys() == {(case.name, device) for case in cases() for device in DEVICES}
    assert not planned & BOUNDED.keys()
    assert len(list(plan())) == len(planned) * len(SEEDS)


def test_the_page_has_a_row_of_every_cell_and_explains_what_is_far_apart() -> None:
    page = PAGE.read_text(encoding="utf-8")
    written, _, reasons = page.partition("<!-- /table -->")
    for case in cases():
        for device in DEVICES:
            assert f"| {case.name} | `{device}` |" in written
    for name, device, z in ROW.findall(written):
        if abs(float(z)) > 3:
            assert f"`{name}`" in reasons, f"{name} on {device} is {z} standard errors apart, without a reason"
