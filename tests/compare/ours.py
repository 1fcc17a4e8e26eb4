"""One configuration on one simulated device, from circuits to result, as the services run it but in this process."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from metriq_gym.jobs.plan import make_plan
from metriq_gym.jobs.scoring import Share, score
from metriq_gym.messages import Compilation
from metriq_gym.packing import pack_counts, unpack_circuits
from metriq_gym.providers.aer.provider import AerProvider
from metriq_gym.providers.provider import Device
from metriq_gym.schema_validator import seed_of, validate


@dataclass(frozen=True, slots=True)
class Outcome:
    """The record's ``results``, the two-qubit gates that were run, and the seconds that all of it took."""

    results: dict[str, Any]
    two_qubit_gates: int
    seconds: float


def run(
    config: Mapping[str, Any], device_id: str, seed: int, compilation: Compilation = "default", *, sampling: int = 0
) -> Outcome:
    """Build, compile, simulate and score with the configuration's seed, else `seed`; `sampling` gives other shots."""
    started = time.perf_counter()
    complete, _ = validate(config)
    stated = seed_of(complete)
    seed = seed if stated is None else stated
    provider, device = _provider(), _device(device_id)
    plan = make_plan(complete, seed, device, provider.compiler, provider.max_circuits_per_task, compilation)
    shares = []
    for task in plan.tasks:
        done = provider.simulation(
            device_id, unpack_circuits(task.circuits), task.shots, (task.seed + sampling) % 2**32
        )
        shares.append(Share(task.run, task.first, pack_counts(done.counts), done.seconds, done.sampling_seconds))
    results = score(complete, seed, plan.data, plan.runs, shares)
    return Outcome(results, sum(plan.transpiled_two_qubit_gate_counts), time.perf_counter() - started)


@cache
def _provider() -> AerProvider:
    return AerProvider()


@cache
def _device(device_id: str) -> Device:
    return asyncio.run(_provider().device(device_id))
