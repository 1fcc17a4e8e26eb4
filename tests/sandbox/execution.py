"""Runs circuits on qiskit-aer with a noise model made from the published calibration of a device.

The page publishes no gate times, connectivity or idle errors. Assumed here: 30 ns per single-qubit and 60 ns per
two-qubit gate; SQ and CZ are average gate infidelities that include relaxation during the gate; h, x, y and rx are one
pulse and have SQ; turns about z are changes of frame and have no error; cz has CZ; cx is a cz between two pulses on its
target and has the errors of all three; Readout.F0 is the probability to read 1 in state 0, F1 to read 0 in state 1;
idle qubits keep their state; every pair of qubits is coupled.
"""

from __future__ import annotations

from collections import Counter
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import rustworkx as rx

from tests.sandbox.devices import Device

if TYPE_CHECKING:
    from qiskit import QuantumCircuit

SINGLE_QUBIT_GATE_MICROSECONDS = 0.030
TWO_QUBIT_GATE_MICROSECONDS = 0.060
PULSES = ("h", "x", "y", "rx")

# Up to here the exact density matrix is quicker than one trajectory per shot, whatever the shots.
_DENSITY_MATRIX_QUBITS = 7
# Up to here it is for many shots; of more qubits it takes too much memory.
_MOST_DENSITY_MATRIX_QUBITS = 10
_MEMORY_MEGABYTES = 2048


@lru_cache
def noise_model(device: Device) -> Any:
    """The NoiseModel of a device."""
    from qiskit.quantum_info import SuperOp
    from qiskit_aer.noise import NoiseModel, QuantumError, ReadoutError

    model = NoiseModel()
    pulse = _gate_error(device, device.single_qubit_error, SINGLE_QUBIT_GATE_MICROSECONDS, qubits=1)
    cz = _gate_error(device, device.cz_error, TWO_QUBIT_GATE_MICROSECONDS, qubits=2)
    model.add_all_qubit_quantum_error(pulse, list(PULSES))
    model.add_all_qubit_quantum_error(cz, ["cz"])
    # Of a gate's two qubits the second one is the target. Composed errors would have thousands of terms.
    cx = SuperOp(cz).compose(SuperOp(pulse), qargs=[1]).compose(SuperOp(pulse), qargs=[1])
    model.add_all_qubit_quantum_error(QuantumError(cx), ["cx"])
    f0, f1 = device.readout_f0, device.readout_f1
    model.add_all_qubit_readout_error(ReadoutError([[1 - f0, f0], [f1, 1 - f1]]))
    return model


def _gate_error(device: Device, infidelity: float, microseconds: float, *, qubits: int) -> Any:
    """Relaxation for the gate's time, then as much depolarisation as brings the average infidelity to the given one."""
    from qiskit.quantum_info import average_gate_fidelity
    from qiskit_aer.noise import depolarizing_error, thermal_relaxation_error

    relaxation = thermal_relaxation_error(device.t1, device.t2, microseconds)
    if qubits == 2:
        relaxation = relaxation.expand(relaxation)
    # Depolarising by p takes an average fidelity F to (1 - p) F + p / 2^n.
    fidelity = average_gate_fidelity(relaxation)
    depolarising = (fidelity - (1 - infidelity)) / (fidelity - 0.5**qubits)
    if depolarising <= 0:
        return relaxation
    return relaxation.compose(depolarizing_error(depolarising, qubits))


def run(circuit: QuantumCircuit, shots: int, seed: int, noisy_device: Device | None) -> dict[str, int]:
    """Counts by key, whose leftmost character is classical bit 0; `noisy_device` None means without noise."""
    from qiskit_aer import AerSimulator

    if noisy_device is None:
        simulator = AerSimulator(method="statevector", max_parallel_threads=1)
        counts = simulator.run(circuit, shots=shots, seed_simulator=seed).result().get_counts()
        # Qiskit writes bit 0 rightmost.
        return {key[::-1]: int(number) for key, number in sorted(counts.items())}
    # Parts that no gate joins have nothing to do with each other, whatever the noise of each.
    parts = _parts(circuit)
    together = len(parts) > 1
    drawn: list[Any] = []
    for number, (part, _) in enumerate(parts):
        simulator = AerSimulator(
            method=_method(part.num_qubits, shots),
            noise_model=noise_model(noisy_device),
            max_memory_mb=_MEMORY_MEGABYTES,
            max_parallel_threads=1,
        )
        options = {"seed_simulator": (seed + number) % 2**32, "memory": together}
        drawn.append(simulator.run(part, shots=shots, **options).result())
    if together:
        memories = zip(*(each.get_memory() for each in drawn), strict=True)
        counted = Counter("".join(key[::-1] for key in keys) for keys in memories)
    else:
        counted = Counter({key[::-1]: int(number) for key, number in drawn[0].get_counts().items()})
    place = {bit: place for place, bit in enumerate(bit for _, bits in parts for bit in bits)}
    counts = {"".join(key[place[bit]] for bit in range(len(key))): number for key, number in counted.items()}
    return dict(sorted(counts.items()))


def _method(qubits: int, shots: int) -> str:
    many = shots > 2 ** (qubits - 2) and qubits <= _MOST_DENSITY_MATRIX_QUBITS
    return "density_matrix" if many or qubits <= _DENSITY_MATRIX_QUBITS else "statevector"


def _parts(circuit: QuantumCircuit) -> list[tuple[QuantumCircuit, list[int]]]:
    """The circuits of the qubits that gates join, but of those that nothing is read of; with their classical bits."""
    from qiskit import QuantumCircuit

    steps = [(step, [circuit.find_bit(qubit).index for qubit in step.qubits]) for step in circuit.data]
    joined = rx.PyGraph()
    joined.add_nodes_from(range(circuit.num_qubits))
    joined.add_edges_from_no_data([(qubits[0], other) for _, qubits in steps for other in qubits[1:]])
    parts = []
    for qubits in map(sorted, rx.connected_components(joined)):
        mine = [(step, [qubits.index(each) for each in on]) for step, on in steps if on[0] in qubits]
        bits = [circuit.find_bit(step.clbits[0]).index for step, _ in mine if step.name == "measure"]
        part = QuantumCircuit(len(qubits), len(bits))
        for step, on in mine:
            if step.name != "measure":
                part.append(step.operation, on)
        part.measure([on[0] for step, on in mine if step.name == "measure"], range(len(bits)))
        if bits:
            parts.append((part, bits))
    return parts
