"""A compiler pass that replaces each run of one-qubit gates by the shortest equal one of rz, h and x."""

from __future__ import annotations

from collections.abc import Sequence
from math import pi, remainder
from typing import Any

import numpy as np
from qiskit import QuantumCircuit
from qiskit.circuit import Gate
from qiskit.circuit.library import HGate, RZGate, XGate
from qiskit.converters import circuit_to_dag
from qiskit.dagcircuit import DAGCircuit
from qiskit.synthesis import OneQubitEulerDecomposer
from qiskit.transpiler.basepasses import TransformationPass

from metriq_gym.providers.tyxonq.qasm import PULSES

_CLOSE = 1e-12  # radians: what rounding leaves after some hundred gates
_euler = OneQubitEulerDecomposer("ZXZ")


class MergeSingleQubitGates(TransformationPass):  # type: ignore[misc]  # Qiskit has no types
    """Merges neighbouring one-qubit gates, up to global phase. Barriers, like everything else, end a run.

    A run stays as it is unless it can do with fewer pulses, or with as many and fewer gates: rz·h·rz·h·rz at most.
    """

    def run(self, dag: DAGCircuit) -> DAGCircuit:
        """Merge all runs of `dag` in place."""
        for run in dag.collect_1q_runs():
            matrix = np.eye(2)
            for node in run:
                matrix = node.op.to_matrix() @ matrix
            gates = shortest(matrix)
            if _cost([gate.name for gate in gates]) < _cost([node.name for node in run]):
                merged = QuantumCircuit(1)
                for gate in gates:
                    merged.append(gate, [0])
                dag.substitute_node_with_dag(run[0], circuit_to_dag(merged))
                for node in run[1:]:
                    dag.remove_op_node(node)
        return dag


def shortest(matrix: Any) -> list[Gate]:
    """Return the gates, first one first, that make up a 2×2 unitary up to global phase.

    With U = Rz(φ)·Rx(θ)·Rz(λ): Rx(0) is nothing, Rx(π/2) ∝ Rz(−π/2)·H·Rz(−π/2), Rx(π) ∝ X, and else
    Rx(θ) = H·Rz(θ)·H.
    """
    theta, phi, lam = _euler.angles(matrix)
    if _is_zero(theta):
        return _rz(phi + lam)
    if _is_zero(theta - pi):
        return [*_rz(lam - phi), XGate()]
    if _is_zero(theta - pi / 2):
        return [*_rz(lam - pi / 2), HGate(), *_rz(phi - pi / 2)]
    return [*_rz(lam), HGate(), *_rz(theta), HGate(), *_rz(phi)]


def _rz(angle: float) -> list[Gate]:
    reduced = remainder(angle, 2 * pi)
    return [] if _is_zero(reduced) else [RZGate(reduced)]


def _is_zero(angle: float) -> bool:
    return abs(angle) < _CLOSE


def _cost(names: Sequence[str]) -> tuple[int, int]:
    return sum(name in PULSES for name in names), len(names)
