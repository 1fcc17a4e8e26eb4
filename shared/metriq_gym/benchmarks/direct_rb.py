"""Direct randomised benchmarking: random one-qubit Cliffords between fixed two-qubit gates, and what undoes them.

A Clifford gate is followed through a sequence as the signed Pauli operators it makes of X and Z on each qubit.
The Pauli ∏ XˣZᶻ on qubits 0 and 1 with sign (−1)ˢ is the number x₀ + 2z₀ + 4x₁ + 8z₁ + 16s, so that a gate is a
permutation of 32 numbers (8 for one qubit) and following it is looking up a table.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qiskit import QuantumCircuit
from qiskit.circuit import Gate
from qiskit.circuit.equivalence_library import SessionEquivalenceLibrary
from qiskit.circuit.library import get_standard_gate_name_mapping
from qiskit.exceptions import QiskitError
from qiskit.quantum_info import Operator
from qiskit.transpiler import PassManager
from qiskit.transpiler.passes import BasisTranslator, Optimize1qGatesDecomposition

from metriq_gym.benchmarks.random_cliffords import WORDS
from metriq_gym.errors import Unsupported

X, Z = 1, 2
GENERATORS = np.array([X, 4 * X, Z, 4 * Z])
"""X₀, X₁, Z₀, Z₁."""
_PAULIS = (np.eye(2), np.array([[0, 1], [1, 0]]), np.diag([1, -1]), np.array([[0, -1j], [1j, 0]]))
_NUM_COSETS = 20
"""Two-qubit Cliffords fall into 20 classes that differ by one-qubit gates at the end."""
_UP_TO_PAULIS = 6
"""The first six of `WORDS` differ by more than a Pauli operator, and the others from these only by one."""

Permutation = NDArray[np.int64]


def permutation_of(unitary: NDArray[Any]) -> Permutation:
    """Return the signed Pauli P ↦ U·P·U†, shape (8,) or (32,).

    Parameters
    ----------
    unitary
        Matrix of shape (2, 2) or (4, 4), qubit 0 the lowest bit.

    Raises
    ------
    ValueError
        When the unitary is not a Clifford gate.
    """
    size = len(unitary)
    paulis = np.array(_PAULIS)
    if size == 4:
        paulis = np.array([np.kron(high, low) for high, low in product(_PAULIS, repeat=2)])
    images = unitary @ paulis @ unitary.conj().T
    overlaps = np.einsum("qij,pji->pq", paulis, images).real / size
    number = abs(overlaps).argmax(axis=1)
    coefficient = overlaps[np.arange(len(paulis)), number]
    if not np.allclose(abs(coefficient), 1):
        raise ValueError("not a Clifford gate")
    sign = (coefficient < 0).astype(np.int64)
    return np.concatenate([number + len(paulis) * sign, number + len(paulis) * (1 - sign)])


def _one_qubit_unitary(word: Sequence[str]) -> NDArray[np.complex128]:
    circuit = QuantumCircuit(1)
    for name in word:
        getattr(circuit, name)(0)
    return np.asarray(Operator(circuit).data)


class GateSet:
    """A two-qubit gate with one-qubit gates, and how Clifford gates are made of them.

    `elements[k]` is element k of `WORDS` as gates of the basis, in the order of application.

    Parameters
    ----------
    two_qubit_gate
        Qiskit's name of a Clifford gate without parameters.
    one_qubit_gates
        Qiskit's names of the gates of the basis.

    Raises
    ------
    Unsupported
        When the names are not those of suitable gates, or do not suffice.
    """

    def __init__(self, two_qubit_gate: str, one_qubit_gates: Sequence[str]) -> None:
        known = get_standard_gate_name_mapping()
        for name, width in [(two_qubit_gate, 2), *((name, 1) for name in one_qubit_gates)]:
            gate = known.get(name)
            if not isinstance(gate, Gate) or gate.num_qubits != width:
                raise Unsupported(f"{name!r} is not the name of a {width}-qubit gate")
        self.entangler: Gate = known[two_qubit_gate]
        self.elements = [_in_basis(word, one_qubit_gates) for word in WORDS]
        try:
            self._entangle = permutation_of(self.entangler.to_matrix())
        except (QiskitError, TypeError, ValueError):
            raise Unsupported(f"{two_qubit_gate!r} is not a Clifford gate without parameters") from None
        if len(self._classes[0]) < _NUM_COSETS:
            raise Unsupported(f"{two_qubit_gate!r} does not generate all two-qubit Clifford gates")

    @cached_property
    def one_qubit(self) -> NDArray[np.int64]:
        """Permutations of the one-qubit elements, shape (24, 8)."""
        return np.array([permutation_of(_one_qubit_unitary(word)) for word in WORDS])

    @cached_property
    def layer(self) -> NDArray[np.int64]:
        """Element k on qubit 0 and l on qubit 1, then the two-qubit gate; shape (24, 24, 32)."""
        pauli = np.arange(32)
        low = self.one_qubit[:, None, pauli & 3]
        high = self.one_qubit[None, :, pauli >> 2 & 3]
        sign = pauli >> 4 ^ low >> 2 ^ high >> 2
        return np.asarray(self._entangle[low & 3 | (high & 3) << 2 | sign << 4])

    @cached_property
    def _classes(self) -> tuple[NDArray[np.int64], list[list[tuple[int, int]]]]:
        """One member of each class: permutations, shape (20, 32), and words [(k, l), …] of layers."""
        found: list[tuple[Permutation, list[tuple[int, int]]]] = [(np.arange(32), [])]
        # The list grows while it is gone through: breadth first, so fewest two-qubit gates first.
        for permutation, word in found:
            for pair in product(range(_UP_TO_PAULIS), range(_UP_TO_PAULIS)):
                candidate = self.layer[pair][permutation]
                # The same class if undoing one and doing the other leaves only one-qubit gates.
                if not any(_is_local(candidate[np.argsort(other)[GENERATORS]]) for other, _ in found):
                    found.append((candidate, [*word, pair]))
        return np.array([permutation for permutation, _ in found]), [word for _, word in found]

    @cached_property
    def _restoring(self) -> NDArray[np.int64]:
        """The element that turns the signed Paulis (i, j) into (X, Z), shape (8, 8)."""
        table = np.full((8, 8), -1)
        for element, permutation in enumerate(self.one_qubit):
            origin = np.argsort(permutation)
            table[origin[X], origin[Z]] = element
        return table

    def undo_one(self, images: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the elements that undo gates with the given images of X and Z, shape (gates, 2).

        Parameters
        ----------
        images
            Signed Paulis as numbers, shape (gates, 2).
        """
        return np.asarray(self._restoring[images[:, 0], images[:, 1]])

    def undo_two(self, images: NDArray[np.int64]) -> list[tuple[list[tuple[int, int]], tuple[int, int]]]:
        """Return what undoes gates with the given images of `GENERATORS`, shape (gates, 4).

        Each answer has layers, with as few two-qubit gates as possible, and the elements on qubits 0 and 1
        that follow them.

        Parameters
        ----------
        images
            Signed Paulis as numbers, shape (gates, 4).
        """
        permutations, words = self._classes
        moved = permutations[:, images]
        chosen = _is_local(moved).argmax(axis=0)
        left = moved[chosen, np.arange(len(images))]
        sign = 4 * (left >> 4)
        low = self.undo_one((left & 3 | sign)[:, [0, 2]]).tolist()
        high = self.undo_one((left >> 2 & 3 | sign)[:, [1, 3]]).tolist()
        return [(words[index], pair) for index, pair in zip(chosen, zip(low, high, strict=True), strict=True)]


def _is_local(images: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether images of `GENERATORS`, on the last axis, are each on the generator's own qubit."""
    return np.asarray(((images & np.array([12, 3, 12, 3])) == 0).all(axis=-1))


def _in_basis(word: Sequence[str], basis: Sequence[str]) -> list[Gate]:
    circuit = QuantumCircuit(1)
    for name in word:
        getattr(circuit, name)(0)
    # These two passes are what qiskit.transpile would come to here, without seconds of looking for its plugins.
    passes = [BasisTranslator(SessionEquivalenceLibrary, list(basis)), Optimize1qGatesDecomposition(list(basis))]
    try:
        compiled = PassManager(passes).run(circuit)
    except QiskitError:
        raise Unsupported(f"the gates {list(basis)} do not generate all one-qubit Clifford gates") from None
    return [instruction.operation for instruction in compiled.data]
