"""Noisy profiles are the snapshots of qiskit-ibm-runtime, which only tests and the script that makes them need."""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import pytest
from qiskit import QuantumCircuit, transpile
from qiskit.circuit import Operation
from qiskit.converters import dag_to_circuit
from qiskit.quantum_info import Operator
from qiskit.transpiler import Target
from qiskit_aer.noise import NoiseModel

from deploy import device_profiles
from metriq_gym.providers.aer import devices, profiles


@cache
def library() -> dict[str, Any]:
    """Its backends, which take seconds to make: only for who runs these tests, not for who collects them."""
    return {backend.name: backend for backend in device_profiles.backends()}


@pytest.mark.slow
@pytest.mark.xdist_group("profiles")
def test_there_is_a_profile_for_every_snapshot_of_the_library() -> None:
    assert profiles.names() == tuple(library())


@pytest.mark.slow
@pytest.mark.xdist_group("profiles")
@pytest.mark.parametrize("name", profiles.names())
def test_profile_is_what_the_script_makes_and_its_target_is_the_librarys(name: str) -> None:
    backend = library()[name]
    assert device_profiles.snapshot(backend) == profiles.load(name), "run `make profiles`"
    assert plain(profiles.target(name)) == plain(backend.target)


@pytest.mark.slow
@pytest.mark.xdist_group("profiles")
@pytest.mark.parametrize("name", ["fake_armonk", "fake_belem"])
def test_noise_model_is_the_librarys(name: str) -> None:
    ours, theirs = devices.noise_model(name), NoiseModel.from_backend(library()[name])
    assert ours == theirs
    assert ours.basis_gates == theirs.basis_gates


def test_circuit_with_angles_beyond_a_quarter_turn_is_compiled_for_a_device_with_fractional_gates() -> None:
    target = devices.target("fake_fractional")
    circuit = QuantumCircuit(2)
    circuit.rzz(2.5, 0, 1)
    compiled = transpile(circuit, target=target, initial_layout=target_pair(target), seed_transpiler=1)
    angles = [one.params[0] for one in compiled.data if one.name == "rzz"]
    assert angles
    assert all(0 <= angle <= math.pi / 2 for angle in angles)


@pytest.mark.parametrize("eighths", range(-20, 21))
def test_folded_rotation_is_the_same_rotation_by_at_most_a_quarter_turn(eighths: int) -> None:
    angle = eighths * math.pi / 8 + 0.01 * (eighths % 3)
    circuit = QuantumCircuit(2)
    circuit.rzz(angle, 0, 1)
    folded = dag_to_circuit(profiles.folded([angle], [0, 1]))
    assert Operator(folded) == Operator(circuit)
    assert all(0 <= one.params[0] <= math.pi / 2 for one in folded.data if one.name == "rzz")


def target_pair(target: Target) -> list[int]:
    """Return two qubits with a ZZ rotation between them."""
    return list(next(iter(target["rzz"])))


def plain(target: Target) -> dict[str, Any]:
    """Return all that a target says, in values that can be compared."""
    return {
        "device": (target.num_qubits, target.dt, target.has_angle_bounds()),
        "timing": (target.granularity, target.min_length, target.pulse_alignment, target.acquire_alignment),
        "qubits": [(qubit.t1, qubit.t2, qubit.frequency) for qubit in target.qubit_properties],
        "operations": {
            name: (
                kind(target.operation_from_name(name)),
                target.gate_has_angle_bounds(name),
                {qubits: values and (values.error, values.duration) for qubits, values in target[name].items()},
            )
            for name in target.operation_names
        },
    }


def kind(operation: Operation | type[Operation]) -> Any:
    """Return what makes an operation; parameters are compared by name, since each has an identity of its own."""
    if isinstance(operation, type):
        return operation
    parameters = [str(parameter) for parameter in operation.params]
    return type(operation), operation.name, operation.num_qubits, operation.num_clbits, parameters
