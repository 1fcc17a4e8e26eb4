"""TyxonQ's counts and Qiskit's: the one place that knows in which order the device writes its bits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from metriq_gym.providers.tyxonq.errors import ProtocolError
from metriq_gym.providers.tyxonq.models import TaskDetail
from metriq_gym.providers.tyxonq.whole import whole

if TYPE_CHECKING:
    from qiskit import QuantumCircuit


class CountsOrder(StrEnum):
    """Which measured qubit the leftmost character of the device's bitstrings belongs to."""

    MEASURED_FIRST = "measured-first"
    """The first measured one, normally q[0]: what public recordings show, though none is asymmetric."""
    QISKIT = "qiskit"
    """The last measured one."""


@dataclass(frozen=True, slots=True)
class MeasurementMap:
    """Which classical bits of a circuit come from which qubits.

    The circuit's text measures these qubits in ascending order into ``c[0]``, ``c[1]``, …, so that the device's
    bitstrings mean the same whether it orders them by qubit, by classical bit or by statement.
    """

    pairs: tuple[tuple[int, int], ...]
    """Measured qubit and the classical bit it is for, ascending by qubit."""
    num_clbits: int


def measurement_map(circuit: QuantumCircuit) -> MeasurementMap:
    """Return where a circuit's classical bits come from; a bit that is measured into twice keeps the later outcome."""
    qubit_of = {
        circuit.find_bit(instruction.clbits[0]).index: circuit.find_bit(instruction.qubits[0]).index
        for instruction in circuit.data
        if instruction.name == "measure"
    }
    return MeasurementMap(tuple(sorted((qubit, clbit) for clbit, qubit in qubit_of.items())), circuit.num_clbits)


def counts_of(task: TaskDetail, shots: int) -> dict[str, int]:
    """Return a completed task's counts as the device wrote them.

    `shots` is what was asked for; fewer may come back, as where a device leaves shots out. Raises `ProtocolError` for
    a result that is missing, empty, or is not counts: keys other than bitstrings of one length, values other than
    whole numbers, more outcomes than shots.
    """
    result = task.result
    if isinstance(result, dict) and "counts" in result:
        result = result["counts"]
    if not isinstance(result, dict) or not result:
        raise ProtocolError(f"task {task.id} has no counts, its result is {type(task.result).__name__}")
    counts = {}
    for key, value in result.items():
        if not key or not set(key) <= {"0", "1"}:
            raise ProtocolError(f"task {task.id} has counts of {key[:80]!r}, which is no bitstring")
        times = whole(value)
        if times is None or times < 0:
            raise ProtocolError(f"task {task.id} counted {key[:80]!r} {str(value)[:80]!r} times")
        counts[key] = times
    if len({len(key) for key in counts}) > 1:
        raise ProtocolError(f"task {task.id} has bitstrings of different lengths")
    if not 0 < (total := sum(counts.values())) <= shots:
        raise ProtocolError(f"task {task.id} has {total} outcomes of {shots} shots")
    return counts


def to_qiskit_counts(measured: MeasurementMap, counts: Mapping[str, int], order: CountsOrder) -> dict[str, int]:
    """Return the device's counts under the circuit's own classical bits, the highest one leftmost.

    Bits that no qubit was measured into are 0, outcomes that did not occur are left out. Raises `ProtocolError` when
    the bitstrings are not as long as there are measured qubits.
    """
    positions = [measured.num_clbits - 1 - clbit for _, clbit in measured.pairs]
    if order is CountsOrder.QISKIT:
        positions.reverse()
    converted = {}
    for key, value in counts.items():
        if len(key) != len(positions):
            raise ProtocolError(f"the device sent bitstrings of {len(key)} bits for {len(positions)} measured qubits")
        if value:
            bits = ["0"] * measured.num_clbits
            for position, bit in zip(positions, key, strict=True):
                bits[position] = bit
            converted["".join(bits)] = value
    return converted
