"""`make compare`: run this project and the reference tool beside each other, and write the table of docs/compare.md.

Needs the interpreter of an environment with the reference tool. What was run is kept in build/compare.jsonl and not run
again, so that a run can be stopped and gone on with.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict
from itertools import product
from pathlib import Path
from typing import Any

from metriq_gym.errors import MetriqGymError
from tests.compare import ours
from tests.compare.cases import BOUNDED, DEVICES, LAST, SEEDS, Case, cases
from tests.compare.table import Line, far_apart, table
from tests.docs.__main__ import between_marks

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "build" / "compare.jsonl"
PAGE = ROOT / "docs" / "compare.md"


class Theirs:
    """The reference tool, in a process of its own environment."""

    def __init__(self, python: str) -> None:
        self._process = subprocess.Popen(
            [python, "-I", str(Path(__file__).with_name("theirs.py"))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def run(self, config: dict[str, Any], device: str, seed: int) -> dict[str, Any]:
        """Return results or refusal, and seconds."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"config": config, "device": device, "seed": seed}) + "\n")
        self._process.stdin.flush()
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        return answer


def run_ours(config: dict[str, Any], device: str, seed: int) -> dict[str, Any]:
    """Return the same of this project."""
    started = _processor_time()
    try:
        answer: dict[str, Any] = {"results": ours.run(config, device, seed, sampling=seed).results}
    except MetriqGymError as error:
        answer = {"refused": f"{type(error).__name__}: {error}"}
    return {**answer, "seconds": _processor_time() - started}


def _processor_time() -> float:
    return sum(os.times()[:4])


def plan() -> Iterator[tuple[Case, str, int]]:
    """Yield every run but those that are bounded, seed by seed, so that a stopped run has something of everything."""
    for late in (False, True):
        for seed, case, device in product(SEEDS, list(cases()), DEVICES):
            if (case.name, device) not in BOUNDED and ((case.name, device) in LAST) == late:
                yield case, device, seed


def read() -> list[Line]:
    """Return what earlier runs have left."""
    if not RESULTS.exists():
        return []
    return [Line(**json.loads(line)) for line in RESULTS.read_text(encoding="utf-8").splitlines()]


def main(python: str) -> None:
    """Run what is missing, print the table, and write it into the page."""
    RESULTS.parent.mkdir(exist_ok=True)
    lines = read()
    done = {(line.tool, line.case, line.device, line.seed) for line in lines}
    theirs = Theirs(python)
    warm = {"benchmark_name": "WIT", "num_qubits": 7, "shots": 10}
    for device in DEVICES:
        theirs.run(warm, device, 0), run_ours(warm, device, 0)
    with RESULTS.open("a", encoding="utf-8") as file:
        for case, device, seed in plan():
            for tool, run in (("theirs", theirs.run), ("ours", run_ours)):
                if (tool, case.name, device, seed) in done:
                    continue
                line = Line(tool, case.name, device, seed, **run(case.seeded(seed), device, seed))
                lines.append(line)
                print(json.dumps(asdict(line)), file=file, flush=True)
                print(f"{tool} {case.name} {device} {seed}: {line.seconds:.1f} s {line.refused or ''}", flush=True)
    written = table(lines)
    print(written)
    for name, device, z in far_apart(lines):
        print(f"far apart: {name} on {device}, z = {z:.1f}")
    between_marks(PAGE, "table", written)


if __name__ == "__main__":
    main(sys.argv[1])
