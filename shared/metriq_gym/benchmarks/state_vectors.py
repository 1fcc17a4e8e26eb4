"""Exact evolution of state vectors, quick enough for 20 qubits and many circuits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

PlacedGate = tuple[NDArray[np.complex128], tuple[int, ...]]
"""A unitary matrix and its qubits, the first being the lowest bit of the matrix's index (Qiskit's order)."""

BLOCK_SIZE = 16
"""Matrices are combined up to this size: fewer passes over the state, and few enough operations."""


def basis_state(num_qubits: int, index: int) -> NDArray[np.complex128]:
    """Return the computational basis state whose qubit i is bit i of `index`, shape (2ⁿ,)."""
    state = np.zeros(2**num_qubits, dtype=np.complex128)
    state[index] = 1
    return state


def evolved(state: NDArray[np.complex128], gates: Sequence[PlacedGate]) -> NDArray[np.complex128]:
    """Return the state after `gates`; qubit 0 is the lowest bit of the index.

    The state is a tensor with one axis per qubit, permuted once per layer of gates on disjoint qubits so that
    their axes come first. A matrix product then acts on the leading axes and leaves them as the last ones,
    which brings up the next without moving any data.
    """
    width = len(state).bit_length() - 1
    order = list(range(width))[::-1]

    def permuted(target: list[int]) -> NDArray[Any]:
        axes = [order.index(qubit) for qubit in target]
        return state.reshape((2,) * width).transpose(axes).reshape(-1)

    for layer in layers(gates, width):
        # The first qubit of a gate is the lowest bit of its index, hence its last axis.
        acting = [qubit for _, qubits in layer for qubit in reversed(qubits)]
        resting = [qubit for qubit in order if qubit not in acting]
        state = permuted(acting + resting)
        for block in _blocks([matrix for matrix, _ in layer]):
            state = (state.reshape(len(block), -1).T @ block.T).reshape(-1)
        order = resting + acting
    return permuted(list(range(width))[::-1])


def layers(gates: Sequence[PlacedGate], num_qubits: int) -> list[list[PlacedGate]]:
    """Put every gate into the earliest layer in which its qubits are free."""
    depth = [0] * num_qubits
    found: list[list[PlacedGate]] = []
    for matrix, qubits in gates:
        level = max(depth[qubit] for qubit in qubits)
        if level == len(found):
            found.append([])
        found[level].append((matrix, qubits))
        for qubit in qubits:
            depth[qubit] = level + 1
    return found


def _blocks(matrices: Sequence[NDArray[np.complex128]]) -> list[NDArray[np.complex128]]:
    blocks: list[NDArray[Any]] = []
    for matrix in matrices:
        if blocks and len(blocks[-1]) * len(matrix) <= BLOCK_SIZE:
            blocks[-1] = np.kron(blocks[-1], matrix)
        else:
            blocks.append(matrix)
    return blocks
