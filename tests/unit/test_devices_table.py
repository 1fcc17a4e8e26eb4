"""`mgym devices` on terminals of any width: a line a device, whatever is known of some of them."""

from __future__ import annotations

from io import StringIO

import pytest
from rich.console import Console

from metriq_gym.cli.devices import show

CALIBRATION = ["T1 (µs)", "T2 (µs)", "SQ", "CZ", "F0", "F1"]
ROWS = [
    ["local", "fake_poughkeepsie", 20, "simulator", "online", "", "", "", "", "", ""],
    [
        "local",
        "tyxonq:homebrew_s2",
        13,
        "simulator",
        "online",
        "84.5",
        "45.4",
        "0.000784",
        "0.00901",
        "0.0165",
        "0.0412",
    ],
]


@pytest.mark.parametrize("width", [80, 200])
def test_each_device_is_one_line_and_calibrations_are_with_it_or_below(width: int) -> None:
    said = StringIO()
    show(Console(file=said, width=width, force_terminal=True, no_color=True), CALIBRATION, ROWS)
    lines = [line.rstrip() for line in said.getvalue().splitlines()]
    assert len([line for line in lines if "fake_poughkeepsie" in line and "simulator" in line]) == 1
    assert len([line for line in lines if "tyxonq:homebrew_s2" in line and "0.000784" in line]) == 1
    assert len([line for line in lines if "tyxonq:homebrew_s2" in line]) == (2 if width == 80 else 1)
    assert len([line for line in lines if "fake_poughkeepsie" in line]) == 1
