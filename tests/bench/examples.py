"""What each published example costs, warm and in one process: build, compile, simulate, score."""

from __future__ import annotations

import time
from collections.abc import Mapping
from importlib.resources import as_file, files
from itertools import pairwise
from statistics import median
from typing import Any

from metriq_gym.jobs import plan, scoring
from metriq_gym.packing import pack_circuits, pack_counts, unpack_circuits
from metriq_gym.providers.aer import devices
from metriq_gym.providers.aer.provider import AerProvider
from metriq_gym.schema_validator import load_json_file, validate
from tests.bench.report import ms, progress, show

STEPS = ("build", "compile", "pack", "simulate", "score")
"""`pack` is what the store costs: the dispatcher packs the circuits and the poller unpacks them."""
SEED = 7


def run(*, quick: bool) -> None:
    """Measure and print."""
    rows = []
    with as_file(files("metriq_gym") / "schemas" / "examples") as folder:
        for path in sorted(folder.glob("*.json")):
            config, _ = validate(load_json_file(path))
            progress(f"examples: {config['benchmark_name']}")
            cost(config)
            runs = [cost(config) for _ in range(1 if quick else 5)]
            spent = [median(each) for each in zip(*runs, strict=True)]
            build, _, _, simulate, score = spent
            rows.append((config["benchmark_name"], *map(ms, spent), f"{(build + score) / simulate:.0%}"))
    title = "Published examples on the ideal simulator, warm, one process (ms, medians)"
    show(title, ["", *STEPS, "(build + score) / simulate"], rows)


def cost(config: Mapping[str, Any]) -> tuple[float, ...]:
    """Take a configuration from building to its result, and return the seconds that each of `STEPS` took."""
    provider, device = AerProvider(), devices.describe(devices.IDEAL)
    clock = [time.perf_counter()]
    data, built = plan.build(config, SEED, device)
    clock.append(time.perf_counter())
    compiled = [(provider.compiler(device, circuits, SEED), shots) for circuits, shots in built]
    clock.append(time.perf_counter())
    stored = [(unpack_circuits(pack_circuits(circuits)), shots) for circuits, shots in compiled]
    clock.append(time.perf_counter())
    executions = [provider.simulation(device.id, circuits, shots, SEED) for circuits, shots in stored]
    clock.append(time.perf_counter())
    shares = [scoring.Share(run, 0, pack_counts(each.counts), each.seconds) for run, each in enumerate(executions)]
    scoring.score(config, SEED, data.model_dump(mode="json"), [len(circuits) for circuits, _ in compiled], shares)
    clock.append(time.perf_counter())
    return tuple(after - before for before, after in pairwise(clock))
