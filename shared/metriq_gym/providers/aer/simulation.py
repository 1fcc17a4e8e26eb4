"""Runs compiled circuits on Aer: each component by the method that suits it, few Aer calls for all of them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from time import perf_counter
from typing import TYPE_CHECKING, Any

from metriq_gym.errors import Permanent
from metriq_gym.providers.aer import devices, twin
from metriq_gym.providers.provider import Execution

if TYPE_CHECKING:
    from qiskit import QuantumCircuit

    from metriq_gym.providers.aer.components import Component
    from metriq_gym.providers.aer.methods import Method
    from metriq_gym.providers.aer.sampling import Outcomes

_MIB = 2**20
_SHORT = 64
"""Instructions up to which equal components are looked for; longer ones hardly ever are equal."""
_INSTRUCTIONS_PER_CALL = 100_000
"""Bounds what Aer's own copy of the circuits takes (some hundred bytes per instruction)."""
_SHOTS_PER_JOB = 1_000_000


@dataclass(slots=True)
class _Job:
    """One circuit for Aer, and the components (by circuit number) whose outcomes it stands for."""

    method: Method
    circuit: QuantumCircuit
    uses: list[tuple[int, Component]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class AerSimulation:
    """Runs circuits, each simulation within `memory_bytes` and on `threads` threads."""

    memory_bytes: int
    threads: int

    def __call__(self, device_id: str, circuits: Sequence[QuantumCircuit], shots: int, seed: int) -> Execution:
        """Sample every circuit from its exact distribution; the same arguments give the same counts.

        Raises `Unsupported` for a circuit that does not fit in memory, and `NotFound` for an unknown device.
        """
        import numpy as np

        from metriq_gym.providers.aer.sampling import draw, join

        rng = np.random.default_rng(seed)
        noise = _noise(device_id, circuits)
        parts: list[list[tuple[Sequence[int], Outcomes]]] = [[] for _ in circuits]
        seconds = sampling_seconds = 0.0
        for batch in _batches(self._jobs(circuits, shots, noisy=noise is not None)):
            method, copies = batch[0].method, len(batch[0].uses)
            started = perf_counter()
            experiments = self._run(
                [job.circuit for job in batch],
                shots=copies * shots,
                method=method,
                noise_model=noise,
                seed_simulator=int(rng.integers(2**31)),
            )
            seconds += perf_counter() - started
            for job, experiment in zip(batch, experiments, strict=True):
                sampling_seconds += experiment.time_taken
                outcomes = draw(experiment.data.counts, job.circuit.num_clbits, copies, rng)
                for (number, component), drawn in zip(job.uses, outcomes, strict=True):
                    parts[number].append((component.positions, drawn))
        counts = [join(mine, circuit.num_clbits, shots) for mine, circuit in zip(parts, circuits, strict=True)]
        return Execution(counts, seconds, sampling_seconds)

    def _jobs(self, circuits: Sequence[QuantumCircuit], shots: int, *, noisy: bool) -> list[_Job]:
        from metriq_gym.providers.aer.components import split
        from metriq_gym.providers.aer.methods import plan_ideal, plan_noisy

        plan = partial(plan_noisy, shots=shots) if noisy else plan_ideal
        jobs: list[_Job] = []
        alike: dict[Hashable, _Job] = {}
        for number, circuit in enumerate(circuits):
            for component in split(circuit):
                # On a noisy device no two sets of qubits are alike.
                key = None if noisy else _key(component)
                job = alike.get(key)
                if key is None or job is None or (len(job.uses) + 1) * shots > _SHOTS_PER_JOB:
                    chosen = plan(component, self.memory_bytes)
                    # The noise model knows qubits by number, so they keep theirs; Aer leaves out idle ones.
                    alone = chosen.component.circuit(circuit.qubits if noisy else None)
                    job = alike[key] = _Job(chosen.method, alone)
                    jobs.append(job)
                job.uses.append((number, component))
        return jobs

    def _run(self, circuits: list[QuantumCircuit], **options: Any) -> Sequence[Any]:
        from qiskit_aer import AerSimulator

        from metriq_gym.providers.aer.methods import Method

        # Aer's own estimate for matrix product states leaves out most gates and overrates the others, so those
        # rely on ours; sampling them shot by shot keeps 2^n probabilities from being stored.
        line = options["method"] == Method.MATRIX_PRODUCT_STATE
        simulator = AerSimulator(
            max_memory_mb=-1 if line else max(self.memory_bytes // _MIB, 1),
            mps_sample_measure_algorithm="mps_apply_measure",
            max_parallel_threads=self.threads,
            max_parallel_experiments=1,
            # Parallel shots would make the counts depend on the number of threads.
            max_parallel_shots=1,
        )
        result = simulator.run(circuits, **options).result()
        if not result.success:
            raise Permanent(f"Aer failed: {result.status}")
        found: Sequence[Any] = result.results
        return found


def _noise(device_id: str, circuits: Sequence[QuantumCircuit]) -> Any:
    """Return the device's noise model, or None for the ideal simulator."""
    if device_id == devices.IDEAL or not circuits:
        return None
    return twin.noise_of(circuits[0]) if twin.is_twin(device_id) else devices.noise_model(device_id)


def _batches(jobs: Sequence[_Job]) -> Iterator[list[_Job]]:
    """Group jobs that one Aer call can run: the same method and number of shots, not too many instructions."""
    groups: defaultdict[Hashable, list[_Job]] = defaultdict(list)
    for job in jobs:
        groups[job.method, len(job.uses)].append(job)
    for group in groups.values():
        batch: list[_Job] = []
        size = 0
        for job in group:
            if batch and size + len(job.circuit.data) > _INSTRUCTIONS_PER_CALL:
                yield batch
                batch, size = [], 0
            batch.append(job)
            size += len(job.circuit.data)
        yield batch


def _key(component: Component) -> Hashable:
    """A value that only components with the same distribution of outcomes share, or None."""
    if len(component.instructions) > _SHORT:
        return None
    index = {bit: i for i, bit in enumerate((*component.qubits, *component.clbits))}
    key = []
    for instruction in component.instructions:
        parameters = tuple(instruction.params)
        known = instruction.is_standard_gate() or instruction.name in {"measure", "reset"}
        if not known or not all(isinstance(value, (int, float)) for value in parameters):
            return None
        bits = (index[bit] for bit in (*instruction.qubits, *instruction.clbits))
        key.append((instruction.name, parameters, tuple(bits)))
    return tuple(key)
