"""What Aer's samples are checked against: exact distributions from `qiskit.quantum_info`, and a chi-square test."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

import numpy as np
from qiskit import QuantumCircuit
from qiskit.quantum_info import DensityMatrix, SuperOp
from scipy.stats import chi2

KETS = np.eye(2)


def exact(circuit: QuantumCircuit, noise: Any = None) -> dict[str, float]:
    """Probability of each bitstring, following one density matrix per value of the classical bits."""
    states = _run(circuit, {0: DensityMatrix.from_label("0" * circuit.num_qubits)}, noise)
    found = {format(value, f"0{circuit.num_clbits}b"): float(rho.trace().real) for value, rho in states.items()}
    return {key: probability for key, probability in found.items() if probability > 1e-12}


def plausible(counts: Mapping[str, int], probabilities: Mapping[str, float], p_value: float = 1e-5) -> bool:
    """Whether Pearson's chi-square test accepts the counts; outcomes expected under 5 times share one bin."""
    if set(counts) - set(probabilities):
        return False
    shots = sum(counts.values())
    bins: defaultdict[str, float] = defaultdict(float)
    expected: defaultdict[str, float] = defaultdict(float)
    for key, probability in probabilities.items():
        name = key if shots * probability >= 5 else "rare"
        bins[name] += counts.get(key, 0)
        expected[name] += shots * probability
    if len(expected) == 1:
        return True
    statistic = sum((bins[name] - mean) ** 2 / mean for name, mean in expected.items())
    return bool(chi2.sf(statistic, len(expected) - 1) > p_value)


def _run(circuit: QuantumCircuit, states: dict[int, DensityMatrix], noise: Any) -> dict[int, DensityMatrix]:
    for instruction in circuit.data:
        qubits = [circuit.find_bit(qubit).index for qubit in instruction.qubits]
        clbits = [circuit.find_bit(clbit).index for clbit in instruction.clbits]
        if instruction.name == "barrier":
            continue
        after: dict[int, DensityMatrix] = {}
        for value, rho in states.items():
            for new, part in _apply(instruction, qubits, clbits, value, rho, noise):
                after[new] = after[new] + part if new in after else part
        states = {value: rho for value, rho in after.items() if rho.trace().real > 1e-14}
    return states


def _apply(
    instruction: Any, qubits: list[int], clbits: list[int], value: int, rho: DensityMatrix, noise: Any
) -> list[tuple[int, DensityMatrix]]:
    operation = instruction.operation
    if instruction.name == "measure":
        (clbit,) = clbits
        kept = value & ~(1 << clbit)
        parts = [rho.evolve(SuperOp(np.kron(p, p)), qubits) for p in (np.outer(ket, ket) for ket in KETS)]
        readout = np.eye(2) if noise is None else noise._local_readout_errors[tuple(qubits)].probabilities
        return [(kept | (read << clbit), parts[true] * readout[true][read]) for true in (0, 1) for read in (0, 1)]
    if instruction.name == "if_else":
        clbit, wanted = operation.condition
        position = list(instruction.clbits).index(clbit)
        block = operation.blocks[0] if (value >> clbits[position] & 1) == wanted else (*operation.blocks, None)[1]
        for inner in block.data if block is not None else ():
            gate_qubits = [qubits[block.find_bit(qubit).index] for qubit in inner.qubits]
            rho = rho.evolve(inner.operation, gate_qubits)
        return [(value, rho)]
    rho = rho.reset(qubits) if instruction.name == "reset" else rho.evolve(operation, qubits)
    if noise is not None:
        error = noise._local_quantum_errors.get(instruction.name, {}).get(tuple(qubits))
        rho = rho if error is None else rho.evolve(SuperOp(error), qubits)
    return [(value, rho)]
