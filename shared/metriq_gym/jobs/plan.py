"""From a configuration to tasks: build a benchmark's circuits, compile them, and split them into storable shares.

Everything here is a pure function of its arguments, so that a plan can be made again, or made in another process.
"""

from __future__ import annotations

import random
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from metriq_gym import benchmarks
from metriq_gym.benchmarks.benchmark import BenchmarkData
from metriq_gym.errors import Unsupported
from metriq_gym.messages import Compilation
from metriq_gym.packing import MAX_BYTES, max_counts_bytes, max_outcome_bytes, pack_circuits
from metriq_gym.providers.compilation import metadata
from metriq_gym.providers.provider import Compiler, Device

if TYPE_CHECKING:
    import rustworkx as rx
    from qiskit import QuantumCircuit


Run = tuple[list["QuantumCircuit"], int]
"""The circuits of one `Device.run` call, and the shots of each."""


@dataclass(frozen=True, slots=True)
class PlannedTask:
    """Consecutive circuits of one `Device.run` call, packed; `first` is the position of the first one."""

    run: int
    first: int
    circuit_count: int
    shots: int
    seed: int
    circuits: bytes


@dataclass(frozen=True, slots=True)
class Plan:
    """All that a job will ask of its device, and what its benchmark wants to know when it scores."""

    data: dict[str, Any]
    runs: list[int]
    """Circuits per `Device.run` call."""
    tasks: list[PlannedTask]
    input_two_qubit_gate_counts: list[int]
    transpiled_two_qubit_gate_counts: list[int]
    compiled_with: dict[str, Any]
    """Choice, level, seed and library; see `compilation.metadata`."""


@dataclass(slots=True)
class Recorder:
    """The device a benchmark meets at dispatch: it notes what it is asked to run."""

    device: Device
    runs: list[Run] = field(default_factory=list)

    @property
    def id(self) -> str:
        """Name of the device at its provider."""
        return self.device.id

    @property
    def num_qubits(self) -> int:
        """Number of qubits."""
        return self.device.num_qubits

    @property
    def connectivity(self) -> rx.PyGraph:
        """Graph of the qubit pairs that share a two-qubit gate."""
        import rustworkx as rx

        if self.device.edges is None:
            return rx.generators.complete_graph(self.num_qubits)
        graph = rx.PyGraph(multigraph=False)
        graph.add_nodes_from(range(self.num_qubits))
        graph.add_edges_from_no_data(list(self.device.edges))
        return graph

    def run(self, circuits: QuantumCircuit | Sequence[QuantumCircuit], shots: int) -> None:
        """Note the circuits."""
        self.runs.append((list(circuits) if isinstance(circuits, Sequence) else [circuits], shots))


def build(config: Mapping[str, Any], seed: int, device: Device) -> tuple[BenchmarkData, list[Run]]:
    """Build the circuits of a validated configuration for a device, before compilation.

    Raises `Unsupported` when the device cannot run them.
    """
    recorder = Recorder(device)
    data = benchmarks.load(config["benchmark_name"]).from_config(config, seed).dispatch_handler(recorder)
    if not any(circuits for circuits, _ in recorder.runs):
        raise Unsupported(f"{config['benchmark_name']} has no circuits for {device.id} as configured")
    for run, (circuits, _) in enumerate(recorder.runs):
        for position, circuit in enumerate(circuits):
            # Qiskit numbers unnamed circuits as it makes them, so that they would differ from process to process.
            circuit.name = f"{run}-{position}"
    return data or BenchmarkData(), recorder.runs


def make_plan(
    config: Mapping[str, Any],
    seed: int,
    device: Device,
    compiler: Compiler,
    max_circuits_per_task: int,
    compilation: Compilation = "default",
) -> Plan:
    """Build and compile the circuits of a validated configuration for a device.

    Raises `Unsupported` when the device cannot run them.
    """
    data, built = build(config, seed, device)
    compiled = [(compiler(device, circuits, seed, compilation), shots) for circuits, shots in built]
    changed = any(
        before is not after
        for (befores, _), (afters, _) in zip(built, compiled, strict=True)
        for before, after in zip(befores, afters, strict=True)
    )
    return Plan(
        data=data.model_dump(mode="json"),
        runs=[len(circuits) for circuits, _ in compiled],
        tasks=[
            task
            for run, (circuits, shots) in enumerate(compiled)
            for task in _split(run, circuits, shots, seed, max_circuits_per_task)
        ],
        input_two_qubit_gate_counts=[two_qubit_gates(each) for run, _ in built for each in run],
        transpiled_two_qubit_gate_counts=[two_qubit_gates(each) for run, _ in compiled for each in run],
        compiled_with=metadata(compilation, seed, compiled=changed),
    )


def two_qubit_gates(circuit: QuantumCircuit) -> int:
    """Return the number of operations on two or more qubits, barriers not counted."""
    return int(circuit.num_nonlocal_gates())


def _split(
    run: int, circuits: Sequence[QuantumCircuit], shots: int, seed: int, max_circuits: int
) -> Iterator[PlannedTask]:
    """Share out one run's circuits so that each task's circuits and counts fit one document."""
    first = 0
    while first < len(circuits):
        sizes = [max_counts_bytes(each.num_clbits, shots) for each in circuits[first : first + max_circuits]]
        fitting = bisect_right(list(accumulate(sizes)), MAX_BYTES)
        share = circuits[first : first + max(1, fitting)]
        # One circuit with very many outcomes is run by several tasks, each for a part of the shots.
        parts = 1 if fitting else -(-shots // (MAX_BYTES // max_outcome_bytes(share[0].num_clbits, shots)))
        for part in range(parts):
            part_shots = shots * (part + 1) // parts - shots * part // parts
            yield from _pack(run, first, share, part_shots, seed, part)
        first += len(share)


def _pack(
    run: int, first: int, circuits: Sequence[QuantumCircuit], shots: int, seed: int, part: int
) -> Iterator[PlannedTask]:
    packed = pack_circuits(circuits)
    if len(packed) <= MAX_BYTES:
        task_seed = random.Random(f"{seed}/{run}/{first}/{part}").getrandbits(32)  # noqa: S311
        yield PlannedTask(run, first, len(circuits), shots, task_seed, packed)
    elif len(circuits) == 1:
        raise Unsupported(f"circuit {first} of run {run} takes {len(packed):,} bytes; at most {MAX_BYTES:,} are stored")
    else:
        half = len(circuits) // 2
        yield from _pack(run, first, circuits[:half], shots, seed, part)
        yield from _pack(run, first + half, circuits[half:], shots, seed, part)
