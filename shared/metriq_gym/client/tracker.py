"""The named circuits of the Quantum Advantage Tracker, fetched where a request is written, never by a service."""

from __future__ import annotations

from metriq_gym import web
from metriq_gym.errors import MetriqGymError

URL = (
    "https://raw.githubusercontent.com/quantum-advantage-tracker/quantum-advantage-tracker.github.io/"
    "3dcd31e9aefb461fc327b58d1c2506948b9a7a3e/data/observable-estimations/circuit-models/operator_loschmidt_echo"
)
"""The tracker's repository at one commit, so that a name always means the same circuit."""
FILES = {
    "49Q_L3": "49Q_OLE_circuit_L_3_b_0.25_delta0.15.qasm",
    "49Q_L6": "49Q_OLE_circuit_L_6_b_0.25_delta0.15.qasm",
    "70Q_L6": "70Q_OLE_circuit_L_6_b_0.25_delta0.15.qasm",
}
OBSERVABLE_QUBITS = (52, 59, 72)
"""The same for all of them."""

_SECONDS = 60


class TrackerUnavailable(MetriqGymError):
    """The circuit could not be fetched; give its text as ``qasm`` with ``observable_qubits``."""


def fetch(circuit: str, url: str = URL) -> str:
    """Return the OpenQASM 3 text of a named circuit; raises `TrackerUnavailable`."""
    try:
        return web.request(f"{url}/{FILES[circuit]}", seconds=_SECONDS).decode()
    except (MetriqGymError, UnicodeDecodeError) as error:
        hint = "give its text as 'qasm' with 'observable_qubits', or a file as 'qasm_path'"
        raise TrackerUnavailable(f"cannot fetch circuit {circuit} from the tracker ({error}); {hint}") from error
