"""Splits a circuit into its independent components: parts that share neither a qubit nor a classical bit."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from qiskit import QuantumCircuit
from qiskit.circuit import CircuitInstruction, ClassicalRegister, Clbit, Instruction, Qubit
from qiskit.circuit.classical import expr
from qiskit.circuit.controlflow import ControlFlowOp, condition_resources, node_resources


@dataclass(frozen=True, slots=True)
class Component:
    """A part of a circuit whose outcomes do not depend on the rest; at least one classical bit belongs to it."""

    qubits: tuple[Qubit, ...]
    clbits: tuple[Clbit, ...]
    registers: tuple[ClassicalRegister, ...]
    """Those registers of the circuit that lie wholly in this component."""
    positions: tuple[int, ...]
    """Index in the whole circuit of each of `clbits`, ascending."""
    instructions: Sequence[CircuitInstruction]

    def circuit(self, qubits: Sequence[Qubit] | None = None) -> QuantumCircuit:
        """Return this component alone, on `qubits` in that order (by default its own), without barriers."""
        alone = QuantumCircuit.from_instructions(
            self.instructions, qubits=self.qubits if qubits is None else qubits, clbits=self.clbits
        )
        alone.add_register(*self.registers)
        return alone


def split(circuit: QuantumCircuit) -> list[Component]:
    """Return the components of `circuit` that touch a classical bit, ordered by their first bit.

    Qubits are joined by operations on several of them; classical bits are joined to the qubits that are measured
    into them, and by the conditions and control flow that read them. What no classical bit depends on is left
    out. Barriers join nothing: they say nothing about outcomes.
    """
    number = {bit: i for i, bit in enumerate((*circuit.clbits, *circuit.qubits))}
    parent = list(range(len(number)))

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = i = parent[parent[i]]
        return i

    kept: list[tuple[int, CircuitInstruction]] = []
    for instruction in circuit.data:
        if instruction.name == "barrier":
            continue
        bits = [number[bit] for bit in (*instruction.qubits, *instruction.clbits)]
        if instruction.is_control_flow():
            bits += [number[bit] for bit in _read(instruction.operation)]
        if not bits:
            continue
        first = root(bits[0])
        for other in bits[1:]:
            parent[root(other)] = first
        kept.append((bits[0], instruction))

    members: dict[int, tuple[list[Qubit], list[Clbit], list[CircuitInstruction]]] = {}
    used = {root(bit) for bit, _ in kept}
    for clbit in circuit.clbits:
        if (top := root(number[clbit])) in used:
            members.setdefault(top, ([], [], []))[1].append(clbit)
    for qubit in circuit.qubits:
        if (top := root(number[qubit])) in members:
            members[top][0].append(qubit)
    for bit, instruction in kept:
        if (top := root(bit)) in members:
            members[top][2].append(instruction)

    registers: dict[int, list[ClassicalRegister]] = {}
    for register in circuit.cregs:
        tops = {root(number[bit]) for bit in register}
        if len(tops) == 1:
            registers.setdefault(tops.pop(), []).append(register)
    return [
        Component(
            tuple(qubits),
            tuple(clbits),
            tuple(registers.get(top, ())),
            tuple(number[bit] for bit in clbits),
            instructions,
        )
        for top, (qubits, clbits, instructions) in members.items()
    ]


def operations(circuit: QuantumCircuit) -> set[str]:
    """Names of all operations in `circuit`, those inside control flow too."""
    names = set(circuit.count_ops())
    if circuit.has_control_flow_op():
        names.update(instruction.name for instruction in flatten(circuit.data))
    return names


def flatten(instructions: Iterable[CircuitInstruction]) -> Iterator[CircuitInstruction]:
    """Yield every instruction, and after control flow those inside it."""
    for instruction in instructions:
        yield instruction
        if instruction.is_control_flow():
            for block in instruction.operation.blocks:
                yield from flatten(block.data)


def _read(operation: Instruction) -> Sequence[Clbit]:
    """Classical bits that a control-flow operation reads to decide what to do."""
    assert isinstance(operation, ControlFlowOp)  # noqa: S101  (narrows the type)
    condition = getattr(operation, "condition", None)
    if condition is not None:
        return list(condition_resources(condition).clbits)
    target = getattr(operation, "target", None)
    if target is None:
        return []
    if isinstance(target, expr.Expr):
        return list(node_resources(target).clbits)
    return list(target) if isinstance(target, ClassicalRegister) else [target]
