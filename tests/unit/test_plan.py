"""A plan's tasks hold every circuit once, in order, and each fits one document of the store."""

from __future__ import annotations

import random

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from qiskit import QuantumCircuit

from metriq_gym.errors import Unsupported
from metriq_gym.jobs import plan as planning
from metriq_gym.jobs.plan import PlannedTask
from metriq_gym.jobs.scoring import Share, regroup
from metriq_gym.packing import MAX_BYTES, max_counts_bytes, pack_counts, unpack_circuits
from metriq_gym.providers.aer.provider import AerProvider

AER = AerProvider()


def circuit(clbits: int, name: str = "c", gates: int = 0) -> QuantumCircuit:
    made = QuantumCircuit(clbits, clbits, name=name)
    draw = random.Random(name)
    for _ in range(gates):
        made.rz(draw.random(), draw.randrange(clbits))
    made.measure(range(clbits), range(clbits))
    return made


def split(circuits: list[QuantumCircuit], shots: int, max_circuits: int = 100) -> list[PlannedTask]:
    return list(planning._split(0, circuits, shots, 7, max_circuits))


@settings(deadline=None, max_examples=30)
@example(widths=[18], shots=449389, max_circuits=1)
@given(st.lists(st.integers(1, 20), min_size=1, max_size=12), st.integers(1, 10**6), st.integers(1, 5))
def test_every_circuit_gets_all_its_shots_and_no_task_outgrows_a_document(
    widths: list[int], shots: int, max_circuits: int
) -> None:
    circuits = [circuit(width, f"c{n}") for n, width in enumerate(widths)]
    got = [0] * len(circuits)
    for task in split(circuits, shots, max_circuits):
        packed = unpack_circuits(task.circuits)
        assert len(packed) == task.circuit_count <= max_circuits
        assert sum(max_counts_bytes(each.num_clbits, task.shots) for each in packed) <= MAX_BYTES
        for position, each in enumerate(packed, start=task.first):
            assert each.name == f"c{position}"
            got[position] += task.shots
    assert got == [shots] * len(circuits)


def test_shots_of_a_circuit_with_very_many_outcomes_are_shared_out_and_added_up_again() -> None:
    tasks = split([circuit(100)], 1_000_000)
    assert len(tasks) > 10
    assert len({task.seed for task in tasks}) == len(tasks)
    shares = [Share(0, task.first, pack_counts([{"0" * 100: task.shots}]), 0.5) for task in tasks]
    (result,) = regroup([1], shares)
    assert result.counts[0] == {"0" * 100: 1_000_000}
    assert result.execution_seconds == pytest.approx(0.5 * len(tasks))


def test_circuits_too_long_for_one_document_go_to_several(monkeypatch: pytest.MonkeyPatch) -> None:
    circuits = [circuit(2, f"c{n}", gates=400) for n in range(8)]
    monkeypatch.setattr(planning, "MAX_BYTES", 12_000)
    tasks = split(circuits, 10)
    assert len(tasks) > 1
    assert [each.name for task in tasks for each in unpack_circuits(task.circuits)] == [f"c{n}" for n in range(8)]
    assert all(len(task.circuits) <= 12_000 for task in tasks)
    monkeypatch.setattr(planning, "MAX_BYTES", 1_000)
    with pytest.raises(Unsupported, match=r"circuit 0 of run 0 takes .* bytes"):
        split(circuits, 10)


async def test_the_same_request_is_planned_the_same_in_every_process() -> None:
    device = await AER.device("aer_simulator")
    config = {"benchmark_name": "BSEQ", "shots": 10, "max_colors": 3}
    plans = [planning.make_plan(config, 5, device, AER.compiler, 5) for _ in range(2)]
    assert plans[0] == plans[1]
    assert sum(plans[0].runs) == 12
    assert [task.seed for task in plans[0].tasks] == [task.seed for task in plans[1].tasks]
    other = planning.make_plan(config, 6, device, AER.compiler, 5)
    assert {task.seed for task in other.tasks}.isdisjoint(task.seed for task in plans[0].tasks)
