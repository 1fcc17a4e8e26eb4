"""Chooses how each component is simulated exactly, and says what that takes at most."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from math import pi

from metriq_gym.errors import Unsupported
from metriq_gym.providers.aer.components import Component, flatten
from metriq_gym.providers.aer.line import Line, lay

_CLIFFORD = "cx cy cz delay ecr h id measure pauli reset s sdg swap sx sxdg x y z"
CLIFFORD = frozenset(_CLIFFORD.split())
STABILIZER_FROM = 11
"""Qubits from which a Clifford component is cheaper as a tableau than as a state vector."""
STATE_VECTOR_TO = 20
"""Qubits up to which a state vector (16 MiB) is preferred to a matrix product state."""
DENSITY_MATRIX_TO = 8
"""Qubits up to which one noisy density matrix is cheaper than a thousand noisy trajectories, whatever the circuit."""
_MATRIX_SECONDS = 23e-9
"""What a two-qubit operation costs for each entry of a density matrix; Aer fuses those on one pair in a row."""
_TRAJECTORY_SECONDS = 8.7e-9
"""What an operation with its noise costs for each entry of one trajectory's vector. Both are measured
(docs/performance.md)."""

_COMPLEX = 16  # bytes
_MIB = 2**20


class Method(StrEnum):
    """Aer's names of the simulation methods used; each gives the exact distribution of outcomes."""

    STATE_VECTOR = "statevector"
    DENSITY_MATRIX = "density_matrix"
    STABILIZER = "stabilizer"
    MATRIX_PRODUCT_STATE = "matrix_product_state"


@dataclass(frozen=True, slots=True)
class SimulationPlan:
    """How to simulate a component, and the most bytes that its state takes."""

    method: Method
    component: Component
    """The component as the method wants it: a matrix product state wants its qubits in line."""
    memory: int


def plan_ideal(component: Component, memory_bytes: int) -> SimulationPlan:
    """Choose a method for a component without noise. Raises `Unsupported` when none fits in memory."""
    qubits = len(component.qubits)
    if qubits >= STABILIZER_FROM and is_clifford(component):
        memory = tableau_bytes(qubits)
        if memory <= memory_bytes:
            return SimulationPlan(Method.STABILIZER, component, memory)
    vector = state_vector_bytes(qubits)
    line = lay(component) if qubits > STATE_VECTOR_TO else None
    if line is not None and line.memory <= min(memory_bytes, vector):
        return SimulationPlan(Method.MATRIX_PRODUCT_STATE, line.component, line.memory)
    if vector <= memory_bytes:
        return SimulationPlan(Method.STATE_VECTOR, component, vector)
    raise _too_big(qubits, memory_bytes, line)


def plan_noisy(component: Component, memory_bytes: int, shots: int = 1) -> SimulationPlan:
    """Choose the cheaper method for `shots` of a component with a device's noise, of those that fit in memory.

    Raises `Unsupported` when none does.

    The stabilizer method is left out, because the amplitude damping of the profiles is not a Clifford channel; so
    are matrix product states, because two-qubit noise widens the bonds and every shot is simulated anew.
    """
    qubits = len(component.qubits)
    matrix = state_vector_bytes(2 * qubits)
    is_cheaper = qubits <= DENSITY_MATRIX_TO or matrix_seconds(component) < trajectory_seconds(component) * shots
    if is_cheaper and matrix <= memory_bytes and is_sampled(component):
        return SimulationPlan(Method.DENSITY_MATRIX, component, matrix)
    vector = state_vector_bytes(qubits)
    if vector <= memory_bytes:
        return SimulationPlan(Method.STATE_VECTOR, component, vector)
    raise _too_big(qubits, memory_bytes)


def matrix_seconds(component: Component) -> float:
    """Return about what one density matrix costs: what acts on one pair of qubits in a row is one operation."""
    pairs: dict[object, object] = {}
    operations = 0
    for instruction in component.instructions:
        if len(instruction.qubits) < 2 or instruction.is_directive():
            continue
        pair = frozenset(instruction.qubits)
        if any(pairs.get(qubit) != pair for qubit in pair):
            operations += 1
            pairs |= dict.fromkeys(pair, pair)
    return float(_MATRIX_SECONDS * operations * 4 ** len(component.qubits))


def trajectory_seconds(component: Component) -> float:
    """Return about what one shot costs as a trajectory."""
    operations = sum(not instruction.is_directive() for instruction in component.instructions)
    return float(_TRAJECTORY_SECONDS * operations * 2 ** len(component.qubits))


def state_vector_bytes(qubits: int) -> int:
    """Size of a state vector in double precision."""
    return int(_COMPLEX * 2**qubits)


def tableau_bytes(qubits: int) -> int:
    """Size of two stabilizer tableaux as Aer stores them: the state, and the copy it is sampled from."""
    return 2 * 2 * qubits * (16 * (4 + qubits) + 16)


def is_clifford(component: Component) -> bool:
    """Whether Aer's stabilizer method can run every operation."""
    return all(
        instruction.name in CLIFFORD
        or instruction.is_control_flow()
        or (instruction.name == "rz" and _is_multiple(instruction.params[0], pi / 2))
        for instruction in flatten(component.instructions)
    )


def is_sampled(component: Component) -> bool:
    """Whether all shots can be drawn from one final state: nothing happens after a measurement, no reset."""
    measured: set[object] = set()
    for instruction in component.instructions:
        if instruction.is_control_flow() or instruction.name == "reset":
            return False
        if not measured.isdisjoint(instruction.qubits):
            return False
        if instruction.name == "measure":
            measured.update(instruction.qubits)
    return True


def _is_multiple(angle: float, unit: float) -> bool:
    return abs(angle / unit - round(angle / unit)) < 1e-12


def _too_big(qubits: int, memory_bytes: int, line: Line | None = None) -> Unsupported:
    most = max((memory_bytes // _COMPLEX).bit_length() - 1, 0)
    otherwise = "" if line is None else f" or as a matrix product state ({_readable(line.memory)})"
    return Unsupported(
        f"needs {qubits} qubits as one state vector ({_readable(state_vector_bytes(qubits))}){otherwise}; "
        f"at most {most} qubits fit in {memory_bytes // _MIB} MiB"
    )


def _readable(size: int) -> str:
    amount = size / 2**30
    return f"{amount:,.1f} GiB" if amount < 1e6 else f"{amount:.0e} GiB"
