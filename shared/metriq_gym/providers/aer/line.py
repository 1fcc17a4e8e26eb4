"""Lays a circuit along a line of qubits and bounds its entanglement, for simulation as a matrix product state."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from qiskit.circuit import CircuitInstruction
from qiskit.circuit.library import SwapGate

from metriq_gym.providers.aer.components import Component

_ONE = "delay h id measure p r reset rx ry rz s sdg sx sxdg t tdg u u1 u2 u3 unitary x y z"
_TWO_OF_RANK_TWO = "cp csx cx cy cz ecr rxx ryy rzx rzz"
_TWO_OF_RANK_FOUR = "swap unitary"

ONE_QUBIT = frozenset(_ONE.split())
SCHMIDT_EXPONENT = dict.fromkeys(_TWO_OF_RANK_TWO.split(), 1) | dict.fromkeys(_TWO_OF_RANK_FOUR.split(), 2)
"""Base-2 logarithm of (a bound on) each two-qubit gate's operator Schmidt rank."""

_COMPLEX = 16  # bytes


@dataclass(frozen=True, slots=True)
class Line:
    """A component with every two-qubit gate between neighbours, and what its state can take at most."""

    component: Component
    """The same component, its qubits in the order of the line and SWAPs inserted."""
    exponents: tuple[int, ...]
    """Base-2 logarithm of the largest bond dimension that each inner bond can ever need."""

    @property
    def memory(self) -> int:
        """Most bytes that the simulation can take: the state, the copy it is sampled from, and one SVD."""
        bonds = [1 << exponent for exponent in (0, *self.exponents, 0)]
        state = sum(2 * left * right for left, right in pairwise(bonds))
        largest = 2 * max(bonds)
        return _COMPLEX * (2 * state + 5 * largest * largest)


def lay(component: Component) -> Line | None:
    """Lay `component` along a line, or return None when one of its operations cannot be.

    The bound is exact: a gate of operator Schmidt rank r on a bond multiplies its Schmidt rank by at most r, and
    the rank of one bond is at most twice that of the next (Vidal, PRL 91, 147902 (2003)).
    """
    if not all(_possible(instruction) for instruction in component.instructions):
        return None
    number = {qubit: i for i, qubit in enumerate(component.qubits)}
    pairs = {
        tuple(number[q] for q in instruction.qubits)
        for instruction in component.instructions
        if len(instruction.qubits) == 2
    }
    order = [component.qubits[i] for i in _narrow_order(len(number), pairs)]
    at = list(order)
    place = {qubit: i for i, qubit in enumerate(at)}
    bounds = [0] * (len(order) + 1)
    peaks = list(bounds)
    laid: list[CircuitInstruction] = []

    def apply(instruction: CircuitInstruction, places: Sequence[int]) -> None:
        laid.append(instruction.replace(qubits=tuple(order[i] for i in places)))
        if len(places) == 2:
            bond = max(places)
            bounds[bond] = min(
                bounds[bond] + SCHMIDT_EXPONENT[instruction.name], bounds[bond - 1] + 1, bounds[bond + 1] + 1
            )
            peaks[bond] = max(peaks[bond], bounds[bond])

    for instruction in component.instructions:
        if len(instruction.qubits) == 2:
            near, far = sorted(place[qubit] for qubit in instruction.qubits)
            for i in range(far, near + 1, -1):
                apply(CircuitInstruction(SwapGate(), (order[i - 1], order[i])), (i - 1, i))
                at[i - 1], at[i] = at[i], at[i - 1]
                place[at[i - 1]], place[at[i]] = i - 1, i
        apply(instruction, [place[qubit] for qubit in instruction.qubits])
    return Line(replace(component, qubits=tuple(order), instructions=laid), tuple(peaks[1:-1]))


def _possible(instruction: CircuitInstruction) -> bool:
    match len(instruction.qubits):
        case 1:
            return instruction.name in ONE_QUBIT
        case 2:
            return instruction.name in SCHMIDT_EXPONENT
    return False


def _narrow_order(size: int, pairs: Iterable[tuple[int, ...]]) -> list[int]:
    """Order in which interacting qubits are near each other; a chain's own order for a chain."""
    import numpy as np
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import reverse_cuthill_mckee

    rows, columns = np.array(sorted(pairs), dtype=np.int32).reshape(-1, 2).T
    graph = coo_array((np.ones(len(rows)), (rows, columns)), shape=(size, size)).tocsr()
    return [int(i) for i in reverse_cuthill_mckee((graph + graph.T).tocsr(), symmetric_mode=True)]
