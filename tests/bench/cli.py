"""How long `mgym --help` takes, from the start of the process to its end."""

from __future__ import annotations

import resource
import subprocess
import sys
import time
from pathlib import Path

from tests.bench.report import ms, show, spread

GOAL = "300"


def run(*, quick: bool) -> None:
    """Measure and print."""
    command = [str(Path(sys.executable).with_name("mgym")), "--help"]
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True)  # compiles what is not compiled yet
    spent, cpu = [], _cpu_seconds()
    for _ in range(3 if quick else 9):
        started = time.perf_counter()
        subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
        spent.append(time.perf_counter() - started)
    cpu = (_cpu_seconds() - cpu) / len(spent)
    title = f"Command line, {len(spent)} runs (ms)"
    show(title, ["", "median", "95 %", "goal", "CPU"], [("mgym --help", *spread(spent), GOAL, ms(cpu))])


def _cpu_seconds() -> float:
    """Return what all ended child processes have used."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
