"""How circuits and counts are kept in the store: compressed, and never more than fits one document."""

from __future__ import annotations

import io
import json
import zlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from qiskit import QuantumCircuit

MAX_BYTES = 6 * 2**20
"""Bound on a task's packed circuits, and on its counts before packing; a MongoDB document holds 16 MiB."""

_LEVEL = 1  # of zlib: the higher levels cost much more time than the bytes they save


def pack_circuits(circuits: Sequence[QuantumCircuit]) -> bytes:
    """Return `circuits` as compressed QPY."""
    from qiskit import qpy

    buffer = io.BytesIO()
    qpy.dump(list(circuits), buffer)
    return zlib.compress(buffer.getvalue(), _LEVEL)


def unpack_circuits(packed: bytes) -> list[QuantumCircuit]:
    """Return the circuits that `pack_circuits` was given."""
    from qiskit import qpy

    circuits: list[QuantumCircuit] = qpy.load(io.BytesIO(zlib.decompress(packed)))
    return circuits


def pack_counts(counts: Sequence[Mapping[str, int]]) -> bytes:
    """Return the counts of each circuit as compressed JSON."""
    return zlib.compress(json.dumps([dict(each) for each in counts], separators=(",", ":")).encode(), _LEVEL)


def unpack_counts(packed: bytes) -> list[dict[str, int]]:
    """Return the counts that `pack_counts` was given."""
    counts: list[dict[str, int]] = json.loads(zlib.decompress(packed))
    return counts


def max_counts_bytes(num_clbits: int, shots: int) -> int:
    """Return the most bytes one circuit's counts can take before compression."""
    return min(shots, 1 << num_clbits) * max_outcome_bytes(num_clbits, shots)


def max_outcome_bytes(num_clbits: int, shots: int) -> int:
    """Return the most bytes one outcome of them can take."""
    return num_clbits + len('"":,') + len(str(shots))
