"""Reads OpenQASM 2 text as the device does: ten operations, measurements last, as many qubits as there are."""

from __future__ import annotations

import re
from dataclasses import dataclass

from qiskit import QuantumCircuit, qasm2

GATES = frozenset({"h", "x", "y", "z", "s", "t", "rz", "cx", "cz"})
UNLISTED_GATES = frozenset({"sdg", "tdg", "rx"})

_COMMENT = re.compile(r"//[^\n]*")
_CREG = re.compile(r"\bcreg\b")
_QREG = re.compile(r"\bqreg\s+(\w+)\s*\[\s*(\d+)\s*\]\s*;")
_MEASURE = re.compile(r"\bmeasure\s+(\w+)\s*(?:\[\s*\d+\s*\])?\s*->\s*(\w+)\s*(?:\[\s*(\d+)\s*\])?\s*;")


class CircuitRefused(Exception):
    """The device cannot run this text."""


@dataclass(frozen=True, slots=True)
class Circuit:
    """A circuit that the device runs."""

    qubits: int
    """As declared, used or not."""
    depth: int
    measured: QuantumCircuit
    """On the used qubits alone; classical bit i holds the i-th measurement of the text."""


def read_circuit(source: str, *, max_qubits: int, accept_missing_creg: bool, accept_unlisted_gates: bool) -> Circuit:
    """Parse and check; CircuitRefused says what is wrong, with line and column where the parser knows them."""
    text = _with_creg(source) if accept_missing_creg else source
    try:
        circuit = qasm2.loads(text)
    except qasm2.QASM2ParseError as error:
        raise CircuitRefused(error.message) from error
    if circuit.num_qubits > max_qubits:
        raise CircuitRefused(f"{circuit.num_qubits} qubits declared; the device has {max_qubits}")
    return Circuit(circuit.num_qubits, circuit.depth(), _measured_last(circuit, accept_unlisted_gates))


def _measured_last(circuit: QuantumCircuit, accept_unlisted_gates: bool) -> QuantumCircuit:
    allowed = GATES | UNLISTED_GATES if accept_unlisted_gates else GATES
    measured = []
    gates = []
    for step in circuit.data:
        if step.name == "measure":
            measured.append(step.qubits[0])
        elif step.name not in allowed:
            raise CircuitRefused(f"{step.name} is not supported; there are {' '.join(sorted(allowed))} measure")
        else:
            gates.append(step)
        if len(set(measured)) < len(measured) or (step.name != "measure" and not set(measured).isdisjoint(step.qubits)):
            raise CircuitRefused(f"{step.name} on a qubit that was measured before")
    if not measured:
        raise CircuitRefused("nothing is measured")
    used = {qubit for step in circuit.data for qubit in step.qubits}
    index = {qubit: position for position, qubit in enumerate(q for q in circuit.qubits if q in used)}
    compact = QuantumCircuit(len(index), len(measured))
    for step in gates:
        compact.append(step.operation, [index[qubit] for qubit in step.qubits])
    compact.measure([index[qubit] for qubit in measured], range(len(measured)))
    return compact


def _with_creg(source: str) -> str:
    """Declare the classical registers that the measurements name, as the page's own sample needs."""
    code = _COMMENT.sub("", source)
    if _CREG.search(code):
        return source
    qubits = {name: int(size) for name, size in _QREG.findall(code)}
    sizes: dict[str, int] = {}
    for qreg, name, index in _MEASURE.findall(code):
        size = int(index) + 1 if index else qubits.get(qreg, 1)
        sizes[name] = max(sizes.get(name, 0), size)
    # On the line of the quantum register, so that line numbers in errors stay the author's.
    declarations = "".join(f" creg {name}[{size}];" for name, size in sizes.items())
    return _QREG.sub(lambda match: match[0] + declarations, source, count=1)
