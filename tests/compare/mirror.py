"""`python -m tests.compare.mirror`: Mirror Circuits with barriers between all layers, and with the reference tool's."""

from __future__ import annotations

from collections.abc import Iterator
from statistics import fmean, stdev
from typing import Any

import numpy as np
from qiskit import QuantumCircuit

from metriq_gym.benchmarks.mirror_circuits import expected_bitstring, mirror_circuit, polarize, random_layers
from metriq_gym.benchmarks.statistics import binomial
from metriq_gym.providers.aer import devices
from metriq_gym.providers.aer.provider import AerProvider

WIDTH, LAYERS, PROBABILITY, SHOTS = 5, 3, 0.5, 1000
SEEDS = range(100)


def circuits(seed: int) -> Iterator[tuple[str, QuantumCircuit, str]]:
    """Yield the same circuit with all of its barriers and with those around centre and first layer, and its outcome."""
    rng = np.random.default_rng(seed)
    layers = random_layers(WIDTH, LAYERS, PROBABILITY, rng)
    central = rng.integers(4, size=WIDTH)
    circuit = mirror_circuit(layers, central, "CNOT")
    outcome = expected_bitstring(layers, central, "CNOT")
    yield "every layer", circuit, outcome
    barriers = [number for number, each in enumerate(circuit.data) if each.name == "barrier"]
    half = sum(1 + bool(layer.paulis.any()) for layer in layers) - 1
    kept = {barriers[number] for number in (0, half, half + bool(central.any()), -2, -1)}
    bare = circuit.copy_empty_like()
    for number, each in enumerate(circuit.data):
        if each.name != "barrier" or number in kept:
            bare.append(each)
    yield "as the reference tool", bare, outcome


def main(device_id: str = "fake_guadalupe") -> None:
    """Print gates and polarisation of both, at levels 1 and 2."""
    provider, device = AerProvider(), devices.describe(device_id)
    found: dict[tuple[str, str], list[tuple[int, int, float]]] = {}
    for seed in SEEDS:
        for name, circuit, outcome in circuits(seed):
            level: Any
            for level in ("1", "2"):
                (compiled,) = provider.compiler(device, [circuit], seed, level)
                counts = provider.simulation(device_id, [compiled], SHOTS, seed).counts[0]
                score = polarize(binomial(counts.get(outcome, 0), SHOTS), WIDTH).value
                pairs = compiled.num_nonlocal_gates()
                found.setdefault((name, level), []).append((circuit.num_nonlocal_gates(), pairs, score))
    for (name, level), each in found.items():
        built, pairs, scores = zip(*each, strict=True)
        error = stdev(scores) / len(scores) ** 0.5
        print(
            f"{name}, level {level}: {fmean(built):.2f} -> {fmean(pairs):.2f} gates, {fmean(scores):.4f} ± {error:.4f}"
        )


if __name__ == "__main__":
    main()
