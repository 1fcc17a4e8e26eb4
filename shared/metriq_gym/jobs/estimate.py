"""What a job would ask of its device: circuits, shots, qubits, gates and depth, without submitting anything."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from metriq_gym.jobs.plan import build, two_qubit_gates
from metriq_gym.messages import Compilation
from metriq_gym.providers.provider import BoundedCompiler, Compiler, Device
from metriq_gym.schema_validator import seed_of

if TYPE_CHECKING:
    from qiskit import QuantumCircuit

_NOT_GATES = frozenset({"measure", "reset", "delay"})


@dataclass(frozen=True, slots=True)
class Size:
    """Size of one circuit; or of several, with the gates of all, and the qubits and depth of the largest."""

    qubits: int
    """Qubits that something is done to."""
    one_qubit_gates: int
    two_qubit_gates: int
    """Gates on two or more qubits, counted as the record's ``…_two_qubit_gate_counts`` are."""
    depth: int
    """Operations on the longest path through the circuit, measurements included. A barrier is none, but what comes
    after it waits for it; what depends on a measured value is one."""


@dataclass(frozen=True, slots=True)
class CircuitEstimate:
    """One circuit as the benchmark builds it, and as compiled for the device."""

    shots: int
    built: Size
    compiled: Size


@dataclass(frozen=True, slots=True)
class Estimate:
    """All circuits of a job."""

    benchmark_name: str
    provider: str
    device: str
    circuits: tuple[CircuitEstimate, ...]
    misfit: str | None = None
    """Why a job would be refused though its circuits can be counted: they do not fit in the simulator's memory."""

    @property
    def shots(self) -> int:
        """Shots of all circuits."""
        return sum(each.shots for each in self.circuits)

    @property
    def built(self) -> Size:
        """All circuits before compilation."""
        return _together(each.built for each in self.circuits)

    @property
    def compiled(self) -> Size:
        """All circuits after compilation for the device."""
        return _together(each.compiled for each in self.circuits)

    def to_dict(self) -> dict[str, Any]:
        """Return everything, totals first, as JSON has it."""
        return {
            "benchmark_name": self.benchmark_name,
            "provider": self.provider,
            "device": self.device,
            "circuit_count": len(self.circuits),
            "shots": self.shots,
            "built": asdict(self.built),
            "compiled": asdict(self.compiled),
            "misfit": self.misfit,
            "circuits": [asdict(each) for each in self.circuits],
        }


def estimate(
    config: Mapping[str, Any],
    device: Device,
    compiler: Compiler,
    compilation: Compilation = "default",
    seed: int | None = None,
) -> Estimate:
    """Build and compile what a validated configuration asks for, and measure it; picklable, and CPU-bound.

    Without a seed in the configuration the circuits are those of seed 0, while a job draws its own; `seed` is that of a
    job. Raises `Unsupported` when the device cannot run them for another reason than the memory that simulating them
    would take, which `Estimate.misfit` tells.
    """
    seed = (seed_of(config) or 0) if seed is None else seed
    _, runs = build(config, seed, device)
    bounded = compiler if isinstance(compiler, BoundedCompiler) else None
    compile_all = compiler if bounded is None else bounded.unbounded()
    estimates, misfit = [], None
    for circuits, shots in runs:
        compiled = compile_all(device, circuits, seed, compilation)
        estimates += [
            CircuitEstimate(shots, size_of(before), size_of(after))
            for before, after in zip(circuits, compiled, strict=True)
        ]
        misfit = misfit or (None if bounded is None else bounded.misfit(device, compiled))
    return Estimate(config["benchmark_name"], device.provider, device.id, tuple(estimates), misfit)


def size_of(circuit: QuantumCircuit) -> Size:
    """Return the size of a circuit."""
    operations = [each for each in circuit.data if not each.is_directive()]
    return Size(
        qubits=len({qubit for each in operations for qubit in each.qubits}),
        one_qubit_gates=sum(len(each.qubits) == 1 and each.name not in _NOT_GATES for each in operations),
        two_qubit_gates=two_qubit_gates(circuit),
        depth=circuit.depth(),
    )


def _together(sizes: Iterable[Size]) -> Size:
    sizes = list(sizes)
    return Size(
        qubits=max(each.qubits for each in sizes),
        one_qubit_gates=sum(each.one_qubit_gates for each in sizes),
        two_qubit_gates=sum(each.two_qubit_gates for each in sizes),
        depth=max(each.depth for each in sizes),
    )
