"""What the QED-C algorithm benchmarks share: widths, secrets, fidelity and its average (arXiv:2110.03137)."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import sqrt
from random import Random
from statistics import fmean, variance
from typing import Protocol, TypeVar

from qiskit import QuantumCircuit

from metriq_gym.benchmarks.benchmark import (
    Benchmark,
    BenchmarkData,
    BenchmarkDevice,
    BenchmarkResult,
    BenchmarkScore,
    Counts,
    RunResult,
)
from metriq_gym.benchmarks.limits import require_operations, require_qubits
from metriq_gym.benchmarks.returned import counts_of
from metriq_gym.benchmarks.statistics import binomial, parts
from metriq_gym.errors import Permanent, Unsupported

RESCALED_BITS = 16
"""Above this many measured bits the uniform distribution's fidelity is not subtracted."""


class QEDCData(BenchmarkData):
    """Which circuits were run."""

    secrets: list[list[str]]
    """One list per width, one bitstring per circuit, in the order of the circuits."""


@dataclass(frozen=True, slots=True)
class QEDCResult(BenchmarkResult):
    """`accuracy_score` is the mean normalised fidelity over all circuits.

    Its uncertainty is the standard error of that mean over the secrets that might have been drawn, and is also given
    by its parts: `shot_uncertainty` of these circuits' mean, and `circuit_uncertainty` on account of the choice of
    secrets, which is 0 where all of them were run, and None where each width has one of several.

    `circuit_spread` is what the dataset's tool quotes as the uncertainty: the pooled standard deviation
    √(Σ(n_w−1)s_w² ÷ Σ(n_w−1)) over the widths w, with n_w circuits and sample variance s_w² each. It describes one
    circuit, not the mean, so it does not shrink as circuits are added. It is 0 when every width has one circuit.
    """

    accuracy_score: BenchmarkScore
    shot_uncertainty: float
    circuit_uncertainty: float | None
    circuit_spread: float

    def compute_score(self) -> BenchmarkScore:
        """Return `accuracy_score`."""
        return self.accuracy_score


class QEDCParams(Protocol):
    """The parameters that all of these benchmarks have."""

    @property
    def shots(self) -> int:
        """Repetitions of each circuit."""

    @property
    def max_circuits(self) -> int:
        """Most circuits per width."""


ParamsT = TypeVar("ParamsT", bound=QEDCParams)


class QEDCBenchmark(Benchmark[ParamsT, QEDCData]):
    """An algorithm that finds secrets, at several widths; subclasses say which, and with what circuits.

    A secret is a bitstring, highest bit first, so that any length can be stored as it is.

    References
    ----------
    Lubinski et al., "Application-oriented performance benchmarks for quantum computing",
    https://arxiv.org/abs/2110.03137
    """

    data_type = QEDCData

    @abstractmethod
    def widths(self) -> range:
        """Return the widths to run.

        Raises
        ------
        Unsupported
            When there are none.
        """

    @abstractmethod
    def circuit(self, secret: str) -> QuantumCircuit:
        """Return the circuit that finds `secret`.

        Parameters
        ----------
        secret
            Bitstring, highest bit first.
        """

    @abstractmethod
    def operations(self, width: int) -> int:
        """Return about how many operations a circuit of this width has.

        Parameters
        ----------
        width
            Number of qubits, as the parameters count them.
        """

    def ideal(self, secret: str) -> Mapping[str, float]:
        """Return the distribution that a perfect device measures.

        Parameters
        ----------
        secret
            Bitstring, highest bit first.
        """
        return {secret: 1.0}

    def num_qubits(self, width: int) -> int:
        """Return how many qubits circuits of this width have.

        Parameters
        ----------
        width
            Number of qubits, as the parameters count them.
        """
        return width

    def secret_bits(self, width: int) -> int:
        """Return how long the secrets are at this width.

        Parameters
        ----------
        width
            Number of qubits, as the parameters count them.
        """
        return width

    def fixed_secret(self, bits: int) -> str | None:
        """Return the secret the parameters ask for, if any.

        Parameters
        ----------
        bits
            How long secrets are.

        Raises
        ------
        Unsupported
            When it needs more bits.
        """
        return None

    def dispatch_handler(self, device: BenchmarkDevice) -> QEDCData:
        """Run all circuits in one go."""
        widths = self.widths()
        require_qubits(device, max(map(self.num_qubits, widths)))
        most = self.params.max_circuits
        require_operations(sum(min(most, 2 ** min(w, most.bit_length())) * self.operations(w) for w in widths))
        secrets = [self._secrets(self.secret_bits(width)) for width in widths]
        device.run([self.circuit(secret) for group in secrets for secret in group], self.params.shots)
        return QEDCData(secrets=secrets)

    def poll_handler(self, job_data: QEDCData, result_data: Sequence[RunResult]) -> QEDCResult:
        """Return the mean fidelity."""
        scores = self._scores(job_data, result_data)
        fidelities = self.fidelities(job_data, result_data)
        found = parts(
            fidelities,
            [[each.uncertainty or 0.0 for each in group] for group in scores],
            [self._drawn(group) for group in job_data.secrets],
        )
        mean, spread = pooled(fidelities)
        return QEDCResult(BenchmarkScore(mean, found.total), found.shots, found.circuits, spread)

    def fidelities(self, job_data: QEDCData, result_data: Sequence[RunResult]) -> list[list[float]]:
        """Return the normalised fidelity of each circuit; one inner list per width.

        Parameters
        ----------
        job_data
            What `dispatch_handler` returned.
        result_data
            The one run: width after width, a circuit for each secret.
        """
        return [[each.value for each in group] for group in self._scores(job_data, result_data)]

    def ideal_counts(self, job_data: QEDCData, position: int) -> Mapping[str, float]:
        """Return the distribution that finds the circuit's secret."""
        return self.ideal([secret for group in job_data.secrets for secret in group][position])

    def _scores(self, job_data: QEDCData, result_data: Sequence[RunResult]) -> list[list[BenchmarkScore]]:
        counts = iter(counts_of(result_data, sum(map(len, job_data.secrets))))
        return [[fidelity_score(next(counts), self.ideal(secret)) for secret in group] for group in job_data.secrets]

    def _drawn(self, secrets: Sequence[str]) -> bool:
        """Whether a width's secrets were drawn from more, and neither given nor all there are."""
        bits = len(secrets[0])
        return self.fixed_secret(bits) is None and (bits > len(secrets).bit_length() or 2**bits > len(secrets))

    def _secrets(self, bits: int) -> list[str]:
        fixed = self.fixed_secret(bits)
        return draw_secrets(bits, self.params.max_circuits, self.seed) if fixed is None else [fixed]


def widths_between(minimum: int, maximum: int, step: int) -> range:
    """Return the widths from `minimum` to `maximum`.

    Parameters
    ----------
    minimum
        The smallest.
    maximum
        The largest there may be.
    step
        From one to the next.

    Raises
    ------
    Unsupported
        When there are none.
    """
    found = range(minimum, maximum + 1, step)
    if not found:
        raise Unsupported(f"there is no width from {minimum} to {maximum} qubits: min_qubits is too large")
    return found


def draw_secrets(bits: int, limit: int, seed: int) -> list[str]:
    """Return all bitstrings of this length, or where they are more than `limit`, that many random ones.

    The random ones are distinct and not 0, as in QED-C's own code, and depend on nothing but the arguments.

    Parameters
    ----------
    bits
        How long secrets are.
    limit
        How many to return at most.
    seed
        Source of the random ones.
    """
    if bits < limit.bit_length() and 2**bits <= limit:
        return [bitstring(value, bits) for value in range(2**bits)]
    # A seed that is text goes through SHA-512, so that it means the same everywhere.
    rng = Random(f"{seed}/{bits}")  # noqa: S311  (nobody gains by guessing)
    drawn: dict[int, None] = {}
    while len(drawn) < limit:
        if value := rng.getrandbits(bits):
            drawn[value] = None
    return [bitstring(value, bits) for value in drawn]


def input_secret(value: int | None, bits: int) -> str | None:
    """Return an ``input_value`` as a bitstring.

    Parameters
    ----------
    value
        The number, or None for no secret.
    bits
        How long secrets are.

    Raises
    ------
    Unsupported
        When it needs more than `bits`.
    """
    if value is None:
        return None
    if value.bit_length() > bits:
        raise Unsupported(f"input_value {value} does not fit in {bits} bits, all that the smallest width has")
    return bitstring(value, bits)


def bitstring(value: int, bits: int) -> str:
    """Return `value` in binary, highest bit first.

    Parameters
    ----------
    value
        0 or more.
    bits
        How long the bitstring is at least.
    """
    return format(value, f"0{bits}b")


def ones(secret: str) -> list[int]:
    """Return the positions of the ones, counted from the lowest bit, which is the last character.

    Parameters
    ----------
    secret
        Bitstring, highest bit first.
    """
    return [position for position, bit in enumerate(reversed(secret)) if bit == "1"]


def normalised_fidelity(counts: Counts, ideal: Mapping[str, float]) -> float:
    """Hellinger fidelity (Σ√(p·q))² of counts and ideal, rescaled so that uniform counts give 0, within [0, 1].

    For one ideal outcome of frequency p among n bits it is (p − 2⁻ⁿ)/(1 − 2⁻ⁿ).

    Parameters
    ----------
    counts
        Bitstring → occurrences.
    ideal
        Bitstring → probability, without those that never come.

    Raises
    ------
    Permanent
        When there are no shots to count.

    References
    ----------
    The normalised fidelity of Lubinski et al., https://arxiv.org/abs/2110.03137
    """
    shots = sum(counts.values())
    if shots < 1:
        raise Permanent("the device returned no shots, so there is nothing to score")
    fidelity = sum(sqrt(counts.get(key, 0) / shots * chance) for key, chance in ideal.items()) ** 2
    bits = len(next(iter(ideal)))
    if bits <= RESCALED_BITS:
        uniform = sum(map(sqrt, ideal.values())) ** 2 / 2**bits
        fidelity = (fidelity - uniform) / (1 - uniform)
    return min(1.0, max(0.0, fidelity))


def fidelity_score(counts: Counts, ideal: Mapping[str, float]) -> BenchmarkScore:
    """Return the `normalised_fidelity` and its uncertainty on account of the shots.

    That is exact for a single ideal outcome, and for several the same of the fidelity as a frequency.

    Parameters
    ----------
    counts
        Bitstring → occurrences.
    ideal
        Bitstring → probability, without those that never come.
    """
    value = normalised_fidelity(counts, ideal)
    bits, shots = len(next(iter(ideal))), sum(counts.values())
    uniform = sum(map(sqrt, ideal.values())) ** 2 / 2**bits if bits <= RESCALED_BITS else 0.0
    frequency = value * (1 - uniform) + uniform
    return BenchmarkScore(value, (binomial(round(frequency * shots), shots).uncertainty or 0.0) / (1 - uniform))


def pooled(fidelities: Sequence[Sequence[float]]) -> tuple[float, float]:
    """Mean over all circuits and pooled standard deviation over the widths; one inner list per width.

    Parameters
    ----------
    fidelities
        One inner list for each width.
    """
    everything = [fidelity for group in fidelities for fidelity in group]
    freedom = len(everything) - len(fidelities)
    scatter = sum((len(group) - 1) * variance(group) for group in fidelities if len(group) > 1)
    return fmean(everything), sqrt(scatter / freedom) if freedom else 0.0
