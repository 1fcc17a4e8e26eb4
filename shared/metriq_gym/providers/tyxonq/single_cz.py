"""A compiler pass that writes a two-qubit gate with one CZ, or with none, where that is exactly enough."""

from __future__ import annotations

from qiskit.circuit.library import CZGate
from qiskit.converters import circuit_to_dag
from qiskit.dagcircuit import DAGCircuit
from qiskit.quantum_info import Operator
from qiskit.synthesis import TwoQubitBasisDecomposer
from qiskit.transpiler.basepasses import TransformationPass

_CLOSE = 1e-12  # of a unitary's elements; the decomposer itself takes π/2 + 1e-9 for π/2
_with_cz = TwoQubitBasisDecomposer(CZGate(), euler_basis="ZXZ")


class SingleCZ(TransformationPass):  # type: ignore[misc]  # Qiskit has no types
    """Replaces gates such as rzz(±π/2), rxx(π/2), cp(π) and ecr, which Qiskit's definitions write with two CX.

    Each gate is looked at alone: nothing is merged or cancelled.
    """

    def run(self, dag: DAGCircuit) -> DAGCircuit:
        """Replace what can be replaced in `dag`, in place."""
        for node in dag.two_qubit_ops():
            if node.name in ("cx", "cz") or node.matrix is None or _with_cz.num_basis_gates(node.matrix) > 1:
                continue
            circuit = _with_cz(node.matrix)
            if Operator(circuit).equiv(Operator(node.matrix), rtol=0, atol=_CLOSE):
                dag.substitute_node_with_dag(node, circuit_to_dag(circuit))
        return dag
