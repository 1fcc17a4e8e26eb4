"""What both tools run: the examples that metriq-gym has published, and our own, on an ideal device and two noisy."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from metriq_gym.constants import SCHEMA_MAPPING, JobType
from tests.docs.pictures import example

DEVICES = ("aer_simulator", "fake_guadalupe", "fake_kolkata")
SEEDS = range(1, 6)
ECHO = """OPENQASM 3.0; include "stdgates.inc"; qubit[6] q;
rx(pi/8) q; cz q[0],q[1]; cz q[2],q[3]; cz q[4],q[5]; rz(pi/4) q; cz q[1],q[2]; cz q[3],q[4];
rz(pi/4) q[1]; rz(pi/4) q[2]; rz(pi/4) q[3]; rz(pi/4) q[4];
rx(0.3) q[0]; rx(0.3) q[2]; rx(0.3) q[4];
rz(-pi/4) q[3]; rz(-pi/4) q[4]; cz q[3],q[4]; rz(-pi/4) q[1]; rz(-pi/4) q[2]; cz q[1],q[2];
rz(-pi/4) q; cz q[4],q[5]; cz q[2],q[3]; cz q[0],q[1]; rx(-pi/8) q;
"""
_SWEEP = {"max_qubits": 6, "skip_qubits": 1, "max_circuits": 3}
_QAOA = {"benchmark_name": JobType.LR_QAOA, "trials": 5, "confidence_level": 0.999, "seed": 123}

PUBLISHED: dict[str, dict[str, Any]] = {
    "bseq": {"benchmark_name": JobType.BSEQ, "num_shots": 10},
    "wit": {
        "benchmark_name": JobType.WIT,
        "shots": 8192,
        "n_qubits_per_side": 3,
        "insert_message_method": "swap",
        "num_qubits": 7,
    },
    "qml_kernel": {"benchmark_name": JobType.QML_KERNEL, "num_qubits": 50, "shots": 1000},
    "mirror_circuits": {
        "benchmark_name": JobType.MIRROR_CIRCUITS,
        "nlayers": 1,
        "two_qubit_gate_prob": 0.1,
        "two_qubit_gate_name": "CNOT",
        "shots": 1000,
        "seed": 42,
    },
    "eplg": {
        "benchmark_name": JobType.EPLG,
        "num_qubits_in_chain": 20,
        "lengths": [2, 4, 8],
        "num_samples": 3,
        "shots": 100,
        "seed": 12345,
        "chain_type": "random",
    },
    "clops": {"benchmark_name": JobType.CLOPS, "num_qubits": 4, "num_layers": 4, "num_circuits": 2, "shots": 10},
    "bernstein_vazirani": {
        "benchmark_name": JobType.BERNSTEIN_VAZIRANI,
        "num_shots": 1000,
        "min_qubits": 2,
        "method": 1,
        **_SWEEP,
    },
    "hidden_shift": {"benchmark_name": JobType.HIDDEN_SHIFT, "num_shots": 1000, "min_qubits": 2, **_SWEEP},
    "phase_estimation": {"benchmark_name": JobType.PHASE_ESTIMATION, "num_shots": 1000, "min_qubits": 2, **_SWEEP},
    "quantum_fourier_transform": {
        "benchmark_name": JobType.QUANTUM_FOURIER_TRANSFORM,
        "shots": 100,
        "min_qubits": 2,
        **_SWEEP,
    },
    "lr_qaoa": {
        **_QAOA,
        "graph_type": "1D",
        "num_qubits": 10,
        "shots": 1000,
        "num_random_trails": 100,
        "p_layers": [3, 5, 10],
        "delta_beta": 0.7,
        "delta_gamma": 1.0,
    },
    "lr_qaoa_1d_chain": {
        **_QAOA,
        "graph_type": "1D",
        "num_qubits": 8,
        "shots": 1000,
        "num_random_trails": 10,
        "qaoa_layers": [3, 5],
        "delta_beta": 0.7,
        "delta_gamma": 0.8,
    },
    "lr_qaoa_fully_connected": {
        **_QAOA,
        "graph_type": "FC",
        "num_qubits": 12,
        "num_shots": 10,
        "num_random_trails": 100,
        "qaoa_layers": [25],
        "delta_beta": 0.9,
        "delta_gamma": 0.3,
    },
    "lr_qaoa_native_layout": {
        **_QAOA,
        "graph_type": "NL",
        "num_qubits": 5,
        "num_shots": 1000,
        "num_random_trails": 100,
        "qaoa_layers": [25, 50, 100],
        "delta_beta": 0.5,
        "delta_gamma": 0.5,
    },
    "qat_ole.small": {
        "benchmark_name": JobType.QAT_OLE,
        "qasm": ECHO,
        "observable_qubits": [0, 1, 2],
        "num_initial_states": 5,
        "shots": 100,
        "seed": 42,
    },
}
"""As they were published, with keys that no version knows any more; the echo's circuit as text instead of a path."""

_TOO_LONG = "left out for the time that noise takes"
BOUNDED = {
    ("qml_kernel", "aer_simulator"): "50 qubits",
    ("bseq", "aer_simulator"): "30 qubits in one state vector, 16 GiB, in the reference tool",
    ("own bseq", "aer_simulator"): "30 qubits in one state vector, 16 GiB, in the reference tool",
    ("bseq", "fake_kolkata"): "27 qubits in one state vector, 2 GiB, for each shot in the reference tool",
    ("own bseq", "fake_kolkata"): "27 qubits in one state vector, 2 GiB, for each shot in the reference tool",
    ("own bseq", "fake_guadalupe"): f"16 qubits and 1000 shots: {_TOO_LONG} (bseq runs there)",
    ("mirror_circuits", "aer_simulator"): "30 qubits, all of the device's, in one state vector of 16 GiB",
    ("mirror_circuits", "fake_kolkata"): f"27 qubits, all of the device's: {_TOO_LONG}",
    ("mirror_circuits", "fake_guadalupe"): f"16 qubits, all of the device's: {_TOO_LONG}",
    ("eplg", "fake_kolkata"): f"20 qubits: {_TOO_LONG}",
    ("eplg", "aer_simulator"): "20 qubits: left out for its time (own eplg runs there)",
    (
        "lr_qaoa",
        "fake_guadalupe",
    ): f"10 qubits, 30 circuits of up to 20 layers: {_TOO_LONG} (lr_qaoa_1d_chain runs there)",
    (
        "lr_qaoa",
        "fake_kolkata",
    ): f"10 qubits, 30 circuits of up to 20 layers: {_TOO_LONG} (lr_qaoa_1d_chain runs there)",
    ("own lr_qaoa", "fake_guadalupe"): f"10 qubits, 12 circuits of up to 10 layers: {_TOO_LONG}",
    ("own lr_qaoa", "fake_kolkata"): f"10 qubits, 12 circuits of up to 10 layers: {_TOO_LONG}",
    ("own eplg", "fake_kolkata"): f"36 circuits of up to 50 layers: {_TOO_LONG} (own eplg runs on fake_guadalupe)",
    ("lr_qaoa_fully_connected", "fake_guadalupe"): f"5000 gates: {_TOO_LONG}",
    ("lr_qaoa_fully_connected", "fake_kolkata"): f"5000 gates: {_TOO_LONG}",
}
"""Cells that are not run, and why."""

LAST = {("own eplg", "fake_guadalupe")}
"""Cells that take as long as all others, and are run after them."""


@dataclass(frozen=True, slots=True)
class Case:
    """A configuration, known by the name of its file; `own` says that it is one that ships with this project."""

    name: str
    config: dict[str, Any]

    def seeded(self, seed: int) -> dict[str, Any]:
        """Return the configuration as it is run with `seed`: another problem where the problem has a seed."""
        return {**self.config, "seed": self.config["seed"] + seed} if "seed" in self.config else self.config


def cases() -> Iterator[Case]:
    """Yield what is compared; Quantum Volume is not, since the reference tool has none any more."""
    for name, config in PUBLISHED.items():
        yield Case(name, config)
    for job_type in JobType:
        if job_type is not JobType.QUANTUM_VOLUME:
            yield Case(f"own {SCHEMA_MAPPING[job_type].removesuffix('.schema.json')}", example(job_type))
