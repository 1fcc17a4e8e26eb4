"""Compiles circuits for TyxonQ, and refuses those it cannot run before anything is submitted."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from metriq_gym.errors import Unsupported
from metriq_gym.messages import Compilation
from metriq_gym.providers.compilation import best, strategy
from metriq_gym.providers.provider import Device
from metriq_gym.providers.tyxonq.calibration import Calibration
from metriq_gym.providers.tyxonq.qasm import GATES, PULSES

if TYPE_CHECKING:
    from qiskit import QuantumCircuit


@dataclass(frozen=True, slots=True)
class TyxonQCompiler:
    """Compiles to the documented gates, equal to the original up to global phase.

    Where every pair of the device's qubits is connected, a circuit keeps its qubits. Otherwise it is routed, unless it
    has as many qubits as the device and all its two-qubit gates are on connected pairs already.

    Barriers stay in the circuit, and nothing is cancelled or merged across them; `to_qasm2` drops them.
    """

    def __call__(
        self, device: Device, circuits: Sequence[QuantumCircuit], seed: int, compilation: Compilation = "default"
    ) -> list[QuantumCircuit]:
        """Compile `circuits`, one for one; `seed` fixes the routing.

        Raises `Unsupported`, naming operation, qubit count and device, for a circuit that TyxonQ cannot run: resets,
        control flow, operations after a measurement, no measurements, too many qubits, gates without a decomposition.
        """
        for circuit in circuits:
            if problem := _problem(device, circuit):
                raise Unsupported(_refusal(device, circuit, problem))
        chosen = strategy(compilation, seed)
        managers = [_pass_managers(device, chosen.level, each) for each in chosen.seeds]
        calibration = Calibration.from_metadata(device.metadata)
        return [self._compile(device, circuit, managers, calibration) for circuit in circuits]

    def _compile(
        self, device: Device, circuit: QuantumCircuit, managers: Sequence[tuple[Any, Any]], calibration: Calibration
    ) -> QuantumCircuit:
        from qiskit.transpiler.exceptions import TranspilerError

        route = not _fits(device, circuit)
        try:
            candidates = [passes[route].run(circuit) for passes in managers]
            compiled = best(candidates, partial(_error, calibration))
        except TranspilerError as error:
            raise Unsupported(_refusal(device, circuit, str(error))) from error
        if problem := _leftover(compiled) or _after_measurement(compiled):
            raise Unsupported(_refusal(device, circuit, problem))
        return compiled


def _pass_managers(device: Device, level: int, seed: int) -> tuple[Any, Any]:
    """Return passes for circuits that keep their qubits, and for those that need routing."""
    from qiskit.transpiler import CouplingMap, PassManager, generate_preset_pass_manager

    from metriq_gym.providers.tyxonq.merging import MergeSingleQubitGates
    from metriq_gym.providers.tyxonq.single_cz import SingleCZ

    def passes(level: int, **options: Any) -> Any:
        manager = generate_preset_pass_manager(
            optimization_level=level, basis_gates=list(GATES), seed_transpiler=seed, **options
        )
        manager.pre_translation = PassManager([SingleCZ()])
        manager.post_optimization = PassManager([MergeSingleQubitGates()])
        return manager

    if device.edges is None:
        return (place := passes(level)), place
    # Above level 1 swaps become a permutation of what follows, which would leave the connected pairs.
    place = passes(min(level, 1))
    coupling = CouplingMap([pair for a, b in device.edges for pair in ((a, b), (b, a))])
    return place, passes(level, coupling_map=coupling)


def _error(calibration: Calibration, operation: str, qubits: tuple[int, ...]) -> float:
    """Return an operation's error where the device's calibration has it, 0 where it has none.

    A cx is made of a cz and two pulses; rotations about z are changes of frame.
    """
    pulse = calibration.single_qubit_gate_error or 0.0
    match operation:
        case "measure":
            return ((calibration.readout_error_0 or 0.0) + (calibration.readout_error_1 or 0.0)) / 2
        case "cz":
            return calibration.cz_gate_error or 0.0
        case "cx":
            return (calibration.cz_gate_error or 0.0) + 2 * pulse
    return pulse if operation in PULSES else 0.0


def _fits(device: Device, circuit: QuantumCircuit) -> bool:
    """Whether the circuit can keep its qubits."""
    if device.edges is None:
        return True
    edges = {frozenset(edge) for edge in device.edges}
    return circuit.num_qubits == device.num_qubits and all(
        frozenset(circuit.find_bit(qubit).index for qubit in instruction.qubits) in edges
        for instruction in circuit.data
        if len(instruction.qubits) > 1 and not instruction.is_directive()
    )


def _problem(device: Device, circuit: QuantumCircuit) -> str:
    """Say why the circuit cannot run whatever the compiler does, or return ""."""
    operations = circuit.count_ops()
    if circuit.num_qubits > device.num_qubits:
        return f"it has {circuit.num_qubits} qubits"
    if circuit.parameters:
        return f"parameter {circuit.parameters[0].name!r} has no value"
    if circuit.num_vars:
        return "run-time variables are not supported"
    if circuit.has_control_flow_op():
        names = sorted({each.name for each in circuit.data if each.is_control_flow()})
        return f"the operation {names[0]} (control flow) is not supported"
    if "reset" in operations:
        return "the operation reset is not supported"
    if "measure" not in operations:
        return "it has no measurements"
    return _after_measurement(circuit)


def _after_measurement(circuit: QuantumCircuit) -> str:
    measured: set[Any] = set()
    for instruction in circuit.data:
        if instruction.is_directive():
            continue
        if again := measured.intersection(instruction.qubits):
            qubit = circuit.find_bit(again.pop()).index
            return f"the operation {instruction.name} on qubit {qubit} after its measurement is not supported"
        if instruction.name == "measure":
            measured.update(instruction.qubits)
    return ""


def _leftover(compiled: QuantumCircuit) -> str:
    """Say what the compiler could not take apart, or return ""."""
    unknown = set(compiled.count_ops()) - {*GATES, "measure", "barrier"}
    if unknown:
        return f"the operation {', '.join(sorted(unknown))} is not supported"
    angles = (float(value) for instruction in compiled.data for value in instruction.params)
    return "" if all(map(math.isfinite, angles)) else "it has an angle that is not finite"


def _refusal(device: Device, circuit: QuantumCircuit, problem: str) -> str:
    return f"{device.id} ({device.num_qubits} qubits) cannot run circuit {circuit.name!r}: {problem}"
