"""Joins independently drawn outcomes of a circuit's components into counts of whole bitstrings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Outcomes:
    """One outcome per shot of one component."""

    table: NDArray[np.uint8]
    """Distinct outcomes, shape (outcomes, bits), lowest classical bit first."""
    rows: NDArray[np.intp]
    """Row of `table` drawn in each shot, shape (shots,)."""


def draw(counts: Mapping[str, int], bits: int, copies: int, rng: np.random.Generator) -> list[Outcomes]:
    """Deal out the counts of ``copies × shots`` runs of one component as `copies` sequences of shots.

    Runs are independent and identically distributed, so every order of them is equally likely: a random one makes
    the copies independent of each other and of every other component. `counts` has Aer's hexadecimal keys.
    """
    width = (bits + 7) // 8
    packed = b"".join(int(key, 16).to_bytes(width, "little") for key in counts)
    table = np.unpackbits(np.frombuffer(packed, np.uint8).reshape(-1, width), axis=1, count=bits, bitorder="little")
    rows = rng.permutation(np.repeat(np.arange(len(counts)), list(counts.values())))
    return [Outcomes(table, part) for part in np.split(rows, copies)]


def join(parts: Sequence[tuple[Sequence[int], Outcomes]], num_clbits: int, shots: int) -> dict[str, int]:
    """Count whole bitstrings, highest classical bit leftmost; bits of no component are 0.

    `parts` gives for each component where its bits belong and its outcomes.
    """
    bits = np.zeros((shots, num_clbits), np.uint8)
    for positions, outcomes in parts:
        bits[:, positions] = outcomes.table[outcomes.rows]
    packed = np.packbits(bits[:, ::-1], axis=1)
    whole = packed.view(np.dtype((np.void, packed.shape[1]))).ravel()
    distinct, counts = np.unique(whole, return_counts=True)
    rows = np.unpackbits(distinct.view(np.uint8).reshape(-1, packed.shape[1]), axis=1, count=num_clbits)
    text = (rows + ord("0")).astype(np.uint8).tobytes().decode("ascii")
    keys = (text[start : start + num_clbits] for start in range(0, len(text), num_clbits))
    return dict(zip(keys, counts.tolist(), strict=True))
