"""Runs circuits in a process of its own, since Aer holds the interpreter's lock while it computes.

As a program it reads one JSON request per line and answers one JSON line each, until its input ends.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

from tests.sandbox.devices import Device

_ROOT = Path(__file__).parents[2]


class Simulator:
    """The child process, started when first needed; it ends when this process does, however that ends."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None
        self._one_at_a_time = threading.Lock()

    def run(self, source: str, shots: int, seed: int, noisy_device: Device | None) -> dict[str, int]:
        """Counts as `execution.run` gives them. Blocks; RuntimeError if the child was ended meanwhile."""
        request = {
            "source": source,
            "shots": shots,
            "seed": seed,
            "device": None if noisy_device is None else asdict(noisy_device),
        }
        with self._one_at_a_time:
            if self._process is None or self._process.poll() is not None:
                self._process = self._started()
            process = self._process
            assert process.stdin is not None
            assert process.stdout is not None
            try:
                process.stdin.write(json.dumps(request) + "\n")
                process.stdin.flush()
                answer = process.stdout.readline()
            except BrokenPipeError:
                answer = ""
            if not answer:
                process.kill()
                process.communicate()
                raise RuntimeError("the simulating process ended")
        counts: dict[str, int] = json.loads(answer)
        return counts

    def abort(self) -> None:
        """Give up what is being computed."""
        if (process := self._process) is not None:
            process.kill()
            process.wait()

    def _started(self) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "tests.sandbox.simulator"],
            cwd=_ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )


@cache
def shared_simulator() -> Simulator:
    """One for all sandboxes of this process: starting Qiskit takes a second."""
    return Simulator()


def main() -> None:
    """Answer requests until the input ends."""
    from tests.sandbox.circuits import read_circuit
    from tests.sandbox.execution import run

    for line in sys.stdin:
        request: dict[str, Any] = json.loads(line)
        device = None if request["device"] is None else Device(**request["device"])
        # The sandbox has checked the text against its own switches and device before.
        circuit = read_circuit(
            request["source"], max_qubits=sys.maxsize, accept_missing_creg=True, accept_unlisted_gates=True
        )
        print(json.dumps(run(circuit.measured, request["shots"], request["seed"], device)), flush=True)


if __name__ == "__main__":
    main()
