"""Turns circuits into what an Aer device runs, and refuses those that it cannot run exactly."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache, lru_cache, partial
from typing import TYPE_CHECKING

from metriq_gym.errors import Unsupported
from metriq_gym.messages import Compilation
from metriq_gym.providers.aer import devices, twin
from metriq_gym.providers.compilation import CANDIDATES, Strategy, best, strategy
from metriq_gym.providers.provider import Device

if TYPE_CHECKING:
    from qiskit import QuantumCircuit
    from qiskit.transpiler import PassManager

_GATES = (
    "ccx ccz cp crx cry crz cswap csx cu cu1 cu3 cx cy cz diagonal ecr h id mcp mcphase mcx mcx_gray p pauli r rx "
    "rxx ry ryy rz rzx rzz s sdg swap sx sxdg t tdg u u1 u2 u3 unitary x y z"
)
_CONTROL_FLOW = "if_else for_loop while_loop switch_case break_loop continue_loop"
RUNNABLE = frozenset(f"{_GATES} {_CONTROL_FLOW} measure reset delay barrier".split())
"""What the ideal simulator is given as it is; everything else is decomposed into it."""


_BOUNDLESS = 2**10_000
"""Bytes enough for any state of as many qubits as a configuration can ask for."""


@dataclass(frozen=True, slots=True)
class AerCompiler:
    """Compiles for the ideal simulator, a noisy profile or a digital twin, within `memory_bytes` per simulation."""

    memory_bytes: int

    def __call__(
        self, device: Device, circuits: Sequence[QuantumCircuit], seed: int, compilation: Compilation = "default"
    ) -> list[QuantumCircuit]:
        """Compile `circuits`, one for one; `seed` fixes the transpiler's choices.

        For the ideal simulator a circuit is only decomposed where it must be, whatever `compilation` says; nothing is
        optimised away. For a noisy profile it is transpiled to the device's target, except that a circuit which already
        addresses the device's qubits (see `addresses_device`) keeps them and all of its two-qubit gates at every level.
        For a twin it is compiled as for the twin's original.

        Raises `Unsupported`, naming operation, qubit count and device, for a circuit that cannot run there, and
        `NotFound` for an unknown device.
        """
        if not twin.is_twin(device.id):
            return [self._compile(device, circuit, seed, compilation) for circuit in circuits]
        compiled = twin.compile_for(device, circuits, seed, compilation)
        for circuit in compiled:
            self._check_memory(_where(device, circuit), circuit, noisy=True)
        return compiled

    def unbounded(self) -> AerCompiler:
        """Return one that compiles alike, and leaves the memory out of account."""
        return replace(self, memory_bytes=_BOUNDLESS)

    def misfit(self, device: Device, compiled: Sequence[QuantumCircuit]) -> str | None:
        """Return why one of the compiled circuits does not fit; None where all do."""
        try:
            for circuit in compiled:
                self._check_memory(_where(device, circuit), circuit, noisy=device.id != devices.IDEAL)
        except Unsupported as refusal:
            return str(refusal)
        return None

    def _compile(self, device: Device, circuit: QuantumCircuit, seed: int, compilation: Compilation) -> QuantumCircuit:
        from qiskit.transpiler.exceptions import TranspilerError

        from metriq_gym.providers.aer.components import operations

        where = _where(device, circuit)
        if circuit.parameters:
            raise Unsupported(f"{where}: parameter {circuit.parameters[0].name!r} has no value")
        if circuit.num_vars:
            raise Unsupported(f"{where}: run-time variables are not supported")
        if "measure" not in operations(circuit):
            raise Unsupported(f"{where}: it has no measurements")
        noisy = device.id != devices.IDEAL
        if noisy and circuit.num_qubits > device.num_qubits:
            raise Unsupported(f"{where}: it has {circuit.num_qubits} qubits")
        try:
            compiled = (
                _for_profile(device, circuit, strategy(compilation, seed)) if noisy else _for_ideal(circuit, seed)
            )
        except TranspilerError as error:
            raise Unsupported(f"{where}: {error}") from error
        known = devices.operations(device.id) | {"barrier"} if noisy else RUNNABLE
        unknown = operations(compiled) - known
        if unknown:
            raise Unsupported(f"{where}: it has no operation {', '.join(sorted(unknown))}")
        self._check_memory(where, compiled, noisy=noisy)
        return compiled

    def _check_memory(self, where: str, circuit: QuantumCircuit, *, noisy: bool) -> None:
        from metriq_gym.providers.aer.components import split
        from metriq_gym.providers.aer.methods import plan_ideal, plan_noisy

        plan = plan_noisy if noisy else plan_ideal
        try:
            for component in split(circuit):
                plan(component, self.memory_bytes)
        except Unsupported as refusal:
            raise Unsupported(f"{where}: it {refusal}") from None


def _where(device: Device, circuit: QuantumCircuit) -> str:
    return f"{device.id} ({device.num_qubits} qubits) cannot run circuit {circuit.name!r}"


def addresses_device(device: Device, circuit: QuantumCircuit) -> bool:
    """Whether the circuit's qubits are the device's: as many of them, and all gates on the device's edges."""
    if circuit.num_qubits != device.num_qubits:
        return False
    edges = set(device.edges or ())
    number = {qubit: i for i, qubit in enumerate(circuit.qubits)}
    return all(
        len(instruction.qubits) < 2
        or instruction.is_directive()
        or tuple(sorted(number[qubit] for qubit in instruction.qubits)) in edges
        for instruction in circuit.data
    )


def _for_ideal(circuit: QuantumCircuit, seed: int) -> QuantumCircuit:
    from qiskit import transpile
    from qiskit.circuit.library import get_standard_gate_name_mapping

    from metriq_gym.providers.aer.components import operations

    if operations(circuit) <= RUNNABLE:
        return circuit
    basis = sorted(RUNNABLE & get_standard_gate_name_mapping().keys())
    return transpile(circuit, basis_gates=basis, optimization_level=0, seed_transpiler=seed)


def _for_profile(device: Device, circuit: QuantumCircuit, chosen: Strategy) -> QuantumCircuit:
    if addresses_device(device, circuit):
        return _keeping_qubits(device.id).run(circuit)
    candidates = [_passes(device.id, chosen.level, seed).run(circuit) for seed in chosen.seeds]
    return best(candidates, partial(_error, device.id))


@lru_cache(maxsize=2 * CANDIDATES)
def _passes(device_id: str, level: int, seed: int) -> PassManager:
    from qiskit.transpiler import generate_preset_pass_manager

    return generate_preset_pass_manager(level, target=devices.target(device_id), seed_transpiler=seed)


def _error(device_id: str, operation: str, qubits: tuple[int, ...]) -> float:
    """Return an operation's error as the snapshot has it, 0 where it has none."""
    target = devices.target(device_id)
    properties = (target[operation] or {}).get(qubits) if operation in target.operation_names else None
    return (properties.error or 0.0) if properties is not None else 0.0


@cache
def _keeping_qubits(device_id: str) -> PassManager:
    """Translate gates where they are, and merge neighbouring one-qubit gates: nothing else is needed or wanted."""
    from qiskit.transpiler import PassManager, generate_preset_pass_manager
    from qiskit.transpiler.passes import Optimize1qGatesDecomposition

    target = devices.target(device_id)
    stages = generate_preset_pass_manager(0, target=target, initial_layout=list(range(target.num_qubits)))
    stages.optimization = PassManager([Optimize1qGatesDecomposition(target=target)])
    return stages
