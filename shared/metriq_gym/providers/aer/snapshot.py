"""A noisy profile in the form that Aer reads noise from."""

from __future__ import annotations

from typing import Any, Never

from qiskit.providers import BackendV2, Options
from qiskit.transpiler import Target


class Snapshot(BackendV2):  # type: ignore[misc]  # Qiskit has no types
    """A backend that has a target and runs nothing."""

    max_circuits = None

    def __init__(self, name: str, target: Target) -> None:
        super().__init__(name=name)
        self._target = target

    @property
    def target(self) -> Target:
        """The device's operations, with their errors and times."""
        return self._target

    @classmethod
    def _default_options(cls) -> Options:
        return Options()

    def run(self, run_input: Any, **options: Any) -> Never:
        """Raise `NotImplementedError`: `AerSimulation` runs circuits."""
        raise NotImplementedError
