"""Circuits and counts survive packing, and never outgrow a document."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from qiskit import QuantumCircuit

from metriq_gym.packing import max_counts_bytes, pack_circuits, pack_counts, unpack_circuits, unpack_counts

bits = st.integers(1, 12)


@pytest.mark.slow
@given(st.lists(st.dictionaries(st.from_regex(r"[01]{1,20}", fullmatch=True), st.integers(1, 10**6))))
def test_counts_come_back_as_they_were(counts: list[dict[str, int]]) -> None:
    assert unpack_counts(pack_counts(counts)) == counts


def test_circuits_come_back_as_they_were() -> None:
    circuit = QuantumCircuit(3, 2)
    circuit.h(0)
    circuit.rzz(0.25, 0, 1)
    circuit.reset(2)
    circuit.measure([0, 1], [1, 0])
    assert unpack_circuits(pack_circuits([circuit, circuit])) == [circuit, circuit]


@given(bits, st.data())
def test_the_bound_on_counts_holds(num_clbits: int, data: st.DataObject) -> None:
    keys = st.integers(0, 2**num_clbits - 1).map(lambda key: format(key, f"0{num_clbits}b"))
    counts = data.draw(st.dictionaries(keys, st.integers(1, 1000), min_size=1))
    shots = sum(counts.values())
    assert len(json.dumps(counts, separators=(",", ":"))) <= max_counts_bytes(num_clbits, shots) + len("{}")
