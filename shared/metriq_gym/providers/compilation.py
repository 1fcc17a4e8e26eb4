"""How circuits are compiled: what a request's choice means in Qiskit's levels, and which of several results is best."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import log1p
from typing import TYPE_CHECKING, Any

from metriq_gym.messages import Compilation

if TYPE_CHECKING:
    from qiskit import QuantumCircuit

REFERENCE_LEVEL = 2
"""Qiskit's own default, at which the dataset's tool compiles."""
BEST_LEVEL = 3
CANDIDATES = 8
"""Seeds that ``best`` tries for each circuit."""
_WORST = 1 - 1e-9

ErrorOf = Callable[[str, tuple[int, ...]], float]
"""Probability that an operation of that name on those qubits fails, as far as the calibration tells."""


@dataclass(frozen=True, slots=True)
class Strategy:
    """Qiskit's optimisation level and the seeds to try it with."""

    level: int
    seeds: Sequence[int]


def strategy(compilation: Compilation, seed: int) -> Strategy:
    """Return what a choice means."""
    if compilation == "best":
        return Strategy(BEST_LEVEL, range(seed, seed + CANDIDATES))
    return Strategy(REFERENCE_LEVEL if compilation == "default" else int(compilation), (seed,))


def metadata(compilation: Compilation, seed: int, *, compiled: bool) -> dict[str, Any]:
    """Return what a record says of how its circuits were compiled; the level is None where they were run as built."""
    from qiskit import __version__

    chosen = strategy(compilation, seed)
    return {
        "choice": compilation,
        "level": chosen.level if compiled else None,
        "seed": seed,
        "candidates": len(chosen.seeds),
        "library": f"qiskit {__version__}",
    }


def best(candidates: Sequence[QuantumCircuit], error_of: ErrorOf) -> QuantumCircuit:
    """Return the circuit of the highest expected fidelity; of equals, that of fewest two-qubit gates and depth."""
    if len(candidates) == 1:
        return candidates[0]
    return max(candidates, key=lambda each: (_log_fidelity(each, error_of), -each.num_nonlocal_gates(), -each.depth()))


def _log_fidelity(circuit: QuantumCircuit, error_of: ErrorOf) -> float:
    """Logarithm of the probability that no operation fails, where failures are independent."""
    number = {qubit: index for index, qubit in enumerate(circuit.qubits)}
    logarithm = sum(
        log1p(-min(error_of(instruction.name, tuple(number[qubit] for qubit in instruction.qubits)), _WORST))
        for instruction in circuit.data
        if not instruction.is_directive()
    )
    # What differs by rounding alone is equal, so that a choice does not depend on the machine.
    return round(logarithm, 9)
