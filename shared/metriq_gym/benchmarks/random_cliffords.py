"""The 24 one-qubit Clifford gates: as words of named gates, and as maps of Pauli operators.

Element k = h + 2·r + 6·p applies H h times, then nothing, SX† or S (r = 0, 1, 2), then I, X, Y or Z (p).
This is the numbering of Qiskit Experiments. The words use only gates that stabiliser simulators know.
"""

from __future__ import annotations

from itertools import product

import numpy as np
from numpy.typing import NDArray

ORDER = 24

PAULIS = ((), ("x",), ("y",), ("z",))

WORDS: tuple[tuple[str, ...], ...] = tuple(
    h + r + p for p, r, h in product(PAULIS, ((), ("sxdg",), ("s",)), ((), ("h",)))
)
"""Gate names of each element in the order of application."""

_INVERSE_NAME = {"s": "sdg", "sxdg": "sx"}

INVERSE_WORDS: tuple[tuple[str, ...], ...] = tuple(
    tuple(_INVERSE_NAME.get(name, name) for name in reversed(word)) for word in WORDS
)
"""Gate names that undo each element."""

_ACTION = {"h": ((0, 1), (1, 0)), "s": ((1, 0), (1, 1)), "sxdg": ((1, 1), (0, 1))}
"""What conjugation by a gate does to a Pauli XˣZᶻ: the matrix, modulo 2, that multiplies (x, z)."""


def _pauli_map(word: tuple[str, ...]) -> NDArray[np.uint8]:
    total = np.eye(2, dtype=np.uint8)
    for name in word:
        total = np.array(_ACTION.get(name, np.eye(2)), dtype=np.uint8) @ total % 2
    return total


INVERSE_PAULI_MAPS: NDArray[np.uint8] = np.array([_pauli_map(word) for word in WORDS])[:, ::-1, ::-1].transpose(0, 2, 1)
"""Shape (24, 2, 2): (x, z) → (x′, z′) modulo 2 under C†PC, up to sign.

A 2×2 matrix of determinant 1 modulo 2 is inverted by exchanging its diagonal entries.
"""
