"""A plain circuit: no benchmark, but run as one. Its result is its counts, and what they say of products of Z."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from metriq_gym.benchmarks.benchmark import (
    Benchmark,
    BenchmarkData,
    BenchmarkDevice,
    BenchmarkResult,
    BenchmarkScore,
    RunResult,
)
from metriq_gym.benchmarks.openqasm import read_measured_circuit
from metriq_gym.benchmarks.returned import counts_of
from metriq_gym.benchmarks.statistics import binomial
from metriq_gym.errors import Unsupported

MAX_CHARACTERS = 2_000_000
"""Of all bitstrings of a result: it has to fit a document of the store."""


@dataclass(frozen=True, slots=True)
class CircuitParams:
    """Configuration of `Circuit`."""

    qasm: str
    shots: int
    observables: Sequence[str]


@dataclass(frozen=True, slots=True)
class CircuitResult(BenchmarkResult):
    """What was counted. There is no score."""

    shots: int
    """Outcomes that came back."""
    outcomes: int
    """Bitstrings that were seen; `counts` has the most frequent of them, all of them unless there are very many."""
    counts: Mapping[str, int]
    """By bitstring, the most frequent first; the leftmost character is the highest classical bit."""
    expectation_values: Mapping[str, BenchmarkScore]
    """Of each product of Z that was asked for, with its standard error from the shots."""


class Circuit(Benchmark[CircuitParams, BenchmarkData]):
    """A circuit in OpenQASM 2 or 3 with measurements, run as it is.

    References
    ----------
    OpenQASM: https://openqasm.com
    """

    params_type = CircuitParams

    def dispatch_handler(self, device: BenchmarkDevice) -> BenchmarkData:
        """Run the circuit.

        Raises
        ------
        Unsupported
            For a circuit that cannot be read, is too wide or measures nothing, and for an observable of another
            length than the circuit's classical bits.
        """
        circuit = read_measured_circuit(self.params.qasm, device.num_qubits)
        for observable in self.params.observables:
            if len(observable) != circuit.num_clbits:
                raise Unsupported(
                    f"observable {observable!r} has {len(observable)} characters and the circuit "
                    f"{circuit.num_clbits} classical bits: one for each, the leftmost of the highest bit"
                )
        device.run(circuit, self.params.shots)
        return BenchmarkData()

    def poll_handler(self, job_data: BenchmarkData, result_data: Sequence[RunResult]) -> CircuitResult:
        """Return the counts and the expectation values."""
        (counts,) = counts_of(result_data, 1)
        ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
        kept = ranked[: MAX_CHARACTERS // max(1, len(ranked[0][0]))]
        return CircuitResult(
            shots=sum(counts.values()),
            outcomes=len(counts),
            counts=dict(kept),
            expectation_values={each: expectation_value(each, counts) for each in self.params.observables},
        )


def expectation_value(observable: str, counts: Mapping[str, int]) -> BenchmarkScore:
    """Return ⟨Z…⟩ of the bits that have a Z in `observable`, whose characters stand as those of the bitstrings do.

    Parameters
    ----------
    observable
        A letter, Z or I, for each classical bit, the leftmost for the highest bit.
    counts
        Bitstring → occurrences.
    """
    places = [place for place, letter in enumerate(observable) if letter == "Z"]
    even = sum(count for bits, count in counts.items() if sum(bits[place] == "1" for place in places) % 2 == 0)
    if not places:
        return BenchmarkScore(1.0, 0.0)
    frequency = binomial(even, sum(counts.values()))
    return BenchmarkScore(2 * frequency.value - 1, 2 * (frequency.uncertainty or 0.0))
