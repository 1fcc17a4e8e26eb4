"""The big cases: whether building, compiling and scoring stay quick at the sizes of the published suites.

Each case has a worker process of its own, as the services' pools start them, so that its peak memory is its own too.
"""

from __future__ import annotations

import asyncio
import json
import resource
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import numpy as np
import rustworkx as rx
from numpy.typing import NDArray
from qiskit_aer import AerSimulator

from metriq_gym.benchmarks.colouring import edge_colouring
from metriq_gym.jobs import plan, scoring
from metriq_gym.packing import pack_counts
from metriq_gym.providers.aer import devices
from metriq_gym.providers.aer.compiler import AerCompiler
from metriq_gym.providers.provider import Device
from metriq_gym.schema_validator import validate
from metriq_gym.service.pool import Pool
from tests.bench.report import progress, show

SEED = 7
PROFILE = "fake_torino"
"""A profile with room for a chain of 100 qubits: 133, heavy-hexagonal."""
NO_LIMIT = 2**300
"""Memory in bytes for a compiler that shall not mind whether a simulation fits."""


@dataclass(frozen=True)
class Step:
    """What one step took."""

    name: str
    goal: str
    wall: float
    cpu: float


class Clock:
    """Measures steps, in seconds."""

    def __init__(self) -> None:
        self.steps: list[Step] = []

    @contextmanager
    def step(self, name: str, goal: str) -> Iterator[None]:
        """Measure what is done inside."""
        wall, cpu = time.perf_counter(), time.process_time()
        yield
        self.steps.append(Step(name, goal, time.perf_counter() - wall, time.process_time() - cpu))


def run(*, quick: bool) -> None:
    """Measure and print."""
    rows: list[tuple[str, ...]] = []
    for case in CASES:
        progress(f"speed: {(case.__doc__ or '').rstrip('.')}")
        steps, peak = asyncio.run(_in_worker(case, quick))
        rows += [(each.name, f"{each.wall:.2f}", f"{each.cpu:.2f}", each.goal, f"{peak >> 20:,}") for each in steps]
    title = "Big cases (s), and the most memory that the case's process took (MiB)"
    show(title, ["", "wall", "CPU", "goal", "peak"], rows)


async def _in_worker(case: Callable[[Clock, bool], None], quick: bool) -> tuple[list[Step], int]:
    async with Pool(1) as pool:
        return await pool.run(_measured, case, quick)


def _measured(case: Callable[[Clock, bool], None], quick: bool) -> tuple[list[Step], int]:
    """Run one case here and return its steps and this process's peak memory in bytes."""
    clock = Clock()
    case(clock, quick)
    return clock.steps, 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def colouring(clock: Clock, quick: bool) -> None:
    """BSEQ: colour a heavy-hexagonal lattice of 1,081 qubits."""
    graph = rx.generators.heavy_hex_graph(21)
    with clock.step(f"BSEQ, heavy-hexagonal lattice of {graph.num_nodes():,} qubits: colour", goal="1"):
        edge_colouring(graph)


def mirror(clock: Clock, quick: bool) -> None:
    """Mirror Circuits: build 10 circuits of 128 qubits."""
    config, device = _from_suite("mirror_circuits_128q_2l"), _heavy_hex(9)
    with clock.step("Mirror Circuits, 128 qubits, 2 layers, 10 circuits: build", goal="2"):
        plan.build(config, SEED, device)


def eplg(clock: Clock, quick: bool) -> None:
    """EPLG: build, compile and score a chain of 100 qubits."""
    config, device = _from_suite("eplg_100q_chain"), devices.describe(PROFILE)
    devices.target(PROFILE)
    config |= {"num_samples": 1} if quick else {}
    name = f"EPLG, 100 qubits, {config['num_samples']} samples of 2 × {len(config['lengths'])} circuits"
    with clock.step(f"{name}: build", goal="60 with compiling"):
        data, built = plan.build(config, SEED, device)
    circuits = [len(each) for each, _ in built]
    with clock.step(f"{name}: compile for {PROFILE}", goal="60 with building"):
        for each, _ in built:
            AerCompiler(NO_LIMIT)(device, each, SEED)
    rng, shots, lengths = np.random.default_rng(SEED), config["shots"], sorted(config["lengths"])
    flips = [1 - 0.995 ** np.array(lengths)] * 2
    counts = [[_noisy_zeros(100, shots, flip, rng) for flip in np.concatenate(flips)] for _ in circuits]
    with clock.step(f"{name}: score", goal="20"):
        _score(config, data.model_dump(mode="json"), circuits, counts)


def lr_qaoa(clock: Clock, quick: bool) -> None:
    """Linear Ramp QAOA: build and compile circuits of 100 qubits; score 10 trials against 25 random ones."""
    config, device = _from_suite("lr_qaoa_1d_100q"), devices.describe(PROFILE)
    devices.target(PROFILE)
    with clock.step("Linear Ramp QAOA, 100 qubits: build", goal="60 with compiling"):
        data, built = plan.build(config, SEED, device)
    with clock.step(f"Linear Ramp QAOA, 100 qubits: compile for {PROFILE}", goal="60 with building"):
        for each, _ in built:
            AerCompiler(NO_LIMIT)(device, each, SEED)
    circuits, rng = [len(each) for each, _ in built], np.random.default_rng(SEED)
    counts = [[_noisy_zeros(100, config["shots"], 0.5, rng) for _ in range(number)] for number in circuits]
    with clock.step("Linear Ramp QAOA, 100 qubits, 10 trials, 25 random trials of 1,000 shots: score", goal="1"):
        _score(config, data.model_dump(mode="json"), circuits, counts)


def quantum_volume(clock: Clock, quick: bool) -> None:
    """Quantum Volume: score circuits of 20 qubits."""
    trials = 4 if quick else 100
    config, _ = validate({"benchmark_name": "Quantum Volume", "num_qubits": 20, "trials": trials})
    rng = np.random.default_rng(SEED)
    counts = [[_noisy_zeros(20, config["shots"], 0.5, rng) for _ in range(trials)]]
    with clock.step(f"Quantum Volume, 20 qubits, {trials} trials of 1,000 shots: score", goal="120"):
        _score(config, {}, [trials], counts)


def quantum_fourier_transform(clock: Clock, quick: bool) -> None:
    """Quantum Fourier Transform: circuits of 25 qubits, simulated on one thread."""
    qubits = 20 if quick else 25
    given = {"benchmark_name": "Quantum Fourier Transform", "num_qubits": qubits, "shots": 1000, "max_circuits": 3}
    config, device = validate(given)[0], devices.describe(devices.IDEAL)
    name = f"Quantum Fourier Transform, {qubits} qubits, 3 circuits"
    with clock.step(f"{name}: build", goal=""):
        data, built = plan.build(config, SEED, device)
    ((circuits, shots),) = built
    with clock.step(f"{name}: compile", goal=""):
        compiled = AerCompiler(NO_LIMIT)(device, circuits, SEED)
    with clock.step(f"{name}: simulate, 1,000 shots", goal=""):
        found = AerSimulator(max_parallel_threads=1, seed_simulator=SEED).run(compiled, shots=shots).result()
    counts = [dict(found.get_counts(each)) for each in compiled]
    with clock.step(f"{name}: score", goal="1"):
        _score(config, data.model_dump(mode="json"), [len(circuits)], [counts])


CASES = (colouring, mirror, eplg, lr_qaoa, quantum_volume, quantum_fourier_transform)


def _from_suite(name: str) -> dict[str, Any]:
    """Return one configuration of the shipped composite suite."""
    suite = json.loads((files("metriq_gym") / "suites" / "metriq_score_1_0.json").read_text(encoding="utf-8"))
    (config,) = (each["config"] for each in suite["benchmarks"] if each["name"] == name)
    return validate(config)[0]


def _heavy_hex(distance: int) -> Device:
    graph = rx.generators.heavy_hex_graph(distance)
    edges = tuple(sorted((min(pair), max(pair)) for pair in graph.edge_list()))
    return Device("local", f"heavy_hex_{graph.num_nodes()}", graph.num_nodes(), simulator=True, edges=edges)


def _noisy_zeros(qubits: int, shots: int, flip: float, rng: np.random.Generator) -> dict[str, int]:
    """Counts of zeros each of which has turned into a one with probability `flip`."""
    ones: NDArray[np.bool_] = rng.random((shots, qubits)) < flip
    keys, occurrences = np.unique((ones + np.uint8(ord("0"))).view(f"S{qubits}").ravel(), return_counts=True)
    return {key.decode(): int(count) for key, count in zip(keys, occurrences, strict=True)}


def _score(
    config: dict[str, Any], data: dict[str, Any], circuits: Sequence[int], counts: Sequence[Sequence[dict[str, int]]]
) -> None:
    shares = [scoring.Share(number, 0, pack_counts(each), None) for number, each in enumerate(counts)]
    scoring.score(config, SEED, data, circuits, shares)
